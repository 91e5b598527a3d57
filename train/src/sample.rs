//! Which records belong to a share of a corpus that keeps the share of every stratum, such as of every relation. Reads and writes nothing.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::data::Record;

/// Which of `records` are drawn: `fraction` of every stratum, at least one of each. The same seed draws the same.
pub(crate) fn draw<'a>(
    records: &'a [Record],
    stratum: impl Fn(&'a Record) -> &'a str,
    fraction: f64,
    seed: u64,
) -> Vec<bool> {
    let mut strata: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        strata.entry(stratum(record)).or_default().push(index);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = vec![false; records.len()];
    for indices in strata.values_mut() {
        indices.shuffle(&mut rng);
        let count = (indices.len() as f64 * fraction).round().max(1.0) as usize;
        for &index in indices.iter().take(count) {
            drawn[index] = true;
        }
    }
    drawn
}

/// `fraction` of the records of every relation (at least one of each), in their old order.
pub fn stratified(records: Vec<Record>, fraction: f64, seed: u64) -> Vec<Record> {
    let drawn = draw(&records, |record| &record.relation, fraction, seed);
    let mut drawn = drawn.into_iter();
    let mut records = records;
    records.retain(|_| drawn.next().expect("one for each record"));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: usize) -> Record {
        let common = !index.is_multiple_of(10);
        Record {
            img_id: index.to_string(),
            relation: if common { "common" } else { "rare" }.to_owned(),
            ..Record::example()
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
