//! How many floating-point operations a pass takes, forward and backward. Counts products of matrices, each number of a product as two
//! operations; norms, activations and the optimizer are some percent beside them and are left out.

use model::Config;

use super::activations::{attended, patches};
use super::{Census, Reading, Room, Shape};

/// Operations of one pass: `2N` a row forward for a room of `N` parameters, as many again for the gradient of what comes in where
/// gradients flow, and twice the trained parameters for their own gradients; attention has no weights, but two factors.
pub(super) fn of_pass(network: &Config, census: &Census, shape: Shape, reading: Reading) -> f64 {
    let photos = reading.photos;
    let merged = photos * (shape.photo + shape.crop) as u64;
    let p = photos * patches(network, shape).iter().sum::<u64>();
    let linear = |weights: Room, reached: Room, rows: u64| {
        let passes = 1 + u64::from(census.reached(reached));
        let numbers = passes * census.parameters(weights) + census.trained(weights);
        (2 * numbers) as f64 * rows as f64
    };
    let attention = |room: Room, pairs: u64, width: usize| {
        let passes = 1 + 2 * u64::from(census.reached(room));
        (4 * passes * width as u64) as f64 * pairs as f64 // scores and values
    };
    let (vision, text) = (&network.vision, &network.text);
    // A tied head multiplies by the embedding, which costs nothing where rows are looked up.
    let head = if network.tie_word_embeddings {
        Room::Embedding
    } else {
        Room::Head
    };
    linear(Room::Vision, Room::Vision, p)
        + attention(
            Room::Vision,
            photos * attended(network, shape),
            vision.hidden_size,
        )
        + linear(Room::Merger, Room::Merger, merged)
        + linear(Room::Decoder, Room::Decoder, reading.rows)
        + attention(
            Room::Decoder,
            text.num_hidden_layers as u64 * reading.pairs,
            text.hidden_size,
        )
        + linear(head, Room::Head, reading.scored)
}
