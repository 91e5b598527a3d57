//! The image processor of a checkpoint: which size a picture gets, and the whole way from RGB to patch rows.
//! Reads no file: the configuration comes as JSON that somebody else has opened.

use image::RgbImage;
use serde_json::Value;

use crate::{Error, Patches, patches, resize};

/// Longer side over shorter side that transformers still accepts (`smart_resize`).
const MAX_ASPECT: u32 = 200;

/// What `preprocessor_config.json` says; the fields repeat its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Processor {
    /// Smaller pictures are enlarged to at least so many pixels.
    pub min_pixels: u64,
    /// Larger pictures are shrunk to at most so many pixels.
    pub max_pixels: u64,
    /// Side of a patch, 14 in every Qwen2.5-VL.
    pub patch_size: u32,
    /// Patches a side that become one token.
    pub merge_size: u32,
    /// Frames in a patch row; a photo is repeated.
    pub temporal_patch_size: u32,
    /// Subtracted, per channel, on the scale 0 to 1.
    pub mean: [f32; 3],
    /// Divided by, per channel, on the scale 0 to 1.
    pub std: [f32; 3],
}

impl Processor {
    /// Reads `preprocessor_config.json`, or `processor_config.json` with the same keys under `image_processor`.
    ///
    /// The pixel counts stand in `min_pixels`/`max_pixels` or in `size`; they have no default, because the library's
    /// differ from every published file. The other keys default to what all Qwen2.5-VL checkpoints share.
    ///
    /// # Errors
    /// When the pixel counts are missing, a value has the wrong type or is unusable, or the file asks for a step that
    /// this processor does not take (another filter, no normalisation).
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let value = value.get("image_processor").unwrap_or(value);
        if !value.is_object() {
            return Err(Error::Config {
                key: "image_processor",
                reason: format!("expected an object, got {value}"),
            });
        }
        check_steps(value)?;
        let processor = Self {
            min_pixels: pixel_count(value, "min_pixels", "shortest_edge")?,
            max_pixels: pixel_count(value, "max_pixels", "longest_edge")?,
            patch_size: small(value, "patch_size", 14)?,
            merge_size: small(value, "merge_size", 2)?,
            temporal_patch_size: small(value, "temporal_patch_size", 2)?,
            mean: triple(
                value,
                "image_mean",
                [0.481_454_66, 0.457_827_5, 0.408_210_73],
            )?,
            std: triple(value, "image_std", [0.268_629_54, 0.261_302_6, 0.275_777_1])?,
        };
        if processor.min_pixels > processor.max_pixels {
            let reason = format!(
                "{} is above max_pixels, {}",
                processor.min_pixels, processor.max_pixels
            );
            return Err(Error::Config {
                key: "min_pixels",
                reason,
            });
        }
        if processor.std.iter().any(|&std| std <= 0.0) {
            return Err(Error::Config {
                key: "image_std",
                reason: format!("{:?} has to be positive", processor.std),
            });
        }
        Ok(processor)
    }

    /// The size, width and height, that a picture is resized to: multiples of `patch_size * merge_size` with about the
    /// same aspect ratio and a pixel count between `min_pixels` and `max_pixels`.
    ///
    /// Reference: `smart_resize`, transformers 5.23.0. Rounding is half to even, as Python's `round` does.
    ///
    /// # Errors
    /// When the picture has no pixels, or one side is more than 200 times the other.
    pub fn smart_resize(&self, width: u32, height: u32) -> Result<(u32, u32), Error> {
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        let (w, h) = (f64::from(width), f64::from(height));
        let ratio = w.max(h) / w.min(h);
        if ratio > f64::from(MAX_ASPECT) {
            return Err(Error::AspectRatio {
                width,
                height,
                ratio,
                limit: MAX_ASPECT,
            });
        }
        let factor = f64::from(self.patch_size * self.merge_size);
        let nearest = |side: f64| (side / factor).round_ties_even() * factor;
        let (mut to_w, mut to_h) = (nearest(w), nearest(h));
        if to_w * to_h > self.max_pixels as f64 {
            let beta = (h * w / self.max_pixels as f64).sqrt();
            let shrink = |side: f64| ((side / beta / factor).floor() * factor).max(factor);
            (to_w, to_h) = (shrink(w), shrink(h));
        } else if to_w * to_h < self.min_pixels.max(1) as f64 {
            // A side below half a merged patch was rounded to 0, and comes back here.
            let beta = (self.min_pixels.max(1) as f64 / (h * w)).sqrt();
            let grow = |side: f64| (side * beta / factor).ceil() * factor;
            (to_w, to_h) = (grow(w), grow(h));
        }
        Ok((to_w as u32, to_h as u32))
    }

    /// The patch rows of a picture: resized, normalised, cut.
    ///
    /// # Errors
    /// Those of [`Processor::smart_resize`].
    pub fn patches(&self, image: &RgbImage) -> Result<Patches, Error> {
        let (width, height) = self.smart_resize(image.width(), image.height())?;
        if (width, height) == image.dimensions() {
            return Ok(patches::cut(image, self));
        }
        Ok(patches::cut(&resize::resize(image, width, height), self))
    }
}

/// Refuses configurations that switch a step off or choose another one; a missing key means the usual step.
fn check_steps(value: &Value) -> Result<(), Error> {
    let refuse = |key, expected: Value| match value.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(found) if *found == expected => Ok(()),
        Some(found) => Err(Error::Config {
            key,
            reason: format!("{found} is not supported, only {expected}"),
        }),
    };
    refuse("do_resize", true.into())?;
    refuse("do_rescale", true.into())?;
    refuse("do_normalize", true.into())?;
    refuse("do_convert_rgb", true.into())?;
    refuse("resample", 3.into())?; // PIL's number for bicubic
    match value.get("rescale_factor").map(Value::as_f64) {
        None => Ok(()),
        Some(Some(factor)) if (factor * 255.0 - 1.0).abs() < 1e-6 => Ok(()),
        Some(found) => Err(Error::Config {
            key: "rescale_factor",
            reason: format!("{found:?} is not 1/255"),
        }),
    }
}

/// A count of pixels under its own key or, in newer files, inside `size`; its own key wins, as in transformers.
fn pixel_count(value: &Value, key: &'static str, in_size: &str) -> Result<u64, Error> {
    let found = [
        value.get(key),
        value.get("size").and_then(|size| size.get(in_size)),
        value.get("size").and_then(|size| size.get(key)),
    ];
    let Some(found) = found.into_iter().flatten().find(|found| !found.is_null()) else {
        return Err(Error::Config {
            key,
            reason: format!("missing, and so is `size.{in_size}`"),
        });
    };
    match found.as_u64() {
        Some(count) if count > 0 && count <= 1 << 40 => Ok(count),
        _ => Err(Error::Config {
            key,
            reason: format!("{found} is no count of pixels"),
        }),
    }
}

/// A side or number of frames; at most 1,024, so that products stay far from overflow.
fn small(value: &Value, key: &'static str, default: u32) -> Result<u32, Error> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(found) => match found.as_u64() {
            Some(number @ 1..=1024) => Ok(number as u32),
            _ => Err(Error::Config {
                key,
                reason: format!("{found} is no whole number from 1 to 1024"),
            }),
        },
    }
}

/// Three numbers, one a channel.
fn triple(value: &Value, key: &'static str, default: [f32; 3]) -> Result<[f32; 3], Error> {
    let Some(found) = value.get(key).filter(|found| !found.is_null()) else {
        return Ok(default);
    };
    let numbers = found
        .as_array()
        .map(|list| list.iter().map(Value::as_f64).collect::<Vec<_>>());
    match numbers.as_deref() {
        Some(&[Some(r), Some(g), Some(b)]) => Ok([r as f32, g as f32, b as f32]),
        _ => Err(Error::Config {
            key,
            reason: format!("{found} is no list of three numbers"),
        }),
    }
}
