//! Weights in eight and four bits: which maps have them, and how they are rounded. Each 32 neighbours along the input share a scale, zero stays
//! zero, and no value is chosen by looking at data. Multiplies nothing: on CPUs that is `cpu/panels.rs`, elsewhere burn (ADR 18).

use std::fmt;

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::Qwen;
use crate::linear::Linear;

/// Values that share a scale.
pub const BLOCK: usize = 32;

/// The bits of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// Eight, values from −127 to 127.
    Int8,
    /// Four, values from −7 to 7.
    Int4,
}

impl Quantization {
    fn highest(self) -> f32 {
        match self {
            Self::Int8 => 127.0,
            Self::Int4 => 7.0,
        }
    }
}

/// In what numbers a network is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Of activations and of weights.
    pub dtype: DType,
    /// Of the weights of the decoder's layers, if they are rounded to fewer bits.
    pub quantization: Option<Quantization>,
}

impl From<DType> for Format {
    fn from(dtype: DType) -> Self {
        Self {
            dtype,
            quantization: None,
        }
    }
}

/// `f32`, `bf16+int8`
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype.name())?;
        match self.quantization {
            Some(quantization) => write!(f, "+{}", format!("{quantization:?}").to_lowercase()),
            None => Ok(()),
        }
    }
}

/// The maps whose weights are rounded: those of the decoder's layers, but none whose rows are not whole blocks. The vision tower reads its weights
/// once for hundreds of patches, so that it would gain nothing but memory.
pub(crate) fn maps(network: &mut Qwen) -> impl Iterator<Item = (String, &mut Linear)> {
    network.linears_mut().filter(|(name, map)| {
        let [_, input] = map.weight.lazy_shape().dims();
        name.starts_with("model.layers.") && input % BLOCK == 0
    })
}

/// Rounds the weights that `network` has, one after another.
pub(crate) fn quantize(network: &mut Qwen, quantization: Quantization) {
    for (_, map) in maps(network) {
        let weight = map.weight.val();
        let device = weight.device();
        let values = weight.cast(DType::F32).into_data().try_into_vec();
        let values: Vec<f32> = values.expect("cast to it");
        map.quantize(&values, quantization, &device);
    }
}

/// A weight after rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// How many bits a value needs.
    pub quantization: Quantization,
    /// `[out, in]`
    pub shape: [usize; 2],
    /// Row by row.
    pub values: Vec<i8>,
    /// What the values of a block are multiplied by, row by row: `[out, in / 32]`. Each is a number that bf16 has.
    pub scales: Vec<f32>,
}

impl Blocks {
    /// Rounds `weight`, the values of a matrix of `shape` row by row. A scale is the lowest number of bf16 with which the farthest value of its block is
    /// not beyond the highest; halves are rounded away from zero. burn's symmetric blocks with scales in bf16 are the same.
    ///
    /// # Panics
    /// If the rows are not whole blocks.
    pub fn round(weight: &[f32], shape: [usize; 2], quantization: Quantization) -> Self {
        let [out, input] = shape;
        assert!(
            weight.len() == out * input && input % BLOCK == 0,
            "{} values for [{out}, {input}] in blocks of {BLOCK}",
            weight.len()
        );
        let highest = quantization.highest();
        let mut values = vec![0; weight.len()];
        let blocks = weight.par_chunks_exact(BLOCK);
        let scales = blocks.zip(values.par_chunks_exact_mut(BLOCK));
        let scales = scales.map(|(block, values)| {
            let peak = block.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
            let scale = up_to_bf16(peak / highest);
            for (value, x) in values.iter_mut().zip(block) {
                *value = (x * (1.0 / scale)).round().clamp(-highest, highest) as i8;
            }
            scale
        });
        let scales = scales.collect();
        Self {
            quantization,
            shape,
            values,
            scales,
        }
    }

    /// As burn keeps it for the products of devices that have kernels of their own. Scales are f32 there, the form in which those kernels are tested.
    ///
    /// # Shapes
    /// - the result: `[out, in]`
    pub fn into_tensor(self, device: &Device) -> Tensor<2> {
        let (value, bytes): (_, Vec<u8>) = match self.quantization {
            Quantization::Int8 => {
                let bytes = self.values.iter().map(|value| value.cast_unsigned());
                (QuantValue::Q8S, bytes.collect())
            }
            Quantization::Int4 => {
                let pairs = self.values.as_chunks::<2>().0.iter();
                let bytes = pairs.map(|[low, high]| ((low & 15) | (high << 4)).cast_unsigned());
                (QuantValue::Q4S, bytes.collect())
            }
        };
        let scales = self.scales.iter().flat_map(|scale| scale.to_ne_bytes());
        let scheme = QuantScheme::default()
            .with_value(value)
            .with_store(QuantStore::PackedU32(0))
            .per_block([BLOCK as u8], ScaleDtype::F32);
        let bytes = bytes.into_iter().chain(scales).collect();
        let data = TensorData::from_bytes_vec(bytes, self.shape, DType::QFloat(scheme));
        Tensor::from_data(data, device)
    }
}

/// Weights of one input, one after another: `[out, in]` each. Those that burn keeps in few bits stay as they are rounded.
pub(crate) fn stacked(weights: Vec<Tensor<2>>) -> Tensor<2> {
    if !matches!(weights[0].dtype(), DType::QFloat(_)) {
        return Tensor::cat(weights, 0);
    }
    let device = weights[0].device();
    let [_, input] = weights[0].dims();
    let parts: Vec<TensorData> = weights.into_iter().map(Tensor::into_data).collect();
    let (mut rows, mut bytes, mut scales) = (0, vec![], vec![]);
    for part in &parts {
        let own = part.shape()[0];
        let behind = own * (input / BLOCK) * size_of::<f32>();
        let part = part.as_bytes();
        let (values, own_scales) = part.split_at(part.len() - behind);
        bytes.extend_from_slice(values);
        scales.extend_from_slice(own_scales);
        rows += own;
    }
    bytes.extend(scales);
    let data = TensorData::from_bytes_vec(bytes, [rows, input], parts[0].dtype());
    Tensor::from_data(data, &device)
}

/// The lowest number of bf16 that is not below `scale`, nor below the smallest that has a finite reciprocal in f32.
fn up_to_bf16(scale: f32) -> f32 {
    const REST: u32 = 0xffff;
    f32::from_bits((scale.max(f32::MIN_POSITIVE).to_bits() + REST) & !REST)
}
