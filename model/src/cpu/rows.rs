//! What is done to each row by itself: norm, rotation, the gate of the feed-forward half; and the exponential function under them.
//! Plain loops over arrays as long as the widest vectors, which the compiler turns into instructions of the machine they are dispatched to.

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};

use super::product::Map;
use super::{arch, in_order, tensor, values};

/// Values worked on together.
pub(super) const LANES: usize = 16;

/// `y = w ⊙ x / √(mean(x²) + ε)`
///
/// # Shapes
/// - `x` and the result: `[n, d]`, `weight`: `[d]`
pub fn normalised(x: &Tensor<2>, weight: &Tensor<1>, eps: f64) -> Option<Tensor<2>> {
    let arch = arch()?;
    assert_eq!(x.dims()[1], weight.dims()[0], "rows and weight of a norm");
    let (held_x, held_weight) = (in_order(x)?, in_order(weight)?);
    let (x_values, weight) = (values(&held_x), values(&held_weight));
    let mut y = vec![0.0; x_values.len()];
    arch.dispatch(Normalise {
        x: x_values,
        weight,
        eps: eps as f32,
        y: &mut y,
    });
    Some(tensor(y, x.dims(), &x.device()))
}

struct Normalise<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl WithSimd for Normalise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(width)) {
            let mean = sum(x, |x| x * x) / width as f32;
            let scale = 1.0 / (mean + self.eps).sqrt();
            for ((y, x), weight) in y.iter_mut().zip(x).zip(self.weight) {
                *y = x * scale * weight;
            }
        }
    }
}

/// `[x₁ cos − x₂ sin, x₂ cos + x₁ sin]` for the two halves of every head.
///
/// # Shapes
/// - `x` and the result: `[n, heads, head_dim]`, `cos`, `sin`: `[n, 1, head_dim / 2]`
pub fn rotated(x: &Tensor<3>, cos: &Tensor<3>, sin: &Tensor<3>) -> Option<Tensor<3>> {
    let arch = arch()?;
    let [rows, heads, head_dim] = x.dims();
    let half = head_dim / 2;
    for table in [cos, sin] {
        assert_eq!(table.dims(), [rows, 1, half], "angles for {:?}", x.dims());
    }
    let (held_x, held_cos, held_sin) = (in_order(x)?, in_order(cos)?, in_order(sin)?);
    let (x_values, cos, sin) = (values(&held_x), values(&held_cos), values(&held_sin));
    let mut y = vec![0.0; x_values.len()];
    arch.dispatch(Rotate {
        x: x_values,
        cos,
        sin,
        half,
        heads,
        y: &mut y,
    });
    Some(tensor(y, x.dims(), &x.device()))
}

struct Rotate<'a> {
    x: &'a [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    half: usize,
    heads: usize,
    y: &'a mut [f32],
}

impl WithSimd for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (half, width) = (self.half, 2 * self.half);
        let row = self.heads * width;
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        let rows = self.x.chunks_exact(row).zip(self.y.chunks_exact_mut(row));
        for ((x, y), (cos, sin)) in rows.zip(angles) {
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                let (x1, x2) = x.split_at(half);
                let (y1, y2) = y.split_at_mut(half);
                let pairs = x1.iter().zip(x2).zip(cos.iter().zip(sin));
                for ((y1, y2), ((x1, x2), (cos, sin))) in y1.iter_mut().zip(y2).zip(pairs) {
                    *y1 = x1 * cos - x2 * sin;
                    *y2 = x2 * cos + x1 * sin;
                }
            }
        }
    }
}

/// `W_down · (silu(W_gate · x) ⊙ (W_up · x))`
///
/// # Shapes
/// - `x` and the result: `[n, d]`
pub fn feed_forward(x: &Tensor<2>, gate: &Map, up: &Map, down: &Map) -> Option<Tensor<2>> {
    let arch = arch()?;
    assert_eq!(x.dims()[1], gate.inner, "rows and weight of a gate");
    let held_x = in_order(x)?;
    let x_values = values(&held_x);
    let (mut gated, up) = (gate.apply(x_values), up.apply(x_values));
    arch.dispatch(Gate {
        gate: &mut gated,
        up: &up,
    });
    Some(tensor(down.apply(&gated), x.dims(), &x.device()))
}

struct Gate<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    }
}

/// The sum of `of` over `x`, lane by lane: values behind that give 0 do not change a bit of it.
#[inline(always)]
pub(super) fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += of(chunk[lane]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += of(x);
    }
    lanes.iter().sum()
}

/// Where `exp` is taken for 0, and behind its negative for infinity.
const LOWEST: f32 = -87.0;

/// `eˣ` within a relative error of 2⁻²², without a branch; exactly 0 below −87, infinity above 87, NaN for NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; `eʳ` by a polynomial (the coefficients are Cephes' `expf`), 2ⁿ by its exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUNDING: f32 = 12_582_912.0; // 1.5 · 2²³: what is added to it loses its fraction
    let bounded = if x < LOWEST { LOWEST } else { x };
    let bounded = if bounded > -LOWEST { -LOWEST } else { bounded };
    let shifted = bounded.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = n.mul_add(-0.693_359_4, bounded);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut power = 1.987_569_1e-4_f32;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        power = power.mul_add(r, coefficient);
    }
    let power = power.mul_add(r * r, r) + 1.0;
    let two_to_n = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let y = power * two_to_n;
    let y = if x > -LOWEST { f32::INFINITY } else { y };
    if x < LOWEST { 0.0 } else { y }
}

/// The highest of `x`, and the sum of `e^(x − highest)`: in f32 over a thousand values, in f64 over these sums.
pub fn peak_and_total(x: &[f32]) -> (f32, f64) {
    Arch::new().dispatch(Total(x))
}

struct Total<'a>(&'a [f32]);

impl WithSimd for Total<'_> {
    type Output = (f32, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (f32, f64) {
        let highest = highest(self.0);
        let (mut powers, mut total) = ([0.0; 1024], 0.0);
        for x in self.0.chunks(powers.len()) {
            let powers = &mut powers[..x.len()];
            for (power, x) in powers.iter_mut().zip(x) {
                *power = exp(x - highest);
            }
            total += f64::from(sum(powers, |power| power));
        }
        (highest, total)
    }
}

/// The highest of `x`.
#[inline(always)]
pub(super) fn highest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = higher(lanes[lane], chunk[lane]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = higher(*lane, x);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, higher)
}

#[inline(always)]
fn higher(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
