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
use crate::pooled::{Seen, indices};
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
    /// Where they lie in the pool of their caches; none where every sequence has a buffer of its own.
    pub pooled: Option<Pooled>,
}

/// The places of a pass's rows in a pool. Made once a pass; no layer brings anything to the device.
#[derive(Clone, Debug)]
pub struct Pooled {
    /// Where the keys of every row go, padding included.
    pub places: Tensor<1, Int>,
    /// What those rows see that are in no block, padding included: they attend in one operation. None if there are none.
    pub seen: Option<Seen>,
    /// Where there are rows of both kinds: those in no block, and the places of all rows where these come first, then the blocks'.
    pub order: Option<(Tensor<1, Int>, Tensor<1, Int>)>,
}

/// Where the keys and values of a pass are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Nowhere but in the pass.
    Passing,
    /// In a buffer for every sequence.
    Buffers,
    /// In one pool.
    Pool {
        /// The place of every sequence's first key.
        first: Vec<usize>,
        /// The place that is nobody's.
        spare: usize,
    },
}

impl Keys {
    /// Those of the sequences whose `caches` a pass fills; without caches nothing outlives the pass.
    ///
    /// # Panics
    /// If only some are in a pool.
    pub fn of(caches: &[&mut Cache]) -> Self {
        match Cache::common(caches) {
            _ if caches.is_empty() => Self::Passing,
            None => Self::Buffers,
            Some(pool) => Self::Pool {
                first: caches.iter().map(|cache| cache.first()).collect(),
                spare: pool.spare(),
            },
        }
    }
}

/// One sequence's share of the rows.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// How many rows are its.
    pub len: usize,
    /// How many keys come before its own: from its cache or, without caches, from the pass's first rows.
    pub held: usize,
    /// Its rows, cut where the shape of attention must not depend on what else is fed. In a pool: the first of its rows, those that
    /// fill whole blocks; the others attend together with other sequences'.
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
    /// `sequences` gives the new tokens' positions and how many tokens come before them, for every sequence. Those with `keys` in a buffer
    /// attend in blocks of [`BLOCK`], those in a pool where their rows fill no block in one operation; both are padded to [`least_rows`].
    pub fn new(
        sequences: &[(&[[u32; 3]], usize)],
        keys: &Keys,
        config: &TextConfig,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let cut = |&(axes, held): &(&[[u32; 3]], usize)| Sequence {
            len: axes.len(),
            held,
            blocks: match keys {
                Keys::Passing => blocks(held, axes.len(), usize::MAX, device),
                Keys::Buffers => blocks(held, axes.len(), BLOCK, device),
                Keys::Pool { .. } => whole_blocks(held, axes.len(), device),
            },
        };
        let axes = sequences.iter().flat_map(|(axes, _)| axes.iter().copied());
        let cut = sequences.iter().map(cut).collect();
        Self::of(axes.collect(), cut, keys, config, dtype, device)
    }

    /// One sequence that branches behind the `held` tokens of its cache, one row for every token of the tree.
    pub fn tree(
        axes: &[[u32; 3]],
        parents: &[Option<usize>],
        held: usize,
        keys: &Keys,
        config: &TextConfig,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let sequence = Sequence {
            len: axes.len(),
            held,
            blocks: vec![Block {
                rows: axes.len(),
                keys: held + axes.len(),
                visible: Visible::tree(held, parents, device),
            }],
        };
        Self::of(axes.to_vec(), vec![sequence], keys, config, dtype, device)
    }

    fn of(
        mut axes: Vec<[u32; 3]>,
        sequences: Vec<Sequence>,
        keys: &Keys,
        config: &TextConfig,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let padding = match keys {
            Keys::Passing => 0,
            _ => least_rows(config, dtype, device).saturating_sub(axes.len()),
        };
        axes.extend(std::iter::repeat_n([0; 3], padding));
        let angles = angles(&axes, config);
        Self {
            rotation: Rotation::new(&angles, config.head_dim() / 2, dtype, device),
            pooled: match keys {
                Keys::Pool { first, spare } => {
                    Some(Pooled::new(&sequences, first, padding, *spare, device))
                }
                _ => None,
            },
            sequences,
            padding,
        }
    }
}

impl Pooled {
    fn new(
        sequences: &[Sequence],
        first: &[usize],
        padding: usize,
        spare: usize,
        device: &Device,
    ) -> Self {
        let run = |first: usize, count: usize| first..first + count;
        let (mut places, mut runs, mut single, mut blocked) = (vec![], vec![], vec![], vec![]);
        for (sequence, &first) in sequences.iter().zip(first) {
            let in_blocks: usize = sequence.blocks.iter().map(|block| block.rows).sum();
            for row in 0..sequence.len {
                if row < in_blocks {
                    blocked.push(places.len());
                } else {
                    single.push(places.len());
                    runs.push(run(first, sequence.held + row + 1));
                }
                places.push(first + sequence.held + row);
            }
        }
        for _ in 0..padding {
            single.push(places.len());
            runs.push(run(spare, 1));
            places.push(spare);
        }
        let order = (!single.is_empty() && !blocked.is_empty()).then(|| {
            let mut back = vec![0; places.len()];
            for (at, &row) in single.iter().chain(&blocked).enumerate() {
                back[row] = at;
            }
            (indices(single, device), indices(back, device))
        });
        Self {
            places: indices(places, device),
            seen: (!runs.is_empty()).then(|| Seen::new(&runs, device)),
            order,
        }
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

/// Of `rows` rows behind `held` keys those that end where the number of keys is a multiple of [`BLOCK`] and fill at least one block, as one.
fn whole_blocks(held: usize, rows: usize, device: &Device) -> Vec<Block> {
    let keys = (held + rows) / BLOCK * BLOCK;
    if held.next_multiple_of(BLOCK) >= keys {
        return vec![];
    }
    let rows = keys - held;
    let visible = Visible::causal(rows, keys, device);
    vec![Block {
        rows,
        keys,
        visible,
    }]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind so many keys so many rows: how many of them, the first, go block by block, and to which key.
    #[test]
    fn rows_that_fill_whole_blocks_of_a_pool_are_one() {
        let device = Device::flex();
        for (held, rows, whole) in [
            (0, 31, None),
            (0, 32, Some((32, 32))),
            (0, 100, Some((96, 96))),
            (64, 100, Some((96, 160))),
            (30, 40, Some((34, 64))),
            (30, 33, None),
            (31, 1, None),
            (32, 1, None),
        ] {
            let blocks = whole_blocks(held, rows, &device);
            let blocks: Vec<_> = blocks.iter().map(|it| (it.rows, it.keys)).collect();
            assert_eq!(blocks, Vec::from_iter(whole), "{rows} rows behind {held}");
        }
    }

    /// Two sequences, one that reads its prompt and one that answers, and padding: the prompt's rest and the others attend together.
    #[test]
    fn every_row_of_a_pool_has_its_place_and_its_keys() {
        let device = Device::flex();
        let sequence = |held, len| Sequence {
            len,
            held,
            blocks: whole_blocks(held, len, &device),
        };
        let sequences = [sequence(0, 34), sequence(70, 1)];
        let pooled = Pooled::new(&sequences, &[100, 10], 1, 500, &device);
        let numbers = |it: Tensor<1, Int>| it.into_data().iter::<i64>().collect::<Vec<_>>();
        let mut places: Vec<i64> = (100..134).collect();
        places.extend([80, 500]);
        assert_eq!(numbers(pooled.places), places);
        let (single, back) = pooled.order.expect("rows of both kinds");
        assert_eq!(numbers(single), [32, 33, 34, 35]);
        let mut order: Vec<i64> = (4..36).collect();
        order.extend(0..4);
        assert_eq!(numbers(back), order);
        let seen = pooled.seen.expect("rows in no block");
        assert_eq!(numbers(seen.first), [100, 100, 10, 500]);
        assert_eq!(numbers(seen.keys), [33, 34, 71, 1]);
    }
}
