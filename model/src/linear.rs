//! The affine map every projection uses. The weight keeps the checkpoint's `[out, in]` layout, so nothing is transposed on load.

use std::fmt::Display;

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::cpu;
use crate::init::Init;
use crate::lora::Lora;

/// `y = x · Wᵀ + b`, and what an adapter adds while there is one.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// Learns in place of the weight; nobody answers with one.
    pub lora: Option<Lora>,
}

impl Linear {
    /// A map from `input` to `output` values.
    pub fn new(input: usize, output: usize, bias: bool, init: &Init) -> Self {
        Self {
            weight: init.weight([output, input]),
            bias: bias.then(|| init.zeros([output])),
            lora: None,
        }
    }

    /// # Shapes
    /// - `x`: `[n, in]`
    /// - the result: `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let more = self.lora.as_ref().map(|lora| lora.forward(x.clone()));
        let bias = self.bias.as_ref().map(Param::val);
        let y = affine(x, self.weight.val(), bias);
        match more {
            Some(more) => y + more,
            None => y,
        }
    }

    /// The map for functions that do more than it at once, where they may: not beside an adapter.
    pub(crate) fn readable(&self) -> Option<cpu::Map> {
        let bias = self.bias.as_ref().map(Param::val);
        match self.lora {
            Some(_) => None,
            None => cpu::Map::of(&self.weight.val(), bias.as_ref()),
        }
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

/// Puts `room` before the names of its maps.
pub(crate) fn named<'a>(
    room: impl Display,
    maps: impl IntoIterator<Item = (impl Display, &'a mut Linear)>,
) -> impl Iterator<Item = (String, &'a mut Linear)> {
    let maps = maps.into_iter();
    maps.map(move |(name, map)| (format!("{room}.{name}"), map))
}
