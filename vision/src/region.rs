//! Boxes: the four ways callers write them, turned into whole pixels inside the picture. Decides nothing about resizing.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::BoxError;

/// How the four numbers of a box are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormat {
    /// Left, top, right, bottom in pixels.
    #[default]
    Xyxy,
    /// Left, top, width, height in pixels.
    Xywh,
    /// Centre x, centre y, width, height, each over the picture's side: what MORE's records hold.
    Cxcywh,
    /// Left, top, width, height in percent of the picture's side: what Label Studio exports.
    Percent,
}

impl BoxFormat {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Xyxy, Self::Xywh, Self::Cxcywh, Self::Percent];

    /// The name callers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xyxy => "xyxy",
            Self::Xywh => "xywh",
            Self::Cxcywh => "cxcywh",
            Self::Percent => "percent",
        }
    }
}

impl fmt::Display for BoxFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BoxFormat {
    type Err = BoxError;

    fn from_str(name: &str) -> Result<Self, BoxError> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| BoxError::UnknownFormat {
                name: name.to_owned(),
            })
    }
}

/// A box in whole pixels, half open: `x1` and `y1` are the first column and row that do not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelBox {
    /// First column.
    pub x0: u32,
    /// First row.
    pub y0: u32,
    /// Column after the last.
    pub x1: u32,
    /// Row after the last.
    pub y1: u32,
}

impl PixelBox {
    /// Columns in the box.
    pub fn width(&self) -> u32 {
        self.x1 - self.x0
    }

    /// Rows in the box.
    pub fn height(&self) -> u32 {
        self.y1 - self.y0
    }
}

/// Where the object is, and whether the caller's box had to be cut to the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The pixels that are looked at.
    pub pixels: PixelBox,
    /// Whether a part of the caller's box lay outside.
    pub clipped: bool,
}

/// Turns a caller's box into whole pixels of a picture of `width` by `height`.
///
/// Edges grow outwards to whole pixels, so that the box never loses a part of the object; what lies outside is cut off.
///
/// # Errors
/// When a value is not finite, when the box is inverted or has no extent, and when no part of it lies in the picture.
pub fn region(
    bbox: [f64; 4],
    format: BoxFormat,
    width: u32,
    height: u32,
) -> Result<Region, BoxError> {
    if let Some(at) = bbox.iter().position(|value| !value.is_finite()) {
        return Err(BoxError::NotFinite {
            position: at + 1,
            format,
            value: bbox[at],
        });
    }
    let (w, h) = (f64::from(width), f64::from(height));
    let [a, b, c, d] = bbox;
    let (xs, ys) = match format {
        BoxFormat::Xyxy => ((a, c), (b, d)),
        BoxFormat::Xywh => ((a, a + c), (b, b + d)),
        BoxFormat::Cxcywh => (
            ((a - c / 2.0) * w, (a + c / 2.0) * w),
            ((b - d / 2.0) * h, (b + d / 2.0) * h),
        ),
        BoxFormat::Percent => (
            (a / 100.0 * w, (a + c) / 100.0 * w),
            (b / 100.0 * h, (b + d) / 100.0 * h),
        ),
    };
    // Files carry normalised boxes with six decimals (MORE): an edge is known to a millionth of the side, no better,
    // and a whole pixel written that way must not swell to the next one.
    let slack = match format {
        BoxFormat::Xyxy | BoxFormat::Xywh => 1e-6,
        BoxFormat::Cxcywh | BoxFormat::Percent => 1e-6 * w.max(h).max(1.0),
    };
    let x = Axis {
        name: 'x',
        low: xs.0,
        high: xs.1,
        size: width,
        positions: [1, 3],
    };
    let y = Axis {
        name: 'y',
        low: ys.0,
        high: ys.1,
        size: height,
        positions: [2, 4],
    };
    x.check(bbox, format)?;
    y.check(bbox, format)?;
    let (x0, x1, clipped_x) = x.pixels(slack);
    let (y0, y1, clipped_y) = y.pixels(slack);
    Ok(Region {
        pixels: PixelBox { x0, y0, x1, y1 },
        clipped: clipped_x || clipped_y,
    })
}

/// The pixels of a box, copied.
///
/// # Panics
/// When the box is empty or reaches outside the picture; [`region`] gives only boxes that do neither.
pub fn crop(image: &RgbImage, b: &PixelBox) -> RgbImage {
    let (width, height) = image.dimensions();
    assert!(
        b.x0 < b.x1 && b.x1 <= width && b.y0 < b.y1 && b.y1 <= height,
        "box {b:?} does not fit an image of {width}x{height}"
    );
    image::imageops::crop_imm(image, b.x0, b.y0, b.width(), b.height()).to_image()
}

/// One side of a box, in pixels that need not be whole.
struct Axis {
    name: char,
    low: f64,
    high: f64,
    size: u32,
    positions: [usize; 2],
}

impl Axis {
    fn check(&self, bbox: [f64; 4], format: BoxFormat) -> Result<(), BoxError> {
        let &Self {
            name: axis,
            low,
            high,
            size: limit,
            positions,
        } = self;
        // Finite numbers can overflow on the way: blame the larger of the two that made this side.
        if !(low.is_finite() && high.is_finite()) {
            let [first, second] = positions;
            let position = if bbox[first - 1].abs() >= bbox[second - 1].abs() {
                first
            } else {
                second
            };
            return Err(BoxError::NotFinite {
                position,
                format,
                value: bbox[position - 1],
            });
        }
        if high < low {
            return Err(BoxError::Inverted { axis, low, high });
        }
        if high <= low {
            return Err(BoxError::NoExtent { axis, at: low });
        }
        if high <= 0.0 || low >= f64::from(limit) {
            return Err(BoxError::Outside {
                format,
                axis,
                low,
                high,
                limit,
            });
        }
        Ok(())
    }

    /// First pixel, pixel after the last, and whether something was cut off; at least one pixel remains.
    fn pixels(&self, slack: f64) -> (u32, u32, bool) {
        let size = f64::from(self.size);
        let clipped = self.low < -slack || self.high > size + slack;
        let low = (self.low + slack).floor().clamp(0.0, size - 1.0);
        let high = (self.high - slack).ceil().clamp(low + 1.0, size);
        (low as u32, high as u32, clipped)
    }
}
