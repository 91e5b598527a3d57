//! How many numbers a pass keeps for its backward pass. Follows the network's forward pass and what burn-autodiff 0.22.1 stores of each
//! operation: products store both factors, divisions both sides, `exp`, `sqrt` and GELU what went in; sums, reshapes and slices
//! store nothing. Knows no allocator: `train/tests/peak.rs` says how far that is from memory.

use model::Config;

use super::{Census, Reading, Room, Shape};

/// Tensors of the largest size that are made and dropped around those that stay.
const PASSING: u64 = 3;

/// Numbers that a pass holds at its peak. Computed `again`, it holds what enters every block, and the whole of one block or of the head.
pub(super) fn of_pass(
    network: &Config,
    census: &Census,
    shape: Shape,
    reading: Reading,
    again: bool,
) -> u64 {
    // What is kept of all blocks, and of the one that is computed again.
    let blocks = |room: Room, count: usize, all: u64, entering: u64| {
        if !census.reached(room) {
            (0, 0)
        } else if again {
            (count as u64 * entering, all / count.max(1) as u64)
        } else {
            (all, 0)
        }
    };
    let rows = reading.rows * network.text.hidden_size as u64;
    let patches: u64 = patches(network, shape).iter().sum();
    let photos = reading.photos;
    let (tower, text) = (&network.vision, &network.text);
    let (seen, block) = blocks(
        Room::Vision,
        tower.depth,
        photos * vision(network, shape),
        photos * patches * tower.hidden_size as u64,
    );
    let (read, layer) = blocks(
        Room::Decoder,
        text.num_hidden_layers,
        decoder(network, reading) + census.adapters * reading.rows,
        rows,
    );
    let merger = u64::from(census.reached(Room::Merger)) * photos * merger(network, shape);
    let norm = u64::from(census.reached(Room::Decoder)) * 3 * rows;
    let head = head(network, reading) + norm;
    let kept = if again {
        seen + read + head.max(layer).max(block).max(merger)
    } else {
        seen + read + head + merger
    };
    kept + PASSING * largest(network, census, shape, reading)
}

/// The largest tensor. Rows of all records go through products together; pictures and sequences attend one after another.
fn largest(network: &Config, census: &Census, shape: Shape, reading: Reading) -> u64 {
    let [photo, crop] = patches(network, shape);
    let (text, vision) = (&network.text, &network.vision);
    let mut sizes = vec![
        reading.rows * text.intermediate_size as u64,
        reading.scored * text.vocab_size as u64,
        text.num_attention_heads as u64 * reading.widest,
    ];
    if census.reached(Room::Vision) {
        sizes.push(reading.photos * (photo + crop) * vision.intermediate_size as u64);
        sizes.push(vision.num_heads as u64 * photo.max(crop).pow(2));
    }
    sizes.into_iter().max().unwrap_or(0)
}

/// What goes into the head, and the scores that `log_softmax` has shifted.
fn head(network: &Config, reading: Reading) -> u64 {
    let text = &network.text;
    reading.scored * (text.hidden_size + text.vocab_size) as u64
}

/// A row of a block leaves `10d + 5f`, as in the decoder but with keys and values of full width; attention leaves `3h` for every pair
/// of patches. The patch projection keeps the pixels.
fn vision(network: &Config, shape: Shape) -> u64 {
    let config = &network.vision;
    let (d, f) = (config.hidden_size as u64, config.intermediate_size as u64);
    let p: u64 = patches(network, shape).iter().sum();
    let rows = config.depth as u64 * p * (10 * d + 5 * f);
    rows + p * config.patch_values() as u64 + 3 * config.num_heads as u64 * attended(network, shape)
}

/// `5d` of each patch: the norm's three, the activation's input and output.
fn merger(network: &Config, shape: Shape) -> u64 {
    let [photo, crop] = patches(network, shape);
    (photo + crop) * 5 * network.vision.hidden_size as u64
}

/// A row of a layer leaves `8d + 2k + 5f`: two norms of three tensors (what comes in, divided, weighted), queries, the attended values,
/// keys and values, and gate, its sigmoid, their product, the other branch and the product of both. Attention leaves `3h` for every
/// pair of rows, seen or masked: scores, their exponentials, weights.
fn decoder(network: &Config, reading: Reading) -> u64 {
    let config = &network.text;
    let (d, f) = (config.hidden_size as u64, config.intermediate_size as u64);
    let (heads, layers) = (
        config.num_attention_heads as u64,
        config.num_hidden_layers as u64,
    );
    let keys = (config.num_key_value_heads * config.head_dim()) as u64;
    let layer = reading.rows * (8 * d + 2 * keys + 5 * f) + 3 * heads * reading.pairs;
    layers * layer
}

/// Patches of the photo and of the crop.
pub(super) fn patches(network: &Config, shape: Shape) -> [u64; 2] {
    let unit = (network.vision.spatial_merge_size as u64).pow(2);
    [shape.photo, shape.crop].map(|tokens| tokens as u64 * unit)
}

/// Pairs of patches that attend to each other, over all blocks; windows are counted whole.
pub(super) fn attended(network: &Config, shape: Shape) -> u64 {
    let config = &network.vision;
    let window = (config.window_size / config.patch_size).pow(2) as u64;
    let full = config.fullatt_block_indexes.len() as u64;
    let windowed = config.depth as u64 - full;
    let pairs = |p: u64| full * p * p + windowed * p * window.min(p);
    patches(network, shape).map(pairs).iter().sum()
}
