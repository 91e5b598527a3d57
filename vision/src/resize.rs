//! The bicubic, antialiased resize of 8-bit pictures, bit for bit as torchvision's default kernel computes it.
//! Chooses no size: `processor.rs` does.
//!
//! Reference: `_compute_index_ranges_int16_weights` and the `uint8` passes of `UpSampleKernel.cpp` (`ATen`), torch 2.15.
//! The weights are 16-bit fixed point, the picture is rounded to 8 bits between the passes, and the horizontal pass
//! comes first; each of the three decides low bits of the result.

use image::RgbImage;

/// Bytes of a row that are summed at a time: their 32-bit sums fit the registers of any x86-64.
const STRIP: usize = 32;

/// Resizes to `width` by `height`; a side that keeps its length is left as it is.
///
/// # Panics
/// When a side is 0, of the picture or of the result.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = image.dimensions();
    assert!(
        from_width > 0 && from_height > 0 && width > 0 && height > 0,
        "cannot resize {from_width}x{from_height} to {width}x{height}"
    );
    let (w, h) = (from_width as usize, from_height as usize);
    let (to_w, to_h) = (width as usize, height as usize);
    let mut pixels = None;
    if w != to_w {
        // Columns become rows, so that both passes read and write along memory.
        let columns = transpose(image.as_raw(), w, h);
        let columns = blend_rows(&columns, h * 3, &Taps::new(w, to_w));
        pixels = Some(transpose(&columns, h, to_w));
    }
    if h != to_h {
        let rows = pixels.as_deref().unwrap_or(image.as_raw());
        pixels = Some(blend_rows(rows, to_w * 3, &Taps::new(h, to_h)));
    }
    let pixels = pixels.unwrap_or_else(|| image.as_raw().clone());
    RgbImage::from_raw(width, height, pixels)
        .expect("both passes made exactly the rows and columns asked for")
}

/// Which input positions make an output position, and how much each counts.
struct Taps {
    /// Per output position: the first input position, and where its weights lie in `weights`.
    ranges: Vec<(usize, std::ops::Range<usize>)>,
    /// Fixed-point weights with `precision` bits after the point.
    weights: Vec<i16>,
    precision: u32,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = 2.0 * scale.max(1.0);
        let shrink = 1.0 / scale.max(1.0);
        let mut ranges = Vec::with_capacity(to);
        let mut exact = Vec::new();
        for i in 0..to {
            let centre = scale * (i as f64 + 0.5);
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let start = exact.len();
            exact.extend((first..end).map(|j| cubic((j as f64 - centre + 0.5) * shrink)));
            let total: f64 = exact[start..].iter().sum();
            exact[start..]
                .iter_mut()
                .for_each(|weight| *weight /= total);
            ranges.push((first, start..exact.len()));
        }
        let largest = exact.iter().copied().fold(0.0, f64::max);
        let precision = (1..=22)
            .take_while(|&p| largest * f64::from(1_u32 << p) + 0.5 < 32_768.0)
            .last();
        let precision =
            precision.expect("weights sum to 1, so one bit after the point always fits");
        let unit = f64::from(1_u32 << precision);
        // f64::round is half away from zero, which is how the reference rounds.
        let weights = exact
            .iter()
            .map(|weight| (weight * unit).round() as i16)
            .collect();
        Self {
            ranges,
            weights,
            precision,
        }
    }
}

/// Keys' cubic with a = -1/2.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

/// Every output row is a weighted sum of input rows of `stride` bytes.
fn blend_rows(rows: &[u8], stride: usize, taps: &Taps) -> Vec<u8> {
    let mut out = vec![0_u8; stride * taps.ranges.len()];
    for ((first, range), out_row) in taps.ranges.iter().zip(out.chunks_exact_mut(stride)) {
        let weights = &taps.weights[range.clone()];
        let source = &rows[first * stride..(first + weights.len()) * stride];
        let (strips, rest) = out_row.as_chunks_mut::<STRIP>();
        let covered = strips.len() * STRIP;
        for (strip, out) in strips.iter_mut().enumerate() {
            *out = blend(&source[strip * STRIP..], stride, weights, taps.precision);
        }
        for (x, byte) in rest.iter_mut().enumerate() {
            [*byte] = blend(&source[covered + x..], stride, weights, taps.precision);
        }
    }
    out
}

/// `N` neighbouring bytes of an output row; `source` begins at the first of them in the first input row.
fn blend<const N: usize>(source: &[u8], stride: usize, weights: &[i16], precision: u32) -> [u8; N] {
    let mut sums = [1_i32 << (precision - 1); N];
    for (row, &weight) in source.chunks(stride).zip(weights) {
        let row = row
            .first_chunk::<N>()
            .expect("every row reaches past the strip");
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += i32::from(value) * i32::from(weight);
        }
    }
    sums.map(|sum| (sum >> precision).clamp(0, 255) as u8)
}

/// Swaps rows and columns of RGB pixels; `width` is the input's.
fn transpose(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    /// Pixels a side of a block: 16 rows of 48 bytes stay in the first-level cache.
    const BLOCK: usize = 16;
    let (pixels, _) = pixels.as_chunks::<3>();
    let mut out = vec![[0_u8; 3]; pixels.len()];
    for y0 in (0..height).step_by(BLOCK) {
        let y1 = (y0 + BLOCK).min(height);
        for x0 in (0..width).step_by(BLOCK) {
            for x in x0..(x0 + BLOCK).min(width) {
                for (y, pixel) in (y0..y1).zip(&mut out[x * height + y0..x * height + y1]) {
                    *pixel = pixels[y * width + x];
                }
            }
        }
    }
    out.into_flattened()
}
