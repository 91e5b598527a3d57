//! The affine map every projection uses. The weight keeps the checkpoint's `[out, in]` layout, so nothing is transposed on load.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::cpu;
use crate::init::Init;

/// `y = x · Wᵀ + b`
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A map from `input` to `output` values.
    pub fn new(input: usize, output: usize, bias: bool, init: &Init) -> Self {
        Self {
            weight: init.weight([output, input]),
            bias: bias.then(|| init.zeros([output])),
        }
    }

    /// # Shapes
    /// - `x`: `[n, in]`
    /// - the result: `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        affine(x, self.weight.val(), bias)
    }

    /// The map for functions that do more than it at once, where they may.
    pub(crate) fn readable(&self) -> Option<cpu::Map> {
        let bias = self.bias.as_ref().map(Param::val);
        cpu::Map::of(&self.weight.val(), bias.as_ref())
    }
}

/// `x · Wᵀ + b`
///
/// # Shapes
/// - `x`: `[n, in]`, `weight`: `[out, in]`, `bias`: `[out]`
/// - the result: `[n, out]`
pub fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    if let Some(y) = cpu::affine(&x, &weight, bias.as_ref()) {
        return y;
    }
    let y = x.matmul(weight.transpose());
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}
