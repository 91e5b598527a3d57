//! The affine map every projection uses. The weight keeps the checkpoint's `[out, in]` layout, so nothing is transposed on load.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

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
        let y = x.matmul(self.weight.val().transpose());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}
