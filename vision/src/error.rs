//! Every way a picture or a box can be unusable; each variant carries the values that disagreed.
//! Says nothing of HTTP: the server decides which status a variant becomes.

use crate::region::BoxFormat;

/// Why bytes did not become patches.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There was nothing to decode.
    #[error("the image is empty (0 bytes)")]
    Empty,
    /// The file is longer than we read.
    #[error("the image has {got} bytes, the limit is {limit}")]
    TooManyBytes {
        /// Length of the file.
        got: usize,
        /// [`crate::Limits::max_bytes`].
        limit: usize,
    },
    /// The first bytes belong to no image format that is known here.
    #[error("not an image: the first bytes are {start}; PNG, JPEG, WebP, GIF and BMP are read")]
    UnknownFormat {
        /// The first bytes in hexadecimal.
        start: String,
    },
    /// An image, but in a format that is not read.
    #[error("the image is {format}, which is not read; PNG, JPEG, WebP, GIF and BMP are")]
    UnsupportedFormat {
        /// The format that was recognised.
        format: String,
    },
    /// The header announces a picture without pixels.
    #[error("the image is {width}x{height}: it has no pixels")]
    NoPixels {
        /// Width from the header.
        width: u32,
        /// Height from the header.
        height: u32,
    },
    /// The header announces a side longer than allowed; nothing was decoded.
    #[error("the image is {width}x{height}, the longest side allowed is {limit}")]
    SideTooLong {
        /// Width from the header.
        width: u32,
        /// Height from the header.
        height: u32,
        /// [`crate::Limits::max_side`].
        limit: u32,
    },
    /// The header announces more pixels than allowed; nothing was decoded.
    #[error("the image is {width}x{height} = {pixels} pixels, the limit is {limit}")]
    TooManyPixels {
        /// Width from the header.
        width: u32,
        /// Height from the header.
        height: u32,
        /// Their product.
        pixels: u64,
        /// [`crate::Limits::max_pixels`].
        limit: u64,
    },
    /// The file begins like an image and is broken, or cut off, further on.
    #[error("the {format} image cannot be decoded: {reason}")]
    Corrupt {
        /// The format that was recognised.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The picture is so narrow that the model was never shown the like.
    #[error(
        "the image is {width}x{height}, one side {ratio:.1} times the other; the limit is {limit}"
    )]
    AspectRatio {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Longer side over shorter side.
        ratio: f64,
        /// The largest ratio allowed.
        limit: u32,
    },
    /// The processor's configuration lacks a key, or holds a value that is not supported.
    #[error("image processor configuration, `{key}`: {reason}")]
    Config {
        /// The key in `preprocessor_config.json`.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
}

/// Why four numbers are no box in a picture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BoxError {
    /// NaN or infinity, given or reached on the way to pixels.
    #[error("box value {position} ({format}) is {value}: every value has to be a finite number")]
    NotFinite {
        /// Which of the four, counted from 1.
        position: usize,
        /// How the box was declared.
        format: BoxFormat,
        /// What was given.
        value: f64,
    },
    /// The box ends before it begins.
    #[error("the box is inverted: along {axis} it goes from {low} to {high} px")]
    Inverted {
        /// `x` or `y`.
        axis: char,
        /// Where it begins, in pixels.
        low: f64,
        /// Where it ends, in pixels.
        high: f64,
    },
    /// The box has no extent.
    #[error("the box is empty: along {axis} it begins and ends at {at} px")]
    NoExtent {
        /// `x` or `y`.
        axis: char,
        /// Where, in pixels.
        at: f64,
    },
    /// No part of the box lies in the picture.
    #[error(
        "the box ({format}) lies outside the image: along {axis} it goes from {low} to {high} px, the image from 0 to {limit} px"
    )]
    Outside {
        /// How the box was declared.
        format: BoxFormat,
        /// `x` or `y`.
        axis: char,
        /// Where it begins, in pixels.
        low: f64,
        /// Where it ends, in pixels.
        high: f64,
        /// The image's size along that axis.
        limit: u32,
    },
    /// The name of a box format is unknown.
    #[error("unknown box format `{name}`: xyxy, xywh, cxcywh and percent are known")]
    UnknownFormat {
        /// What was given.
        name: String,
    },
}
