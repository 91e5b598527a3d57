//! Keys and values of one sequence, appended in place. Knows no scheduling: one cache, one sequence.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor};

use crate::config::TextConfig;

/// The keys and values a sequence has seen, layer by layer, in buffers of fixed capacity.
#[derive(Debug)]
pub struct Cache {
    layers: Vec<Layer>,
    len: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Layer {
    keys: Tensor<3>, // [capacity, key_heads, head_dim]
    values: Tensor<3>,
}

impl Cache {
    /// Room for `capacity` tokens.
    pub fn new(config: &TextConfig, capacity: usize, dtype: DType, device: &Device) -> Self {
        let shape = [capacity, config.num_key_value_heads, config.head_dim()];
        let layer = |_| Layer {
            keys: Tensor::zeros(shape, (device, dtype)),
            values: Tensor::zeros(shape, (device, dtype)),
        };
        Self {
            layers: (0..config.num_hidden_layers).map(layer).collect(),
            len: 0,
            capacity,
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
        assert!(
            end <= self.capacity,
            "the cache holds {} tokens, {end} were to be written",
            self.capacity
        );
        let slot = [self.len..end, 0..heads, 0..width];
        let layer = &mut self.layers[layer];
        layer
            .keys
            .inplace(|buffer| buffer.slice_assign(slot.clone(), keys));
        layer
            .values
            .inplace(|buffer| buffer.slice_assign(slot, values));
        (
            layer.keys.clone().narrow(0, 0, end),
            layer.values.clone().narrow(0, 0, end),
        )
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
        let part = |buffer: &Tensor<3>| buffer.clone().narrow(0, rows.start, rows.len());
        let parts = self
            .layers
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
        assert_eq!(
            parts,
            2 * self.layers.len(),
            "keys and values of all layers"
        );
        for layer in 0..self.layers.len() {
            let part = |index: usize| {
                copied
                    .clone()
                    .narrow(0, index, 1)
                    .reshape([n, heads, width])
            };
            self.append(layer, part(2 * layer), part(2 * layer + 1));
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
