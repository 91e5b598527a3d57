//! The feed-forward half of a decoder layer and of a vision block. Holds no norm and no residual: the layers add both.

use burn::module::Module;
use burn::tensor::{Tensor, activation::silu};

use crate::cpu;
use crate::init::Init;
use crate::linear::Linear;

/// `y = W_down · (silu(W_gate · x) ⊙ (W_up · x))`
///
/// `SwiGLU`, arXiv:2002.05202 eq. 6; reference `Qwen2MLP` (no biases) and `Qwen2_5_VLMLP` (biases), transformers 5.23.0.
#[derive(Module, Debug)]
pub struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    /// Gate and up as one map, once they are joined.
    gate_up: Option<Linear>,
}

impl Mlp {
    /// `width` values in and out, `inner` between.
    pub fn new(width: usize, inner: usize, bias: bool, init: &Init) -> Self {
        Self {
            gate_proj: Linear::new(width, inner, bias, init),
            up_proj: Linear::new(width, inner, bias, init),
            down_proj: Linear::new(inner, width, bias, init),
            gate_up: None,
        }
    }

    /// Makes one product of those that have the same input.
    pub(crate) fn join(&mut self) {
        self.gate_up = Some(Linear::joined([&mut self.gate_proj, &mut self.up_proj]));
    }

    /// Its maps by name.
    pub(crate) fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 3] {
        [
            ("gate_proj", &mut self.gate_proj),
            ("up_proj", &mut self.up_proj),
            ("down_proj", &mut self.down_proj),
        ]
    }

    /// # Shapes
    /// - `x` and the result: `[n, d]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        if let Some(joined) = &self.gate_up {
            let y = joined.forward(x); // [n, 2 · inner]
            let inner = y.dims()[1] / 2;
            let gate = silu(y.clone().narrow(1, 0, inner));
            return self.down_proj.forward(gate * y.narrow(1, inner, inner));
        }
        if let Some(y) = self.at_once(&x) {
            return y;
        }
        let gate = silu(self.gate_proj.forward(x.clone())); // [n, inner]
        self.down_proj.forward(gate * self.up_proj.forward(x))
    }

    fn at_once(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        let (gate, up) = (self.gate_proj.readable()?, self.up_proj.readable()?);
        cpu::feed_forward(x, &gate, &up, &self.down_proj.readable()?)
    }
}
