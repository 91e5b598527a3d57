//! Root-mean-square normalisation as transformers rounds it.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::cpu;
use crate::init::Init;

/// `y = w ⊙ cast(x / √(mean(x²) + ε))`: f32 inside, cast back to the input's type, then times the weight.
///
/// Reference: `Qwen2RMSNorm`, transformers 5.23.0.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[d]`
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    /// A norm over `width` values.
    pub fn new(width: usize, eps: f64, init: &Init) -> Self {
        Self {
            weight: init.ones([width]),
            eps,
        }
    }

    /// # Shapes
    /// - `x` and the result: `[n, d]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        if let Some(y) = cpu::normalised(&x, &self.weight.val(), self.eps) {
            return y;
        }
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let mean = x.clone().square().mean_dim(1); // [n, 1]
        let y = (x / (mean + self.eps).sqrt()).cast(dtype);
        y * self.weight.val().unsqueeze()
    }
}
