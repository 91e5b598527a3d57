//! The vision tower: patch rows in, one decoder-wide row per merged token out. Decodes and resizes nothing: that is the crate
//! `vision`.

mod block;
mod layout;
mod spans;
mod tower;

pub use block::{Merger, VisionBlock};
pub use layout::Layout;
pub use spans::Spans;
pub use tower::{Pass, VisionTower};
