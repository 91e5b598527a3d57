//! The stack of decoder layers between embedding and head. Knows no images: `qwen.rs` mixes their rows in.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::{Cache, DecoderLayer, angles};
use crate::attention::Visible;
use crate::config::TextConfig;
use crate::cpu;
use crate::init::Init;
use crate::linear::{Linear, named};
use crate::norm::RmsNorm;
use crate::rope::Rotation;

/// The rows of a forward pass: sequences laid one after another, without padding.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rotation of every row.
    pub rotation: Rotation,
    /// The sequences, in row order.
    pub sequences: Vec<Sequence>,
    /// Rows of zeros behind them, so that there are never fewer than [`least_rows`].
    pub padding: usize,
}

/// One sequence's share of the rows.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// How many rows are its.
    pub len: usize,
    /// How many keys come before its own: from its cache or, without caches, from the pass's first rows.
    pub held: usize,
    /// Its rows, cut where the shape of attention must not depend on what else is fed.
    pub blocks: Vec<Block>,
}

/// Rows that attend together.
#[derive(Clone, Debug)]
pub struct Block {
    /// How many there are.
    pub rows: usize,
    /// How many of the sequence's keys they can see at most, from the first.
    pub keys: usize,
    /// What they see of these.
    pub visible: Visible,
}

/// Cached sequences attend in blocks that end where the sequence's length is a multiple of this. The shape of the work for a token
/// is then a function of its place alone: neither the pieces in which a prompt is fed nor a reused beginning change a bit.
pub const BLOCK: usize = 32;

impl Rows {
    /// `sequences` gives the new tokens' positions and how many tokens come before them, for every sequence. `cached` sequences
    /// attend in blocks of [`BLOCK`] and are padded to [`least_rows`].
    pub fn new(
        sequences: &[(&[[u32; 3]], usize)],
        cached: bool,
        config: &TextConfig,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let mut all: Vec<[u32; 3]> = sequences
            .iter()
            .flat_map(|(axes, _)| axes.iter().copied())
            .collect();
        let padding = if cached {
            least_rows(config, dtype, device).saturating_sub(all.len())
        } else {
            0
        };
        all.extend(std::iter::repeat_n([0; 3], padding));
        Self {
            padding,
            rotation: Rotation::new(&angles(&all, config), config.head_dim() / 2, dtype, device),
            sequences: sequences
                .iter()
                .map(|(axes, held)| Sequence {
                    len: axes.len(),
                    held: *held,
                    blocks: blocks(
                        *held,
                        axes.len(),
                        if cached { BLOCK } else { usize::MAX },
                        device,
                    ),
                })
                .collect(),
        }
    }
}

impl Rows {
    /// One sequence that branches behind the `held` tokens of its cache, one row for every token of the tree.
    pub fn tree(
        axes: &[[u32; 3]],
        parents: &[Option<usize>],
        held: usize,
        config: &TextConfig,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let mut rows = Self::new(&[(axes, held)], true, config, dtype, device);
        rows.sequences[0].blocks = vec![Block {
            rows: axes.len(),
            keys: held + axes.len(),
            visible: Visible::tree(held, parents, device),
        }];
        rows
    }
}

/// Burn's products of fewer rows than this take other paths than those of more, which add in another order: on flex one row alone, and a
/// narrow result of at most 256 values (gemm 0.19.0, `gemm_basic_generic`). A row's bits must not depend on how many come with it; with
/// products of our own they do not.
pub fn least_rows(config: &TextConfig, dtype: DType, device: &Device) -> usize {
    if cpu::computes(dtype, device) {
        return 1;
    }
    let narrowest = config.num_key_value_heads * config.head_dim();
    (256 / narrowest + 1).max(2)
}

/// Cuts `rows` rows behind `held` keys wherever the number of keys is a multiple of `size`.
fn blocks(held: usize, rows: usize, size: usize, device: &Device) -> Vec<Block> {
    let (mut start, end) = (held, held + rows);
    let mut blocks = vec![];
    while start < end {
        let keys = (start / size + 1).saturating_mul(size).min(end);
        blocks.push(Block {
            rows: keys - start,
            keys,
            visible: Visible::causal(keys - start, keys, device),
        });
        start = keys;
    }
    blocks
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

    /// Makes one product of those that have the same input.
    pub(crate) fn join(&mut self) {
        self.layers.iter_mut().for_each(DecoderLayer::join);
    }

    /// The maps of its layers by name.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let layers = self.layers.iter_mut().enumerate();
        layers.flat_map(|(index, layer)| named(format!("layers.{index}"), layer.linears_mut()))
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
    /// - `x` and the result: `[n, d]`, without padding
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
        let n = x.dims()[0];
        if rows.padding > 0 {
            x = padded(x, rows.padding);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, rows, index, caches);
        }
        for (cache, sequence) in caches.iter_mut().zip(&rows.sequences) {
            cache.advance(sequence.len);
        }
        self.normed(x).narrow(0, 0, n)
    }

    /// Its layers, for whoever runs them one at a time.
    pub fn layers(&self) -> &[DecoderLayer] {
        &self.layers
    }

    /// What stands behind the last layer.
    ///
    /// # Shapes
    /// - `x` and the result: `[n, d]`
    pub fn normed(&self, x: Tensor<2>) -> Tensor<2> {
        self.norm.forward(x)
    }
}

/// `x` with `count` rows of zeros behind it.
pub fn padded(x: Tensor<2>, count: usize) -> Tensor<2> {
    let zeros = Tensor::zeros([count, x.dims()[1]], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], 0)
}
