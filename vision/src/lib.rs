//! From the bytes of a photo to the rows a vision tower reads: decode, stand upright, crop, resize, cut into patches.
//!
//! Every number follows transformers 5.23.0's default image processor for Qwen2.5-VL, whose torchvision resize is
//! reproduced bit for bit. Knows no tensor library, no model and no network: bytes come in, a `Vec<f32>` goes out.

mod decode;
mod error;
mod flatten;
mod jpeg;
mod patches;
mod processor;
mod region;
mod resize;

pub use decode::{Limits, Photo, decode};
pub use error::{BoxError, Error};
pub use image::RgbImage;
pub use patches::{Grid, Patches};
pub use processor::Processor;
pub use region::{BoxFormat, PixelBox, Region, crop, region};
pub use resize::resize;
