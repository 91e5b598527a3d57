//! Keys and values of sequences, a pair of tensors a layer. A sequence has a slot: a run of places as long as it may become, which never
//! moves and is given back when its cache is dropped. A pool of one slot is a buffer. Knows no scheduling.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Device, Int, Tensor};

use super::Cache;
use crate::config::TextConfig;
use crate::pooled::{Seen, attend_pooled, write_pooled};

/// The keys and values of many sequences, layer by layer, with room for so many tokens in all.
#[derive(Debug)]
pub struct Pool {
    layers: Mutex<Vec<Layer>>,
    free: Mutex<Free>,
    tokens: usize,
    /// Whether its sequences attend in one operation.
    pub(super) together: bool,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) keys: Tensor<3>, // [tokens + 1, key_heads, head_dim]
    pub(super) values: Tensor<3>,
}

impl Pool {
    /// Room for `tokens` tokens of sequences that attend in one operation, and a place more that is nobody's: rows that nobody asked
    /// for read and write there.
    pub fn new(config: &TextConfig, tokens: usize, dtype: DType, device: &Device) -> Arc<Self> {
        Arc::new(Self::made(config, tokens, true, dtype, device))
    }

    /// The same for one sequence, which attends by itself.
    pub(super) fn of_one(
        config: &TextConfig,
        tokens: usize,
        dtype: DType,
        device: &Device,
    ) -> Arc<Self> {
        Arc::new(Self::made(config, tokens, false, dtype, device))
    }

    fn made(
        config: &TextConfig,
        tokens: usize,
        together: bool,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let shape = [tokens + 1, config.num_key_value_heads, config.head_dim()];
        let layer = |_| Layer {
            keys: Tensor::zeros(shape, (device, dtype)),
            values: Tensor::zeros(shape, (device, dtype)),
        };
        Self {
            layers: Mutex::new((0..config.num_hidden_layers).map(layer).collect()),
            free: Mutex::new(Free::new(tokens)),
            tokens,
            together,
        }
    }

    /// An empty cache of at most `capacity` tokens; none while no run of free places is that long.
    pub fn cache(self: &Arc<Self>, capacity: usize) -> Option<Cache> {
        let places = self.free().take(capacity)?;
        Some(Cache::over(Arc::clone(self), places))
    }

    /// Takes the places of a cache back.
    pub(super) fn give_back(&self, places: Range<usize>) {
        self.free().give(places);
    }

    /// The place that is nobody's.
    pub(super) fn spare(&self) -> usize {
        self.tokens
    }

    /// Writes keys and values of layer `layer` to their `places`.
    ///
    /// # Shapes
    /// - `keys`, `values`: `[n, key_heads, head_dim]`
    /// - `places`: `[n]`
    pub(super) fn write(
        &self,
        layer: usize,
        keys: Tensor<3>,
        values: Tensor<3>,
        places: &Tensor<1, Int>,
    ) {
        let layer = &mut self.layers()[layer];
        write_pooled(&mut layer.keys, &mut layer.values, keys, values, places);
    }

    /// Attention of the rows `q` over the keys of layer `layer` that each of them sees.
    ///
    /// # Shapes
    /// - `q`: `[rows, heads, head_dim]`
    /// - the result: `[rows, heads · head_dim]`
    pub(super) fn attend(&self, layer: usize, q: Tensor<3>, seen: &Seen) -> Tensor<2> {
        let Layer { keys, values } = &self.layers()[layer];
        attend_pooled(q, keys, values, seen)
    }

    // What panics inside of these locks panics outside too: its engine is given up, and what it left is never read.

    pub(super) fn layers(&self) -> MutexGuard<'_, Vec<Layer>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs of places that nobody has, in order, none beside another.
#[derive(Debug)]
struct Free(Vec<Range<usize>>);

impl Free {
    fn new(places: usize) -> Self {
        Self(std::iter::once(0..places).collect())
    }

    /// The first run that is long enough, as far as it is needed.
    fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let Self(runs) = self;
        let at = runs.iter().position(|run| run.len() >= count)?;
        let start = runs[at].start;
        runs[at].start += count;
        if runs[at].is_empty() {
            runs.remove(at);
        }
        Some(start..start + count)
    }

    fn give(&mut self, places: Range<usize>) {
        let Self(runs) = self;
        let at = runs.partition_point(|run| run.start < places.start);
        runs.insert(at, places);
        // With what is right behind it, then with what is right before.
        for first in [at, at.wrapping_sub(1)] {
            if let Some([one, next]) = runs.get(first..first.wrapping_add(2))
                && one.end == next.start
            {
                runs[first].end = next.end;
                runs.remove(first + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is taken and given back in whatever order: no place belongs to two, and in the end all of them are one run.
        #[test]
        fn places_are_nobody_s_or_one_s(acts in prop::collection::vec((0..40_usize, 1..60_usize), 0..80)) {
            const PLACES: usize = 100;
            let mut free = Free::new(PLACES);
            let mut taken: Vec<Range<usize>> = vec![];
            for (which, count) in acts {
                if which < taken.len() {
                    free.give(taken.swap_remove(which));
                } else if let Some(places) = free.take(count) {
                    prop_assert_eq!(places.len(), count);
                    taken.push(places);
                } else {
                    prop_assert!(free.0.iter().all(|run| run.len() < count), "{:?} has room for {}", free, count);
                }
                let mut owners = [0; PLACES];
                for place in taken.iter().chain(&free.0).cloned().flatten() {
                    owners[place] += 1;
                }
                prop_assert_eq!(owners, [1; PLACES]);
                let apart = |pair: &[Range<usize>]| pair[0].end < pair[1].start;
                prop_assert!(free.0.windows(2).all(apart), "{:?}", free);
            }
            for places in taken {
                free.give(places);
            }
            prop_assert_eq!(free.0, Free::new(PLACES).0);
        }
    }
}
