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
