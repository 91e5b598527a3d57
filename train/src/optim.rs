//! `AdamW` over the parameters of a network, with a global gradient norm. Keeps its moments under checkpoint keys, so that a run
//! can be resumed bit for bit; schedules nothing.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor};
use model::init::Init;
use model::lora::attach;
use model::{LoraConfig, Qwen};
use serde::{Deserialize, Serialize};

use crate::params::{Change, Look, change, look};

/// The gradient of every trained parameter, by key, flattened.
#[derive(Debug, Default)]
pub struct Grads {
    by_key: BTreeMap<String, Tensor<1>>,
}

impl Grads {
    /// Takes the gradients of `network` out of a backward pass.
    pub fn take(network: &Qwen, gradients: Gradients) -> Self {
        let grads = Self::default();
        look(network, Taker { gradients, grads }).grads
    }

    /// Adds `other`, parameter by parameter.
    pub fn add(&mut self, other: Self) {
        for (key, grad) in other.by_key {
            let sum = match self.by_key.remove(&key) {
                Some(held) => held + grad,
                None => grad,
            };
            self.by_key.insert(key, sum);
        }
    }

    /// The same on `device`.
    #[must_use]
    pub fn on(self, device: &Device) -> Self {
        let moved = |(key, grad): (String, Tensor<1>)| (key, grad.to_device(device));
        Self {
            by_key: self.by_key.into_iter().map(moved).collect(),
        }
    }

    /// The Euclidean norm over all parameters.
    pub fn norm(&self) -> f64 {
        let squares = self
            .by_key
            .values()
            .map(|grad| f64::from(grad.clone().square().sum().into_scalar::<f32>()));
        squares.sum::<f64>().sqrt()
    }
}

struct Taker {
    gradients: Gradients,
    grads: Grads,
}

impl Look for Taker {
    fn look<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad_remove(&mut self.gradients) {
            let count = grad.shape().num_elements();
            let grad = grad.reshape([count]);
            self.grads.by_key.insert(path.join("."), grad);
        }
    }
}

/// The constants of `AdamW`; names are those of torch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta_1: f32,
    /// Decay of the mean of squares.
    pub beta_2: f32,
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// Share of a weight matrix that a step of rate 1 takes away; norms and biases keep theirs.
    pub weight_decay: f32,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// `AdamW` (arXiv:1711.05101) with f32 moments.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: u32,
    moments: BTreeMap<String, [Tensor<1>; 2]>,
}

impl AdamW {
    /// An optimizer that has made no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            steps: 0,
            moments: BTreeMap::new(),
        }
    }

    /// Goes on where [`AdamW::moments`] and [`AdamW::steps`] were taken.
    pub fn resume(
        config: AdamWConfig,
        steps: u32,
        moments: BTreeMap<String, [Tensor<1>; 2]>,
    ) -> Self {
        Self {
            config,
            steps,
            moments,
        }
    }

    /// Mean and mean square of the gradients of every parameter.
    pub fn moments(&self) -> &BTreeMap<String, [Tensor<1>; 2]> {
        &self.moments
    }

    /// Steps made.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// One step of `rate` against `grads` times `scale` (less than 1 where the norm is clipped).
    pub fn step(&mut self, network: Qwen, grads: Grads, rate: f64, scale: f64) -> Qwen {
        self.steps += 1;
        let stepper = Stepper {
            optimizer: self,
            grads,
            rate,
            scale,
        };
        change(network, stepper)
    }

    /// The new value of one parameter.
    fn update<const D: usize>(
        &mut self,
        key: &str,
        value: Tensor<D>,
        grad: Tensor<1>,
        rate: f64,
    ) -> Tensor<D> {
        let AdamWConfig {
            beta_1,
            beta_2,
            epsilon,
            weight_decay,
        } = self.config;
        let shape = value.shape();
        let value = value.reshape([shape.num_elements()]);
        let [mean, square] = match self.moments.remove(key) {
            Some([mean, square]) => [
                mean * beta_1 + grad.clone() * (1.0 - beta_1),
                square * beta_2 + grad.square() * (1.0 - beta_2),
            ],
            None => [
                grad.clone() * (1.0 - beta_1),
                grad.square() * (1.0 - beta_2),
            ],
        };
        let unbias = |beta: f32| 1.0 - f64::from(beta).powi(self.steps as i32);
        let ratio = mean.clone() / ((square.clone() / unbias(beta_2)).sqrt() + epsilon);
        let decay = if D > 1 {
            1.0 - rate * f64::from(weight_decay)
        } else {
            1.0
        };
        let value = value * decay - ratio * (rate / unbias(beta_1));
        self.moments.insert(key.to_owned(), [mean, square]);
        value.reshape(shape)
    }
}

struct Stepper<'a> {
    optimizer: &'a mut AdamW,
    grads: Grads,
    rate: f64,
    scale: f64,
}

impl Change for Stepper<'_> {
    fn change<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        let key = path.join(".");
        let Some(grad) = self.grads.by_key.remove(&key) else {
            return param;
        };
        let grad = if self.scale < 1.0 {
            grad * self.scale
        } else {
            grad
        };
        param.map(|value| {
            let value = value.without_autodiff();
            self.optimizer
                .update(&key, value, grad, self.rate)
                .autodiff()
                .require_grad()
        })
    }
}

/// The same values on `device`, without any gradient.
#[must_use]
pub fn plain(network: Qwen, device: &Device) -> Qwen {
    network.map(&mut Plain(device))
}

struct Plain<'a>(&'a Device);

impl ModuleMapper for Plain<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| value.without_autodiff().to_device(self.0))
    }
}

/// What of a network learns.
#[derive(Clone, Copy, Debug)]
pub struct Learning<'a> {
    /// Its adapters alone, which are made so.
    pub lora: Option<&'a LoraConfig>,
    /// Parameters whose key starts so keep their values.
    pub freeze: &'a [String],
}

impl Learning<'_> {
    /// Puts adapters beside the maps of `network`, if there are to be some.
    #[must_use]
    pub fn adapted(&self, mut network: Qwen, init: &Init) -> Qwen {
        if let Some(lora) = self.lora {
            attach(&mut network, lora, init);
        }
        network
    }

    /// The same network; what does not learn gets no gradient.
    #[must_use]
    pub fn frozen(&self, network: Qwen) -> Qwen {
        change(network, Freezer(*self))
    }

    /// Whether this fits `network`, whose adapters are there.
    ///
    /// # Errors
    /// A beginning that no parameter's key has, and where nothing is left that learns.
    pub fn check(&self, network: &Qwen) -> Result<(), String> {
        let keys = look(network, Keys::default()).0;
        let key_of = |path: &Vec<String>| path.join(".");
        for prefix in self.freeze {
            if !keys
                .iter()
                .any(|path| key_of(path).starts_with(prefix.as_str()))
            {
                return Err(format!(
                    "training.freeze: no parameter's key begins with {prefix:?}"
                ));
            }
        }
        if keys.iter().any(|path| self.takes(path)) {
            Ok(())
        } else {
            Err("training.freeze leaves nothing that learns".to_owned())
        }
    }

    /// Whether the parameter at `path` learns.
    pub fn takes(&self, path: &[String]) -> bool {
        let key = path.join(".");
        let adapter = path.iter().any(|room| room == "lora");
        let frozen = |prefix: &String| key.starts_with(prefix.as_str());
        (self.lora.is_none() || adapter) && !self.freeze.iter().any(frozen)
    }
}

/// Where every parameter stands.
#[derive(Default)]
struct Keys(Vec<Vec<String>>);

impl Look for Keys {
    fn look<const D: usize>(&mut self, path: &[String], _param: &Param<Tensor<D>>) {
        self.0.push(path.to_vec());
    }
}

struct Freezer<'a>(Learning<'a>);

impl Change for Freezer<'_> {
    fn change<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>> {
        if self.0.takes(path) {
            param
        } else {
            param.set_require_grad(false)
        }
    }
}
