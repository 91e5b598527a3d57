//! Random weights that are quick to make, 8 billion in seconds: cut from one pool of normal values at changing places. Every value is one
//! that bf16 holds, as in published checkpoints, so the same network can be compared in several types.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use model::init::Init;
use model::{Config, Qwen};
use rayon::prelude::*;

/// Values in the pool. A prime, so that rows of no width are repeated.
const POOL: usize = 4_194_301;

/// A network of the sizes in `config`. The same seed gives the same values in every type and on every device. They are such that
/// every layer counts: a map's keep the size of what comes in, a norm's lie around one, biases are not zero.
pub fn random(config: &Config, seed: u64, dtype: DType, device: &Device) -> Qwen {
    let pool = Init::normal(&Device::flex(), 1.0, seed).weight([1, POOL]);
    let pool = pool.val().into_data().try_into_vec();
    Qwen::new(config, &Init::lazy(device)).map(&mut Filler {
        pool: pool.expect("drawn in f32"),
        next: 0,
        dtype,
        device,
        bias: false,
    })
}

struct Filler<'a> {
    pool: Vec<f32>,
    /// Where in the pool the next parameter begins.
    next: usize,
    dtype: DType,
    device: &'a Device,
    /// Whether the parameter at hand is one.
    bias: bool,
}

impl Filler<'_> {
    fn values<T: Send>(
        &self,
        count: usize,
        mean: f32,
        deviation: f32,
        of: impl Fn(bf16) -> T + Sync,
    ) -> Vec<T> {
        let value = |index| mean + deviation * self.pool[(self.next + index) % POOL];
        let indices = (0..count).into_par_iter();
        indices
            .map(|index| of(bf16::from_f32(value(index))))
            .collect()
    }
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.bias = name == "bias";
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let count = shape.num_elements();
        let (mean, deviation) = match shape.to_vec()[..] {
            [_, inner] => (0.0, (inner as f32).sqrt().recip()),
            _ if self.bias => (0.0, 0.1),
            _ => (1.0, 0.1),
        };
        let data = match self.dtype {
            DType::F32 => TensorData::new(self.values(count, mean, deviation, bf16::to_f32), shape),
            DType::F16 => {
                let of = |value: bf16| f16::from_f32(value.to_f32());
                TensorData::new(self.values(count, mean, deviation, of), shape)
            }
            _ => TensorData::new(self.values(count, mean, deviation, |it| it), shape),
        };
        self.next = (self.next + count) % POOL;
        Param::from_tensor(Tensor::from_data(data, (self.device, self.dtype)))
    }
}

#[cfg(test)]
mod tests {
    use model::save::parameters;

    use super::*;
    use crate::gate::{SMALL, mini};

    #[test]
    fn the_same_seed_gives_the_same_values_in_every_type() {
        let own = Config::open(&mini()).expect("in the repository");
        let config = SMALL[0].config(&own).expect("ours");
        let values = |seed, dtype| parameters(&random(&config, seed, dtype, &Device::flex()));
        let exact = values(1, DType::F32);
        assert_eq!(exact, values(1, DType::BF16));
        assert_ne!(exact, values(2, DType::F32));
        let (shape, biases) = &exact["model.layers.1.self_attn.k_proj.bias"];
        assert_eq!(shape.len(), 1);
        assert!(biases.iter().any(|&it| it != 0.0) && biases.iter().all(|it| it.abs() < 1.0));
        let (_, norm) = &exact["model.norm.weight"];
        let mean = norm.iter().sum::<f32>() / norm.len() as f32;
        assert!((0.9..1.1).contains(&mean), "{mean}");
    }
}
