//! Rows times a matrix, in the two orders in which a matrix may lie, or in few bits. Tiles of the result are held in registers while both factors are
//! read once; each value is one sum over the inner index, from its first to its last (`weighed`) or lane by lane (`dots`). Packs
//! nothing, since rows are few where an answer is written.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::panels::{PIECE, Panels, WIDTH};
use super::{Held, arch, held, in_order, is_small, ordered, tensor, values};

/// `x · wᵀ + b`, as [`crate::linear::affine`] means it. The weight may lie as `[out, in]` or, transposed, as `[in, out]`.
pub fn affine(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Tensor<2>> {
    Map::of(weight, bias)?.affine(x)
}

/// An affine map whose weight lies in order, transposed or in few bits.
pub struct Map {
    weight: Weight,
    bias: Option<Held>,
    pub(super) inner: usize,
    out: usize,
}

/// What a map multiplies by.
enum Weight {
    InnerFirst(Held),
    OuterFirst(Held),
    Panels(Arc<Panels>),
}

impl Map {
    /// The map of `weight` (`[out, in]`) and `bias`, if it can be applied here.
    pub fn of(weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Self> {
        let [out, inner] = weight.dims();
        let weight = held(weight)?;
        let weight = if weight.layout().strides() == [1, out as isize] {
            Weight::InnerFirst(weight)
        } else {
            Weight::OuterFirst(ordered(weight))
        };
        Self::new(weight, [out, inner], bias)
    }

    /// The same of a weight in few bits.
    pub fn of_panels(weight: &Arc<Panels>, bias: Option<&Tensor<1>>) -> Option<Self> {
        Self::new(Weight::Panels(Arc::clone(weight)), weight.shape(), bias)
    }

    fn new(weight: Weight, [out, inner]: [usize; 2], bias: Option<&Tensor<1>>) -> Option<Self> {
        arch()?;
        if let Some(bias) = bias {
            assert_eq!(bias.dims(), [out], "a bias for [{out}, {inner}]");
        }
        let bias = match bias {
            Some(bias) => Some(in_order(bias)?),
            None => None,
        };
        Some(Self {
            weight,
            bias,
            inner,
            out,
        })
    }

    /// # Shapes
    /// - `x`: `[n, in]`
    /// - the result: `[n, out]`
    pub fn affine(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        let Self { inner, out, .. } = *self;
        let [rows, width] = x.dims();
        assert_eq!(width, inner, "[{rows}, {width}] times [{out}, {inner}]ᵀ");
        let held_x = in_order(x)?;
        let y = self.apply(values(&held_x));
        Some(tensor(y, [rows, out], &x.device()))
    }

    /// `[n, out]` of `[n, in]`.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let Self { inner, out, .. } = *self;
        assert_eq!(
            x.len() % inner,
            0,
            "{} values for [{out}, {inner}]",
            x.len()
        );
        let matrix = match &self.weight {
            Weight::InnerFirst(weight) => {
                let start = weight.layout().start_offset();
                Matrix::inner_first(&weight.storage()[start..], out)
            }
            Weight::OuterFirst(weight) => Matrix::outer_first(values(weight), inner),
            Weight::Panels(panels) => Matrix::Panels(panels, 0),
        };
        let mut y = vec![0.0; x.len() / inner * out];
        multiply(x, inner, &matrix, &mut y, out);
        if let Some(bias) = &self.bias {
            let bias = values(bias);
            for row in y.chunks_exact_mut(out) {
                for (y, bias) in row.iter_mut().zip(bias) {
                    *y += bias;
                }
            }
        }
        y
    }
}

/// The right factor of a product.
#[derive(Clone, Copy)]
pub(super) enum Matrix<'a> {
    /// A row holds what one value of the left factor weighs (`[in, out]`).
    InnerFirst(Rows<'a>),
    /// A row holds what makes one value of the result (`[out, in]`).
    OuterFirst(Rows<'a>),
    /// Few bits, from this panel on.
    Panels(&'a Panels, usize),
}

/// Rows of values, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[in, out]`
    pub fn inner_first(values: &'a [f32], stride: usize) -> Self {
        Self::InnerFirst(Rows { values, stride })
    }

    /// `[out, in]`
    pub fn outer_first(values: &'a [f32], stride: usize) -> Self {
        Self::OuterFirst(Rows { values, stride })
    }
}

/// `y = x · matrix`, divided among threads if there is enough of it.
///
/// # Shapes
/// - `x`: `[n, inner]`, `y`: `[n, out]`, zeros before
pub(super) fn multiply(x: &[f32], inner: usize, matrix: &Matrix<'_>, y: &mut [f32], out: usize) {
    let rows = x.len() / inner;
    let threads = rayon::current_num_threads();
    if threads < 2 || is_small(rows, inner, out) {
        return run(x, inner, matrix, y, out);
    }
    if rows >= threads * MOST_ROWS {
        let share = rows.div_ceil(threads);
        return x
            .par_chunks(share * inner)
            .zip(y.par_chunks_mut(share * out))
            .for_each(|(x, y)| run(x, inner, matrix, y, out));
    }
    // Few rows and a large matrix: each thread makes some columns of all rows.
    let share = out.div_ceil(threads).next_multiple_of(WIDTH);
    let starts: Vec<usize> = (0..out).step_by(share).collect();
    let parts: Vec<Vec<f32>> = starts
        .par_iter()
        .map(|&start| {
            let width = share.min(out - start);
            let mut part = vec![0.0; rows * width];
            run(x, inner, &matrix.from(start), &mut part, width);
            part
        })
        .collect();
    for (start, part) in starts.into_iter().zip(parts) {
        let width = part.len() / rows;
        for (y, part) in y.chunks_exact_mut(out).zip(part.chunks_exact(width)) {
            y[start..start + width].copy_from_slice(part);
        }
    }
}

impl Matrix<'_> {
    /// Without the first `columns` values of each result, whole panels of them.
    fn from(&self, columns: usize) -> Self {
        match *self {
            Self::InnerFirst(rows) => Self::inner_first(&rows.values[columns..], rows.stride),
            Self::OuterFirst(Rows { values, stride }) => {
                Self::outer_first(&values[columns * stride..], stride)
            }
            Self::Panels(panels, first) => Self::Panels(panels, first + columns / WIDTH),
        }
    }
}

/// One thread's share of a product.
fn run(x: &[f32], inner: usize, matrix: &Matrix<'_>, y: &mut [f32], out: usize) {
    let arch = arch().expect("whoever multiplies here has asked");
    let product = Product {
        x,
        inner,
        matrix,
        y,
        out,
    };
    arch.dispatch(product);
}

struct Product<'a> {
    x: &'a [f32],
    inner: usize,
    matrix: &'a Matrix<'a>,
    y: &'a mut [f32],
    out: usize,
}

/// Does it for every row of a tile, written out: a loop would keep the sums in memory.
macro_rules! unrolled {
    ($rows:expr, |$row:ident| $body:block) => {
        unrolled!(@ $rows, $row, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $rows:expr, $row:ident, $body:block, $($index:literal)*) => {$(
        if $index < $rows {
            const fn index<const ROWS: usize>() -> usize { if $index < ROWS { $index } else { 0 } }
            let $row = const { index::<ROWS>() };
            $body
        }
    )*};
}

/// Rows a tile has at most.
const MOST_ROWS: usize = 8;

/// `rows` rows cut into tiles of as many as there is a function for.
fn tiles(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let count = match rows - start {
            left @ 0..4 => left,
            4..8 => 4,
            _ => MOST_ROWS,
        };
        start += count;
        (count > 0).then(|| start - count..start)
    })
}

/// Calls `$tile` with `ROWS` for the number of rows in `$range`.
macro_rules! with_rows {
    ($range:expr, $function:ident($($argument:expr),*)) => {
        match $range.len() {
            1 => $function::<S, 1>($($argument),*),
            2 => $function::<S, 2>($($argument),*),
            3 => $function::<S, 3>($($argument),*),
            4 => $function::<S, 4>($($argument),*),
            _ => $function::<S, MOST_ROWS>($($argument),*),
        }
    };
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (inner, out) = (self.inner, self.out);
        match *self.matrix {
            Matrix::InnerFirst(rows) => {
                let all = Piece {
                    rows,
                    inner: 0..inner,
                    columns: 0..out,
                };
                weigh(simd, self.x, inner, &all, self.y, out);
            }
            Matrix::OuterFirst(rows) => {
                for column in (0..out).step_by(2) {
                    for range in tiles(self.x.len() / inner) {
                        let x = &self.x[range.start * inner..range.end * inner];
                        let y = &mut self.y[range.start * out..range.end * out];
                        with_rows!(range, dots(simd, x, inner, rows, column, y, out));
                    }
                }
            }
            Matrix::Panels(panels, first) => {
                let mut piece = [0.0; PIECE * WIDTH];
                for (index, start) in (0..out).step_by(WIDTH).enumerate() {
                    for from in (0..inner).step_by(PIECE) {
                        let part = from..(from + PIECE).min(inner);
                        panels.unpack(first + index, part.clone(), &mut piece);
                        let rows = Rows {
                            values: &piece,
                            stride: WIDTH,
                        };
                        let columns = start..(start + WIDTH).min(out);
                        let part = Piece {
                            rows,
                            inner: part,
                            columns,
                        };
                        weigh(simd, self.x, inner, &part, self.y, out);
                    }
                }
            }
        }
    }
}

/// What some columns of the result get from some values of each row.
struct Piece<'a> {
    /// `[inner, columns]`
    rows: Rows<'a>,
    inner: Range<usize>,
    columns: Range<usize>,
}

/// Two vectors of columns of all rows, then the next, so that what is read of the matrix stays in the nearest cache.
#[inline(always)]
fn weigh<S: Simd>(simd: S, x: &[f32], inner: usize, piece: &Piece<'_>, y: &mut [f32], out: usize) {
    let step = 2 * S::F32_LANES;
    let Piece { rows, columns, .. } = piece;
    for start in columns.clone().step_by(step) {
        let part = Piece {
            rows: Rows {
                values: &rows.values[start - columns.start..],
                ..*rows
            },
            inner: piece.inner.clone(),
            columns: start..(start + step).min(columns.end),
        };
        for range in tiles(x.len() / inner) {
            let x = &x[range.start * inner..range.end * inner];
            let y = &mut y[range.start * out..range.end * out];
            with_rows!(range, weighed(simd, x, inner, &part, y, out));
        }
    }
}

/// Two vectors of columns: each row of the matrix, weighed by a value of each row, added to what is there.
#[inline(always)]
fn weighed<S: Simd, const ROWS: usize>(
    simd: S,
    x: &[f32],
    inner: usize,
    piece: &Piece<'_>,
    y: &mut [f32],
    out: usize,
) {
    let Piece {
        rows: Rows { values, stride },
        columns,
        ..
    } = piece;
    let (width, lanes) = (columns.len(), S::F32_LANES.min(columns.len()));
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    unrolled!(ROWS, |row| {
        let (first, second) = y[row * out..][columns.clone()].split_at(lanes);
        sums[row] = [load(simd, first), load(simd, second)];
    });
    let rows = rows_of::<ROWS>(x, inner).map(|row| &row[piece.inner.clone()]);
    for (at, row) in values.chunks(*stride).take(piece.inner.len()).enumerate() {
        let (first, second) = row[..width].split_at(lanes);
        let (first, second) = (load(simd, first), load(simd, second));
        unrolled!(ROWS, |row| {
            let weight = simd.splat_f32s(rows[row][at]);
            sums[row][0] = simd.mul_add_f32s(weight, first, sums[row][0]);
            sums[row][1] = simd.mul_add_f32s(weight, second, sums[row][1]);
        });
    }
    for (y, sums) in y.chunks_exact_mut(out).zip(sums) {
        let (first, second) = y[columns.clone()].split_at_mut(lanes);
        simd.partial_store_f32s(first, sums[0]);
        simd.partial_store_f32s(second, sums[1]);
    }
}

/// Two columns: the products of each row with two rows of the matrix.
#[inline(always)]
fn dots<S: Simd, const ROWS: usize>(
    simd: S,
    x: &[f32],
    inner: usize,
    matrix: Rows<'_>,
    column: usize,
    y: &mut [f32],
    out: usize,
) {
    let rows = rows_of::<ROWS>(x, inner);
    // The last of an odd number is multiplied twice.
    let columns = [column, (column + 1).min(out - 1)];
    let first = &matrix.values[columns[0] * matrix.stride..][..inner];
    let second = &matrix.values[columns[1] * matrix.stride..][..inner];
    let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
    let mut start = 0;
    while start < inner {
        let end = (start + S::F32_LANES).min(inner);
        let (first, second) = (
            load(simd, &first[start..end]),
            load(simd, &second[start..end]),
        );
        unrolled!(ROWS, |row| {
            let x = load(simd, &rows[row][start..end]);
            sums[row][0] = simd.mul_add_f32s(x, first, sums[row][0]);
            sums[row][1] = simd.mul_add_f32s(x, second, sums[row][1]);
        });
        start = end;
    }
    for (y, sums) in y.chunks_exact_mut(out).zip(sums) {
        y[columns[0]] = simd.reduce_sum_f32s(sums[0]);
        y[columns[1]] = simd.reduce_sum_f32s(sums[1]);
    }
}

/// A vector of `values`, which may be fewer than it has room for.
#[inline(always)]
fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    if values.len() == S::F32_LANES {
        S::as_simd_f32s(values).0[0]
    } else {
        simd.partial_load_f32s(values)
    }
}

/// The rows of `x`.
#[inline(always)]
fn rows_of<const ROWS: usize>(x: &[f32], inner: usize) -> [&[f32]; ROWS] {
    let mut rows = [x; ROWS];
    for (row, x) in rows.iter_mut().zip(x.chunks_exact(inner)) {
        *row = x;
    }
    rows
}
