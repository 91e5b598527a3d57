//! Drawing a share of a corpus with every relation's share kept.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::data::Record;

/// `fraction` of the records of every relation (at least one of each), in their old order. The same seed draws the same.
pub fn stratified(records: Vec<Record>, fraction: f64, seed: u64) -> Vec<Record> {
    if fraction >= 1.0 {
        return records;
    }
    let mut by_relation: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        by_relation.entry(&record.relation).or_default().push(index);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keep = vec![false; records.len()];
    for indices in by_relation.values_mut() {
        indices.shuffle(&mut rng);
        let count = (indices.len() as f64 * fraction).round().max(1.0) as usize;
        for &index in &indices[..count] {
            keep[index] = true;
        }
    }
    records
        .into_iter()
        .zip(keep)
        .filter_map(|(record, keep)| keep.then_some(record))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Head, Tail};

    fn record(index: usize) -> Record {
        let common = !index.is_multiple_of(10);
        Record {
            img_id: index.to_string(),
            text: "a".to_owned(),
            token: vec!["a".to_owned()],
            h: Head {
                name: vec!["a".to_owned()],
                pos: [0, 1],
            },
            t: Tail {
                name: "o".to_owned(),
                pos: [0.5, 0.5, 1.0, 1.0],
            },
            relation: if common { "common" } else { "rare" }.to_owned(),
            trace: None,
        }
    }

    fn drawn(count: usize, fraction: f64, seed: u64) -> Vec<Record> {
        stratified((0..count).map(record).collect(), fraction, seed)
    }

    fn indices(records: &[Record]) -> Vec<usize> {
        let index = |record: &Record| record.img_id.parse().expect("an index");
        records.iter().map(index).collect()
    }

    #[test]
    fn every_relation_keeps_its_share() {
        let drawn = drawn(400, 0.25, 0);
        let rare = drawn.iter().filter(|it| it.relation == "rare").count();
        assert_eq!((drawn.len(), rare), (100, 10));
    }

    #[test]
    fn the_rarest_relation_keeps_one() {
        let drawn = drawn(20, 0.1, 0); // two rare ones: a fifth of a record
        let rare = drawn.iter().filter(|it| it.relation == "rare").count();
        assert_eq!((drawn.len(), rare), (3, 1));
    }

    #[test]
    fn the_order_stays_and_the_seed_decides() {
        let first = indices(&drawn(400, 0.25, 1));
        assert!(first.is_sorted());
        assert_eq!(first, indices(&drawn(400, 0.25, 1)));
        assert_ne!(first, indices(&drawn(400, 0.25, 2)));
        assert_eq!(indices(&drawn(40, 1.0, 3)), (0..40).collect::<Vec<_>>());
    }
}
