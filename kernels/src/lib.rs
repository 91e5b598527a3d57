//! Kernels of our own for GPUs, in `CubeCL`: attention of a few rows of many sequences over a pool of keys and values, and the writing of
//! new ones into it. Knows no tensor library and no network; which rows see which keys is the caller's business.
//!
//! Shapes: `rows` queries, `places` of a pool, `heads` of queries, `key_heads` of keys, `group = heads / key_heads`.
//!
//! `attention` what is launched · `twin` the same in plain Rust, what the kernels are tested against

mod attention;
pub mod twin;
mod write;

pub use attention::{Attention, attend, fits};
pub use write::{Written, write};
