//! Rotary position embedding, the half-split variant. Angles are made on the host in f32; which axis turns which frequency is
//! decided by the callers (`text/positions.rs`, `vision/layout.rs`).

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::cpu;

/// `1 / base^(2i / width)` for `i` in `0..width / 2`, in f32 like the reference.
pub fn inverse_frequencies(base: f64, width: usize) -> Vec<f32> {
    (0..width / 2)
        .map(|i| 1.0 / (base as f32).powf((2 * i) as f32 / width as f32))
        .collect()
}

/// Cosines and sines of the angles of every row.
#[derive(Clone, Debug)]
pub struct Rotation {
    pub(crate) cos: Tensor<3>, // [n, 1, head_dim / 2]
    pub(crate) sin: Tensor<3>,
}

impl Rotation {
    /// `angles` holds `half` values a row, row after row.
    ///
    /// # Panics
    /// If `angles` is no whole number of rows.
    pub fn new(angles: &[f32], half: usize, dtype: DType, device: &Device) -> Self {
        assert_eq!(
            angles.len() % half,
            0,
            "{} angles do not make rows of {half}",
            angles.len()
        );
        let table = |of: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|&angle| of(angle)).collect();
            let data = TensorData::new(values, [angles.len() / half, 1, half]);
            Tensor::<3>::from_data(data, (device, DType::F32)).cast(dtype)
        };
        Self {
            cos: table(f32::cos),
            sin: table(f32::sin),
        }
    }

    /// Turns every head of `x`, in the type of the table: `[x₁ cos − x₂ sin, x₂ cos + x₁ sin]` for the two halves of a head.
    ///
    /// # Shapes
    /// - `x` and the result: `[n, heads, head_dim]`
    pub fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        if let Some(y) = cpu::rotated(&x, &self.cos, &self.sin) {
            return y;
        }
        let dtype = x.dtype();
        let x = x.cast(self.cos.dtype());
        let half = self.cos.dims()[2];
        let first = x.clone().narrow(2, 0, half);
        let second = x.narrow(2, half, half);
        let turned_first = first.clone() * self.cos.clone() - second.clone() * self.sin.clone();
        let turned_second = second * self.cos.clone() + first * self.sin.clone();
        Tensor::cat(vec![turned_first, turned_second], 2).cast(dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_swaps_the_halves() {
        let device = Device::flex();
        let rotation = Rotation::new(&[std::f32::consts::FRAC_PI_2; 2], 2, DType::F32, &device);
        let x = Tensor::<3>::from_data([[[1.0, 2.0, 3.0, 4.0]]], &device);
        let expected = Tensor::<3>::from_data([[[-3.0, -4.0, 1.0, 2.0]]], &device);
        rotation.apply(x).into_data().assert_approx_eq::<f32>(
            &expected.into_data(),
            burn::tensor::Tolerance::absolute(1e-6),
        );
    }
}
