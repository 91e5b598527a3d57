//! What the network's work takes at least: operations over the rate of the unit that does them, bytes over bandwidth, whichever is
//! longer. Counts products and attention, each number of a product as two operations; norms, activations and the sampler are left
//! out. Measures nothing.
//!
//! Legend: `n` rows, `p` patches, `d` width, `l` keys.

use burn::tensor::DType;
use model::Config;
use model::vision::Layout;
use train::optim::Learning;
use train::plan::{Census, Room};
use vision::Grid;

/// What a device reaches at its best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Floating-point operations a second.
    pub operations: f64,
    /// Bytes a second between its memory and its units.
    pub bytes: f64,
}

/// Something to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Floating-point operations.
    pub operations: f64,
    /// Bytes that have to be moved, each once.
    pub bytes: f64,
}

impl Ceilings {
    /// How long `work` takes at least.
    pub fn seconds(&self, work: Work) -> f64 {
        (work.operations / self.operations).max(work.bytes / self.bytes)
    }
}

impl Work {
    /// The product of `[n, inner]` and `[inner, out]` in numbers of `width` bytes.
    pub fn product(n: usize, inner: usize, out: usize, width: usize) -> Self {
        let (n, inner, out) = (n as f64, inner as f64, out as f64);
        Self {
            operations: 2.0 * n * inner * out,
            bytes: width as f64 * (n * inner + inner * out + n * out),
        }
    }
}

/// What of a network counts here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Parameters of the tower without its merger.
    pub vision: f64,
    /// Parameters of the merger.
    pub merger: f64,
    /// Parameters of the decoder's layers and the last norm.
    pub decoder: f64,
    /// Parameters of the head, the embedding where that is the head.
    pub head: f64,
    /// All parameters.
    pub all: f64,
    /// Bytes of a number.
    pub width: f64,
    /// Bytes of the keys and values of one token in all layers.
    pub token: f64,
    /// Operations of one query with one key, in all layers.
    pair: f64,
}

impl Sizes {
    /// Counted on a network of `config` that is not allocated, in numbers of `dtype`.
    pub fn new(config: &Config, dtype: DType) -> Self {
        let nothing = Learning {
            lora: None,
            freeze: &[],
        };
        let census = Census::take(config, nothing);
        let count = |room: Room| census.parameters(room) as f64;
        let text = &config.text;
        let (width, layers) = (dtype.size() as f64, text.num_hidden_layers as f64);
        let keys = (text.num_key_value_heads * text.head_dim()) as f64;
        let (embedding, own_head) = (count(Room::Embedding), count(Room::Head));
        Self {
            vision: count(Room::Vision),
            merger: count(Room::Merger),
            decoder: count(Room::Decoder),
            head: if config.tie_word_embeddings {
                embedding
            } else {
                own_head
            },
            all: count(Room::Vision)
                + count(Room::Merger)
                + count(Room::Decoder)
                + embedding
                + own_head,
            width,
            token: 2.0 * layers * keys * width,
            pair: 4.0 * layers * text.hidden_size as f64, // scores and values
        }
    }

    /// The tower over pictures of `grids`, encoded together.
    pub fn vision(&self, config: &Config, grids: &[Grid]) -> Work {
        let vision = &config.vision;
        let patches: usize = grids.iter().map(Grid::patches).sum();
        let merged: usize = grids
            .iter()
            .map(|it| it.tokens(vision.spatial_merge_size))
            .sum();
        let layout = Layout::new(grids, vision);
        let pairs = |spans: &[std::ops::Range<usize>]| -> f64 {
            spans.iter().map(|it| (it.len() * it.len()) as f64).sum()
        };
        let full = vision.fullatt_block_indexes.len() as f64;
        let windowed = vision.depth as f64 - full;
        let pairs = full * pairs(&layout.frames) + windowed * pairs(&layout.windows);
        let products = self.vision * patches as f64 + self.merger * merged as f64;
        Work {
            operations: 2.0 * products + 4.0 * vision.hidden_size as f64 * pairs,
            bytes: self.width * (self.vision + self.merger),
        }
    }

    /// Reading the last `n` tokens of a prompt of `l`, up to its last token's scores.
    pub fn prefill(&self, n: usize, l: usize) -> Work {
        let (n, l) = (n as f64, l as f64);
        let pairs = n * (l - n) + n * n / 2.0; // those before it, and half of its own
        Work {
            operations: 2.0 * (self.decoder * n + self.head) + self.pair * pairs,
            bytes: self.width * (self.decoder + self.head) + self.token * l,
        }
    }

    /// Seconds of a step that gives each of `batch` sequences with `context` tokens one more: the products, then attention.
    pub fn step(&self, batch: usize, context: usize, ceilings: &Ceilings) -> f64 {
        let (batch, context) = (batch as f64, context as f64);
        let weights = self.decoder + self.head;
        ceilings.seconds(Work {
            operations: 2.0 * weights * batch,
            bytes: self.width * weights,
        }) + ceilings.seconds(Work {
            operations: self.pair * batch * context,
            bytes: self.token * batch * context,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    /// One H200, measured.
    const H200: Ceilings = Ceilings {
        operations: 790e12,
        bytes: 4.3e12,
    };

    fn near(found: f64, expected: f64, part: f64) -> bool {
        (found / expected - 1.0).abs() < part
    }

    /// The published figures of the 7B: vision tower 0.677 B, decoder 6.526 B, head 0.545 B, 57,344 B a token; vision 2.0 and prefill 9.7
    /// trillion operations for a photo of 345 tokens, a crop of 35 and a prompt of 734; steps of 3.30 to 7.65 ms.
    #[test]
    fn the_seven_billions_are_counted_as_published() {
        let config = Shape::B7.published().expect("ours");
        let sizes = Sizes::new(&config, DType::BF16);
        assert!(near(sizes.all, 8_292_166_656.0, 1e-12));
        assert!(near(sizes.vision + sizes.merger, 0.677e9, 0.001));
        assert!(near(sizes.decoder, 6.526e9, 0.001));
        assert!(near(sizes.head, 0.545e9, 0.001));
        assert!(near(sizes.token, 57_344.0, 1e-12));
        let grid = |h, w| Grid { t: 1, h, w };
        let vision = sizes.vision(&config, &[grid(30, 46), grid(14, 10)]);
        assert!(
            near(vision.operations, 2.0e12, 0.05),
            "{}",
            vision.operations
        );
        let prefill = sizes.prefill(734, 734).operations;
        assert!(near(prefill, 9.7e12, 0.01), "{prefill}");
        for (batch, millis) in [
            (1, 3.30),
            (8, 3.38),
            (32, 3.67),
            (64, 4.06),
            (128, 4.82),
            (256, 7.65),
        ] {
            let step = sizes.step(batch, 734 + 330 / 2, &H200) * 1e3;
            assert!(near(step, millis, 0.01), "{batch}: {step}");
        }
    }

    #[test]
    fn a_prompt_read_in_two_pieces_is_the_same_work_beside_its_weights() {
        let config = Shape::B3.published().expect("ours");
        let sizes = Sizes::new(&config, DType::BF16);
        let whole = sizes.prefill(700, 700).operations;
        let pieces = sizes.prefill(300, 300).operations + sizes.prefill(400, 700).operations;
        let head = 2.0 * sizes.head;
        assert!(near(pieces - head, whole, 1e-9), "{pieces} {whole}");
    }
}
