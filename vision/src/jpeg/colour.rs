//! Planes of samples → RGB, with libjpeg's fixed-point constants (`jdcolor.c`) and, for CMYK, Pillow's conversion.

use image::RgbImage;

use super::headers::{Colour, Header};
use super::scan::Plane;
use super::upsample;

/// Brings the planes to one size and mixes them.
pub(super) fn to_rgb(header: &Header, planes: &[Plane]) -> RgbImage {
    let (width, height) = (header.width, header.height);
    let (most_h, most_v) = header.largest();
    let mut rows = vec![Vec::with_capacity(width + 2 * most_h); planes.len()];
    let mut pixels = vec![[0_u8; 3]; width * height];
    let colour = header.colour();
    for (y, line) in pixels.chunks_exact_mut(width).enumerate() {
        for ((plane, component), row) in planes.iter().zip(&header.components).zip(&mut rows) {
            upsample::row(plane, most_h / component.h, most_v / component.v, y, row);
        }
        match (colour, rows.as_slice()) {
            (Colour::Rgb, [a, b, c]) => mix(line, [a, b, c], |samples| samples),
            (Colour::Ycc, [a, b, c]) => mix(line, [a, b, c], ycc),
            (Colour::Cmyk, [a, b, c, d]) => {
                mix(line, [a, b, c, d], |[c, m, y, k]| ink([c, m, y], k));
            }
            // Adobe stores inks inverted: what YCC gives is already the inverse of what libjpeg inverts once more.
            (Colour::Ycck, [a, b, c, d]) => {
                mix(line, [a, b, c, d], |[y, cb, cr, k]| {
                    ink(ycc([y, cb, cr]).map(|v| 255 - v), k)
                });
            }
            (_, rows) => mix(line, [&rows[0]], |[grey]| [grey; 3]),
        }
    }
    let pixels = pixels.into_flattened();
    RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes for every pixel")
}

fn mix<const N: usize>(
    line: &mut [[u8; 3]],
    rows: [&Vec<u8>; N],
    to_rgb: impl Fn([u8; N]) -> [u8; 3],
) {
    let rows = rows.map(|row| &row[..line.len()]);
    for (x, pixel) in line.iter_mut().enumerate() {
        *pixel = to_rgb(rows.map(|row| row[x]));
    }
}

/// BT.601 with 16 bits after the point.
fn ycc([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16); // 1.40200
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16); // 0.34414, 0.71414
    let blue = y + ((116_130 * cb + HALF) >> 16); // 1.77200
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

/// Inks as Adobe stores them (255 is none) on white paper: Pillow's `cmyk2rgb` after its inversion.
fn ink(colours: [u8; 3], k: u8) -> [u8; 3] {
    let light = u32::from(k);
    colours.map(|colour| {
        let product = u32::from(255 - colour) * light + 128;
        light.saturating_sub(((product >> 8) + product) >> 8) as u8
    })
}
