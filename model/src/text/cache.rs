//! Keys and values of one sequence, appended in place. Knows no scheduling: one cache, one sequence.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};

use super::Pool;
use crate::config::TextConfig;
use crate::pooled::indices;

/// The keys and values a sequence has seen, layer by layer: a slot of a pool, and how much of it is filled.
#[derive(Debug)]
pub struct Cache {
    pool: Arc<Pool>,
    places: Range<usize>,
    len: usize,
}

impl Cache {
    /// Room for `capacity` tokens in a pool of its own.
    pub fn new(config: &TextConfig, capacity: usize, dtype: DType, device: &Device) -> Self {
        let pool = Pool::of_one(config, capacity, dtype, device);
        pool.cache(capacity).expect("the pool has its size")
    }

    /// None of `places`, which are its until it is dropped, is filled.
    pub(super) fn over(pool: Arc<Pool>, places: Range<usize>) -> Self {
        Self {
            pool,
            places,
            len: 0,
        }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token has been seen yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pool that all of `caches` are in, if their sequences attend in one operation.
    ///
    /// # Panics
    /// If some are in that pool and others are not.
    pub(super) fn common<'a>(caches: &'a [&mut Self]) -> Option<&'a Arc<Pool>> {
        let pool = &caches.first()?.pool;
        let same = |cache: &&mut Self| Arc::ptr_eq(&cache.pool, pool);
        assert!(
            !pool.together || caches.iter().all(same),
            "sequences of one pass, caches in several pools"
        );
        pool.together.then_some(pool)
    }

    /// The place of its first token in its pool.
    pub(super) fn first(&self) -> usize {
        self.places.start
    }

    /// Where the tokens `rows` of it lie in its pool.
    ///
    /// # Panics
    /// If they do not fit.
    fn places(&self, rows: Range<usize>) -> Range<usize> {
        assert!(
            rows.end <= self.places.len(),
            "the cache holds {} tokens, {} were to be written",
            self.places.len(),
            rows.end
        );
        self.first() + rows.start..self.first() + rows.end
    }

    /// Writes the rows of layer `layer` behind those held and returns all of them. The length grows with [`Cache::advance`],
    /// once every layer has written.
    ///
    /// # Shapes
    /// - `keys`, `values`: `[n, key_heads, head_dim]`
    /// - the results: `[len + n, key_heads, head_dim]`, views that must be dropped before the next append
    ///
    /// # Panics
    /// If the rows do not fit.
    pub fn append(
        &mut self,
        layer: usize,
        keys: Tensor<3>,
        values: Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        let [n, heads, width] = keys.dims();
        let end = self.len + n;
        let slot = [self.places(self.len..end), 0..heads, 0..width];
        let buffers = &mut self.pool.layers()[layer];
        buffers
            .keys
            .inplace(|buffer| buffer.slice_assign(slot.clone(), keys));
        buffers
            .values
            .inplace(|buffer| buffer.slice_assign(slot, values));
        let part = |buffer: &Tensor<3>| buffer.clone().narrow(0, self.places.start, end);
        (part(&buffers.keys), part(&buffers.values))
    }

    /// The keys and values of the first `len` tokens of layer `layer`, written or being written.
    ///
    /// # Shapes
    /// - the results: `[len, key_heads, head_dim]`, views that must be dropped before the next append
    pub(super) fn view(&self, layer: usize, len: usize) -> (Tensor<3>, Tensor<3>) {
        let buffers = &self.pool.layers()[layer];
        let places = self.places(0..len);
        let part = |buffer: &Tensor<3>| buffer.clone().narrow(0, places.start, places.len());
        (part(&buffers.keys), part(&buffers.values))
    }

    /// A copy of the keys and values of the tokens in `rows`.
    ///
    /// # Shapes
    /// - the result: `[2 · layers, rows, key_heads, head_dim]`, for every layer its keys, then its values
    ///
    /// # Panics
    /// If it does not hold that many tokens.
    pub fn copy(&self, rows: Range<usize>) -> Tensor<4> {
        assert!(
            rows.end <= self.len,
            "tokens {rows:?} of a cache that holds {}",
            self.len
        );
        let places = self.places(rows);
        let part = |buffer: &Tensor<3>| buffer.clone().narrow(0, places.start, places.len());
        let layers = self.pool.layers();
        let parts = layers
            .iter()
            .flat_map(|layer| [part(&layer.keys), part(&layer.values)]);
        Tensor::stack(parts.collect(), 0) // writes a tensor of its own: a view would keep later appends from being in place
    }

    /// Takes a copy as the next tokens.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn paste(&mut self, copied: &Tensor<4>) {
        let [parts, n, heads, width] = copied.dims();
        let layers = self.pool.layers().len();
        assert_eq!(parts, 2 * layers, "keys and values of all layers");
        let part = |index: usize| {
            copied
                .clone()
                .narrow(0, index, 1)
                .reshape([n, heads, width])
        };
        let places = self.places(self.len..self.len + n);
        let places = self
            .pool
            .together
            .then(|| indices(places, &copied.device()));
        for layer in 0..layers {
            let (keys, values) = (part(2 * layer), part(2 * layer + 1));
            match &places {
                Some(places) => self.pool.write(layer, keys, values, places),
                None => drop(self.append(layer, keys, values)),
            }
        }
        self.advance(n);
    }

    /// Forgets all but the first `len` tokens.
    ///
    /// # Panics
    /// If it holds fewer.
    pub fn truncate(&mut self, len: usize) {
        assert!(
            len <= self.len,
            "{len} tokens of a cache that holds {}",
            self.len
        );
        self.len = len;
    }

    /// Counts `n` more tokens, after every layer has appended them.
    pub fn advance(&mut self, n: usize) {
        self.len += n;
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.pool.give_back(self.places.clone());
    }
}
