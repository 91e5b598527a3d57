//! The language model: embedding, decoder layers with grouped-query attention and M-RoPE, final norm. Samples nothing.

mod cache;
mod decoder;
mod layer;
mod mlp;
mod pool;
mod positions;

pub use cache::Cache;
pub use decoder::{BLOCK, Decoder, Keys, Pooled, Rows, least_rows, padded};
pub use layer::{DecoderLayer, SelfAttention};
pub use mlp::Mlp;
pub use pool::Pool;
pub use positions::{Positions, angles};
