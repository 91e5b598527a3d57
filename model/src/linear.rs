//! The affine map every projection uses. The weight keeps the checkpoint's `[out, in]` layout, so nothing is transposed on load.

use std::fmt::Display;
use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::cpu;
use crate::init::Init;
use crate::lora::Lora;
use crate::quantize::{Blocks, Quantization, stacked};

/// `y = x · Wᵀ + b`, and what an adapter adds while there is one.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// Learns in place of the weight; nobody answers with one.
    pub lora: Option<Lora>,
    /// The weight in few bits, on CPUs. burn has none of four bits there, and multiplies by none of eight.
    #[module(skip)]
    panels: Option<Arc<cpu::Panels>>,
}

impl Linear {
    /// A map from `input` to `output` values.
    pub fn new(input: usize, output: usize, bias: bool, init: &Init) -> Self {
        Self {
            weight: init.weight([output, input]),
            bias: bias.then(|| init.zeros([output])),
            lora: None,
            panels: None,
        }
    }

    /// One map for several of the same input, its results theirs one after another. The maps are left without weights: what they become answers, and
    /// can neither be trained nor saved.
    ///
    /// # Panics
    /// If an adapter stands beside one, or some have a bias and others none.
    pub fn joined<const N: usize>(maps: [&mut Self; N]) -> Self {
        let weights = maps.iter().map(|map| {
            assert!(map.lora.is_none(), "an adapter is merged first");
            map.weight.val()
        });
        let weight = stacked(weights.collect());
        let biases = maps.iter().filter_map(|map| map.bias.as_ref());
        let biases: Vec<_> = biases.map(Param::val).collect();
        assert!(biases.is_empty() || biases.len() == N, "a bias for some");
        let device = weight.device();
        for map in maps {
            map.weight = gone(&map.weight, &device);
        }
        Self {
            weight: Param::from_tensor(weight),
            bias: (!biases.is_empty()).then(|| Param::from_tensor(Tensor::cat(biases, 0))),
            lora: None,
            panels: None,
        }
    }

    /// Puts `weight` (`[out, in]`, row by row) in place of its own, rounded. From here on it answers, and can neither be trained nor saved.
    pub fn quantize(&mut self, weight: &[f32], quantization: Quantization, device: &Device) {
        let shape = self.weight.lazy_shape().dims();
        let blocks = Blocks::round(weight, shape, quantization);
        if *device == Device::flex() {
            self.weight = gone(&self.weight, device);
            self.panels = Some(Arc::new(cpu::Panels::new(&blocks)));
        } else {
            self.weight = Param::from_tensor(blocks.into_tensor(device));
        }
    }

    /// # Shapes
    /// - `x`: `[n, in]`
    /// - the result: `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let more = self.lora.as_ref().map(|lora| lora.forward(x.clone()));
        let bias = self.bias.as_ref().map(Param::val);
        let y = match &self.panels {
            Some(panels) => rounded(x, panels, bias),
            None => affine(x, self.weight.val(), bias),
        };
        match more {
            Some(more) => y + more,
            None => y,
        }
    }

    /// The map for functions that do more than it at once, where they may: not beside an adapter.
    pub(crate) fn readable(&self) -> Option<cpu::Map> {
        let bias = self.bias.as_ref().map(Param::val);
        match (&self.lora, &self.panels) {
            (Some(_), _) => None,
            (None, Some(panels)) => cpu::Map::of_panels(panels, bias.as_ref()),
            (None, None) => cpu::Map::of(&self.weight.val(), bias.as_ref()),
        }
    }
}

/// In place of a weight that has become another: its shape is known, its values are not.
fn gone(weight: &Param<Tensor<2>>, device: &Device) -> Param<Tensor<2>> {
    let asked = |_: &Device, _: bool| -> Tensor<2> {
        panic!(
            "a network that answers with rounded or joined weights can neither be trained nor saved"
        )
    };
    let shape = weight.lazy_shape();
    Param::uninitialized(ParamId::new(), asked, device.clone(), false, shape)
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

/// [`affine`] with a weight in few bits: in f32, whatever `x` is. Where the product cannot be ours the weight is written out for burn's.
fn rounded(x: Tensor<2>, weight: &Arc<cpu::Panels>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let (dtype, device) = (x.dtype(), x.device());
    let (x, bias) = (x.cast(DType::F32), bias.map(|bias| bias.cast(DType::F32)));
    let map = cpu::Map::of_panels(weight, bias.as_ref());
    let y = map.and_then(|map| map.affine(&x)).unwrap_or_else(|| {
        let weight = TensorData::new(weight.dequantized(), weight.shape());
        affine(x, Tensor::from_data(weight, (&device, DType::F32)), bias)
    });
    y.cast(dtype)
}

/// Puts `room` before the names of its maps.
pub(crate) fn named<'a>(
    room: impl Display,
    maps: impl IntoIterator<Item = (impl Display, &'a mut Linear)>,
) -> impl Iterator<Item = (String, &'a mut Linear)> {
    let maps = maps.into_iter();
    maps.map(move |(name, map)| (format!("{room}.{name}"), map))
}
