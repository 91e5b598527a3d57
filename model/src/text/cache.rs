//! Keys and values of one sequence, appended in place. Knows no scheduling: one cache, one sequence.

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

    /// Counts `n` more tokens, after every layer has appended them.
    pub fn advance(&mut self, n: usize) {
        self.len += n;
    }
}
