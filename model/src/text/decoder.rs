//! The stack of decoder layers between embedding and head. Knows no images: `qwen.rs` mixes their rows in.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{Cache, DecoderLayer, angles};
use crate::attention::Visible;
use crate::config::TextConfig;
use crate::init::Init;
use crate::norm::RmsNorm;
use crate::rope::Rotation;

/// The rows of a forward pass: sequences laid one after another, without padding.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rotation of every row.
    pub rotation: Rotation,
    /// The sequences, in row order.
    pub sequences: Vec<Sequence>,
}

/// One sequence's share of the rows.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// How many rows are its.
    pub len: usize,
    /// How many keys come before its own: from its cache or, without caches, from the pass's first rows.
    pub held: usize,
    /// What they see of the cached and the new keys.
    pub visible: Visible,
}

impl Rows {
    /// `sequences` gives the new tokens' positions and how many tokens come before them, for every sequence.
    pub fn new(
        sequences: &[(&[[u32; 3]], usize)],
        config: &TextConfig,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let all: Vec<[u32; 3]> = sequences
            .iter()
            .flat_map(|(axes, _)| axes.iter().copied())
            .collect();
        Self {
            rotation: Rotation::new(&angles(&all, config), config.head_dim() / 2, dtype, device),
            sequences: sequences
                .iter()
                .map(|(axes, held)| Sequence {
                    len: axes.len(),
                    held: *held,
                    visible: Visible::causal(axes.len(), *held + axes.len(), device),
                })
                .collect(),
        }
    }
}

/// The embedding as the checkpoint names it.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[vocab, d]`
    pub weight: Param<Tensor<2>>,
}

/// Embedding, layers, final norm.
#[derive(Module, Debug)]
pub struct Decoder {
    pub(crate) embed_tokens: Embedding,
    layers: Vec<DecoderLayer>,
    norm: RmsNorm,
}

impl Decoder {
    /// A decoder of the sizes in `config`.
    pub fn new(config: &TextConfig, init: &Init) -> Self {
        Self {
            embed_tokens: Embedding {
                weight: init.weight([config.vocab_size, config.hidden_size]),
            },
            layers: (0..config.num_hidden_layers)
                .map(|_| DecoderLayer::new(config, init))
                .collect(),
            norm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, init),
        }
    }

    /// The embedding rows of `ids`.
    ///
    /// # Shapes
    /// - the result: `[ids, d]`
    pub fn embed(&self, ids: &[u32]) -> Tensor<2> {
        let weight = self.embed_tokens.weight.val();
        let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let ids = Tensor::<1, Int>::from_data(
            TensorData::new(ids.clone(), [ids.len()]),
            &weight.device(),
        );
        weight.select(0, ids)
    }

    /// Runs the layers and the final norm. With `caches` (one a sequence, in order) keys and values are appended to them.
    ///
    /// # Shapes
    /// - `x` and the result: `[n, d]`
    ///
    /// # Panics
    /// If there are caches, but not one for every sequence.
    pub fn forward(&self, mut x: Tensor<2>, rows: &Rows, caches: &mut [&mut Cache]) -> Tensor<2> {
        assert!(
            caches.is_empty() || caches.len() == rows.sequences.len(),
            "{} caches for {} sequences",
            caches.len(),
            rows.sequences.len()
        );
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, rows, index, caches);
        }
        for (cache, sequence) in caches.iter_mut().zip(&rows.sequences) {
            cache.advance(sequence.len);
        }
        self.norm.forward(x)
    }
}
