//! Drawing a share of a corpus with every relation's share kept.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::data::Record;

/// `fraction` of the records of every relation (at least one of each), of those in `fractions` their own, in the old order. The same
/// seed draws the same.
pub fn stratified(
    records: Vec<Record>,
    fraction: f64,
    fractions: &BTreeMap<String, f64>,
    seed: u64,
) -> Vec<Record> {
    if fraction >= 1.0 && fractions.is_empty() {
        return records;
    }
    let mut by_relation: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        by_relation.entry(&record.relation).or_default().push(index);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keep = vec![false; records.len()];
    for (relation, indices) in &mut by_relation {
        indices.shuffle(&mut rng);
        let fraction = fractions.get(*relation).unwrap_or(&fraction);
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

    #[test]
    fn every_relation_has_its_share_or_its_own() {
        let record = |index: usize| Record {
            img_id: String::new(),
            text: String::new(),
            token: vec![],
            h: Head {
                name: vec![],
                pos: [0, 1],
            },
            t: Tail {
                name: String::new(),
                pos: [0.0; 4],
            },
            relation: ["none", "none", "none", "/per/per/opponent"][index % 4].to_owned(),
            trace: None,
        };
        let records: Vec<Record> = (0..400).map(record).collect();
        let count = |records: &[Record], relation| {
            let of = |record: &&Record| record.relation == relation;
            records.iter().filter(of).count()
        };
        let drawn = stratified(records.clone(), 0.1, &BTreeMap::new(), 1);
        assert_eq!((count(&drawn, "none"), drawn.len()), (30, 40));
        let own = BTreeMap::from([("/per/per/opponent".to_owned(), 0.5)]);
        let drawn = stratified(records.clone(), 0.1, &own, 1);
        assert_eq!((count(&drawn, "none"), drawn.len()), (30, 80));
        assert_eq!(stratified(records.clone(), 1.0, &own, 1).len(), 350);
        assert_eq!(stratified(records, 1.0, &BTreeMap::new(), 1).len(), 400);
    }
}
