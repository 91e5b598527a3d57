//! A weight of few bits as products read it: 32 columns of the result lie side by side, and are written out in f32 piece by piece in a near cache, where
//! the tiles of `product` find them. The results are those of the dequantised weight, bit for bit. Rounds nothing: that is `quantize.rs`.

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use crate::quantize::{BLOCK, Blocks, Quantization};

/// Columns that lie side by side.
pub(super) const WIDTH: usize = 32;

/// Rows of a piece, whole blocks of them: with [`WIDTH`] columns 16 KiB in f32.
pub(super) const PIECE: usize = 4 * BLOCK;

/// A weight in panels of [`WIDTH`] columns; what the last one lacks is zero.
#[derive(Debug)]
pub struct Panels {
    quantization: Quantization,
    /// `[out, in]`
    shape: [usize; 2],
    /// For every panel and value of the input one row: 32 bytes; of four bits 16, those of the second half of the columns above those of the first, and
    /// 8 added to each.
    values: Vec<u8>,
    /// For every panel and block 32 numbers, in the bits of bf16.
    scales: Vec<u16>,
}

impl Panels {
    /// Lays out what has been rounded.
    pub fn new(blocks: &Blocks) -> Self {
        let [out, input] = blocks.shape;
        let quantization = blocks.quantization;
        // A column of the panel, of the values or of the scales; behind the last ones of the matrix zeros.
        let column = |panel: usize, row: usize, lane: usize, of: usize| {
            let at = panel * WIDTH + lane;
            (at < out).then_some(at * of + row)
        };
        let panels = out.div_ceil(WIDTH);
        let width = row_bytes(quantization);
        let mut values = vec![0; panels * input * width];
        let own = values.par_chunks_exact_mut(input * width).enumerate();
        own.for_each(|(panel, values)| {
            for (row, bytes) in values.chunks_exact_mut(width).enumerate() {
                let value =
                    |lane| column(panel, row, lane, input).map_or(0, |at| blocks.values[at]);
                for (lane, byte) in bytes.iter_mut().enumerate() {
                    *byte = match quantization {
                        Quantization::Int8 => value(lane).cast_unsigned(),
                        Quantization::Int4 => ((value(lane) + 8)
                            | ((value(lane + WIDTH / 2) + 8) << 4))
                            .cast_unsigned(),
                    };
                }
            }
        });
        let of = input / BLOCK;
        let scales = (0..panels * of * WIDTH).map(|index| {
            let (panel, row, lane) = (index / WIDTH / of, index / WIDTH % of, index % WIDTH);
            let scale = column(panel, row, lane, of).map_or(0.0, |at| blocks.scales[at]);
            bf16::from_f32(scale).to_bits()
        });
        Self {
            quantization,
            shape: blocks.shape,
            scales: scales.collect(),
            values,
        }
    }

    /// `[out, in]`
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Writes `rows` of a panel in f32. Both of their ends are those of blocks.
    #[inline(always)]
    pub(super) fn unpack(&self, panel: usize, rows: Range<usize>, into: &mut [f32]) {
        let [_, input] = self.shape;
        let width = row_bytes(self.quantization);
        let first = panel * input + rows.start;
        let values = &self.values[first * width..][..rows.len() * width];
        let scales = &self.scales[first / BLOCK * WIDTH..][..rows.len() / BLOCK * WIDTH];
        let scales = scales.as_chunks::<WIDTH>().0.iter();
        let blocks = scales.zip(values.chunks_exact(BLOCK * width));
        for ((bits, values), into) in blocks.zip(into.chunks_exact_mut(BLOCK * WIDTH)) {
            let mut scales = [0.0; WIDTH];
            for (scale, bits) in scales.iter_mut().zip(bits) {
                *scale = f32::from_bits(u32::from(*bits) << 16);
            }
            let into = into.as_chunks_mut::<WIDTH>().0;
            match self.quantization {
                Quantization::Int8 => bytes(values.as_chunks().0, &scales, into),
                Quantization::Int4 => halves(values.as_chunks().0, &scales, into),
            }
        }
    }

    /// The weight as it multiplies, row by row.
    pub fn dequantized(&self) -> Vec<f32> {
        let [out, input] = self.shape;
        let mut weight = vec![0.0; out * input];
        let mut panel = vec![0.0; input * WIDTH];
        for (index, weight) in weight.chunks_mut(WIDTH * input).enumerate() {
            self.unpack(index, 0..input, &mut panel);
            for (lane, row) in weight.chunks_exact_mut(input).enumerate() {
                for (weight, panel) in row.iter_mut().zip(panel.chunks_exact(WIDTH)) {
                    *weight = panel[lane];
                }
            }
        }
        weight
    }
}

/// Bytes that the values of one row take.
const fn row_bytes(quantization: Quantization) -> usize {
    match quantization {
        Quantization::Int8 => WIDTH,
        Quantization::Int4 => WIDTH / 2,
    }
}

#[inline(always)]
fn bytes(rows: &[[u8; WIDTH]], scales: &[f32; WIDTH], into: &mut [[f32; WIDTH]]) {
    for (row, into) in rows.iter().zip(into) {
        for (into, (value, scale)) in into.iter_mut().zip(row.iter().zip(scales)) {
            *into = f32::from(value.cast_signed()) * scale;
        }
    }
}

#[inline(always)]
fn halves(rows: &[[u8; WIDTH / 2]], scales: &[f32; WIDTH], into: &mut [[f32; WIDTH]]) {
    for (row, into) in rows.iter().zip(into) {
        let (low, high) = into.split_at_mut(WIDTH / 2);
        let (low_scales, high_scales) = scales.split_at(WIDTH / 2);
        for (into, (value, scale)) in low.iter_mut().zip(row.iter().zip(low_scales)) {
            *into = (i32::from(value & 15) - 8) as f32 * scale;
        }
        for (into, (value, scale)) in high.iter_mut().zip(row.iter().zip(high_scales)) {
            *into = (i32::from(value >> 4) - 8) as f32 * scale;
        }
    }
}
