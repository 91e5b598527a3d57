//! Any decoded pixel type → 8-bit RGB: grey is repeated, 16 bits are scaled to 8, alpha is composited on white.
//! Reads no file and changes no size.

use image::{DynamicImage, RgbImage};

/// Brings a picture to 8-bit RGB the way transformers 5 does (`convert_to_rgb`), with Pillow's own integer arithmetic.
///
/// 16-bit samples keep their high byte, which is Pillow's rule for colour; its rule for 16-bit grey (clip at 255)
/// turns nearly every such picture white and is not followed.
pub(crate) fn flatten(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageRgb8(pixels) => pixels,
        DynamicImage::ImageRgba8(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |&[r, g, b, a]: &[u8; 4]| [over_white(r, a), over_white(g, a), over_white(b, a)],
        ),
        DynamicImage::ImageLuma8(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |&[v]: &[u8; 1]| [v; 3],
        ),
        DynamicImage::ImageLumaA8(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |&[v, a]: &[u8; 2]| [over_white(v, a); 3],
        ),
        DynamicImage::ImageLuma16(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |&[v]: &[u16; 1]| [high(v); 3],
        ),
        DynamicImage::ImageLumaA16(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |&[v, a]: &[u16; 2]| [over_white(high(v), high(a)); 3],
        ),
        DynamicImage::ImageRgb16(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |rgb: &[u16; 3]| rgb.map(high),
        ),
        DynamicImage::ImageRgba16(pixels) => map(
            pixels.width(),
            pixels.height(),
            pixels.as_raw(),
            |&[r, g, b, a]: &[u16; 4]| [r, g, b].map(|v| over_white(high(v), high(a))),
        ),
        // The formats we read have no float pixels; the library's own conversion is right for whatever comes later.
        other => flatten(DynamicImage::ImageRgba8(other.to_rgba8())),
    }
}

/// Applies `to_rgb` to every pixel of `N` samples.
fn map<T, const N: usize>(
    width: u32,
    height: u32,
    samples: &[T],
    to_rgb: impl Fn(&[T; N]) -> [u8; 3],
) -> RgbImage {
    let (pixels, _) = samples.as_chunks::<N>();
    let rgb = pixels
        .iter()
        .map(to_rgb)
        .collect::<Vec<_>>()
        .into_flattened();
    RgbImage::from_raw(width, height, rgb).expect("every pixel gave three bytes")
}

/// The high byte of a 16-bit sample.
fn high(value: u16) -> u8 {
    (value >> 8) as u8
}

/// One sample of alpha `a` over white: Pillow's `alpha_composite` for an opaque background (`AlphaComposite.c`).
fn over_white(value: u8, a: u8) -> u8 {
    const BITS: u32 = 7; // PRECISION_BITS
    let front = u32::from(a) << BITS;
    let back = (255 << BITS) - front;
    let sum = u32::from(value) * front + 255 * back + (0x80 << BITS);
    ((((sum >> 8) + sum) >> 8) >> BITS) as u8
}
