//! The inverse transform of a block: libjpeg's accurate integer one (`jidctint.c`), the default of every decoder on it.

use std::num::Wrapping;

/// Bits after the point of the constants.
const CONST_BITS: usize = 13;
/// Bits after the point that the first pass leaves.
const PASS1_BITS: usize = 2;

type W = Wrapping<i32>;

/// Dequantises and transforms; `table` is in zigzag order, as the file has it. Broken files may overflow: values wrap.
pub(super) fn inverse(block: &[i16; 64], table: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut work = [Wrapping(0); 64];
    for (value, (&coefficient, &place)) in work.iter_mut().zip(block.iter().zip(&PLACE)) {
        // The reference multiplies in 16 bits (`pmullw`).
        let product = coefficient.wrapping_mul(table[usize::from(place)].cast_signed());
        *value = Wrapping(i32::from(product));
    }
    for x in 0..8 {
        let column = std::array::from_fn(|y| work[y * 8 + x]);
        for (y, value) in pass(column, CONST_BITS - PASS1_BITS)
            .into_iter()
            .enumerate()
        {
            work[y * 8 + x] = value;
        }
    }
    for (y, row) in work.as_chunks::<8>().0.iter().enumerate() {
        let values = pass(*row, CONST_BITS + PASS1_BITS + 3);
        for (sample, value) in out[y * stride..][..8].iter_mut().zip(values) {
            *sample = (value.0.saturating_add(128)).clamp(0, 255) as u8;
        }
    }
}

/// Where each raster position stands in the zigzag order of the table.
const PLACE: [u8; 64] = [
    0, 1, 5, 6, 14, 15, 27, 28, 2, 4, 7, 13, 16, 26, 29, 42, 3, 8, 12, 17, 25, 30, 41, 43, 9, 11,
    18, 24, 31, 40, 44, 53, 10, 19, 23, 32, 39, 45, 52, 54, 20, 22, 33, 38, 46, 51, 55, 60, 21, 34,
    37, 47, 50, 56, 59, 61, 35, 36, 48, 49, 57, 58, 62, 63,
];

/// Eight values, one way: Loeffler, Ligtenberg and Moschytz's flow graph with libjpeg's constants.
fn pass(v: [W; 8], shift: usize) -> [W; 8] {
    let fixed = |value: W, constant: i32| value * Wrapping(constant);
    // Even part.
    let z1 = fixed(v[2] + v[6], 4433);
    let even2 = z1 - fixed(v[6], 15137);
    let even3 = z1 + fixed(v[2], 6270);
    let even0 = (v[0] + v[4]) << CONST_BITS;
    let even1 = (v[0] - v[4]) << CONST_BITS;
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];
    // Odd part.
    let z5 = fixed(v[7] + v[3] + v[5] + v[1], 9633);
    let z1 = fixed(v[7] + v[1], -7373);
    let z2 = fixed(v[5] + v[3], -20995);
    let z3 = fixed(v[7] + v[3], -16069) + z5;
    let z4 = fixed(v[5] + v[1], -3196) + z5;
    let odd = [
        fixed(v[1], 12299) + z1 + z4,
        fixed(v[3], 25172) + z2 + z3,
        fixed(v[5], 16819) + z2 + z4,
        fixed(v[7], 2446) + z1 + z3,
    ];
    let half = Wrapping(1 << (shift - 1));
    std::array::from_fn(|i| {
        let sum = if i < 4 {
            even[i] + odd[i]
        } else {
            even[7 - i] - odd[7 - i]
        };
        (sum + half) >> shift
    })
}
