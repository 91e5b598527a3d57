//! Low-rank adaptation (`LoRA`, arXiv 2106.09685): a weight stays as it is, and a product of two narrow matrices beside it learns. Here are
//! that product, its settings, and what is done to all adapters of a network. Reads and writes no file (`adapter.rs`), and freezes nothing:
//! what a run trains is decided in `train`.

use std::sync::{Arc, Mutex};

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::Qwen;
use crate::init::Init;

/// The maps of a decoder layer, by the last word of their names: what is adapted if nothing else is said.
pub const TARGETS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// How adapters are made; names and defaults are those of PEFT's `LoraConfig`, except that it has no default targets for this network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// The rank: rows of A and columns of B.
    pub r: usize,
    /// Divided by `r` it scales what an adapter adds.
    pub lora_alpha: f64,
    /// The share of an adapter's input that is set to 0 in training.
    pub lora_dropout: f64,
    /// Which of [`TARGETS`] get one, in every layer of the decoder.
    pub target_modules: Vec<String>,
    /// Divides `lora_alpha` by the root of `r` instead (arXiv 2312.03732).
    pub use_rslora: bool,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: TARGETS.map(str::to_owned).into(),
            use_rslora: false,
        }
    }
}

impl LoraConfig {
    /// What the product is multiplied by.
    pub fn scaling(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }
}

/// `scaling · B · A · dropout(x)`
#[derive(Module, Debug)]
pub struct Lora {
    /// `[r, in]`
    pub lora_a: Param<Tensor<2>>,
    /// `[out, r]`
    pub lora_b: Param<Tensor<2>>,
    #[module(skip)]
    scaling: f64,
    #[module(skip)]
    dropout: f64,
    /// Draws what is dropped; without it nothing is.
    #[module(skip)]
    masks: Option<Masks>,
}

/// One stream for all adapters of a network, read in the order of its forward pass.
type Masks = Arc<Mutex<ChaCha8Rng>>;

impl Lora {
    /// An adapter of these matrices.
    ///
    /// # Shapes
    /// - `lora_a`: `[r, in]`
    /// - `lora_b`: `[out, r]`
    pub fn new(lora_a: Param<Tensor<2>>, lora_b: Param<Tensor<2>>, config: &LoraConfig) -> Self {
        Self {
            lora_a,
            lora_b,
            scaling: config.scaling(),
            dropout: config.lora_dropout,
            masks: None,
        }
    }

    /// # Shapes
    /// - `x`: `[n, in]`
    /// - the result: `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let narrow = self.dropped(x).matmul(self.lora_a.val().transpose()); // [n, r]
        narrow.matmul(self.lora_b.val().transpose()) * self.scaling
    }

    /// What the weight would have to be more to do the same, in f32.
    ///
    /// # Shapes
    /// - the result: `[out, in]`
    pub fn delta(&self) -> Tensor<2> {
        self.lora_b.val().matmul(self.lora_a.val()) * self.scaling
    }

    /// `x` with a share of its values set to 0 and the others grown to make up for it. Drawn here and not by the device, whose one stream
    /// all threads would share.
    fn dropped(&self, x: Tensor<2>) -> Tensor<2> {
        let Some(masks) = self.masks.as_ref().filter(|_| self.dropout > 0.0) else {
            return x;
        };
        let shape = x.dims();
        let kept = (1.0 / (1.0 - self.dropout)) as f32;
        let mut rng = masks.lock().expect("no holder panics");
        let mut draw = || {
            if rng.random_bool(self.dropout) {
                0.0
            } else {
                kept
            }
        };
        let mask: Vec<f32> = (0..shape[0] * shape[1]).map(|_| draw()).collect();
        let plain = x.device().without_autodiff();
        let mask = Tensor::<2>::from_data(TensorData::new(mask, shape), (&plain, DType::F32));
        let dtype = x.dtype();
        x * mask.cast(dtype)
    }
}

/// Puts a fresh adapter beside every map of the decoder's layers that `config` names: A random, B zero, so that the network stays what it
/// is (PEFT's `init_lora_weights = true`).
pub fn attach(network: &mut Qwen, config: &LoraConfig, init: &Init) {
    for (name, linear) in network.linears_mut() {
        let kind = name.rsplit('.').next().unwrap_or_default();
        if name.starts_with("model.layers.") && config.target_modules.iter().any(|it| it == kind) {
            let [output, input] = linear.weight.lazy_shape().dims();
            let (a, b) = (
                init.narrow([config.r, input]),
                init.zeros([output, config.r]),
            );
            linear.lora = Some(Lora::new(a, b, config));
        }
    }
}

/// Adds what the adapters say to the weights, in f32, and takes them away.
pub fn merge(network: &mut Qwen) {
    for (_, linear) in network.linears_mut() {
        if let Some(lora) = linear.lora.take() {
            linear.weight = linear.weight.clone().map(|weight| {
                let dtype = weight.dtype();
                (weight.cast(DType::F32) + lora.delta()).cast(dtype)
            });
        }
    }
}

/// From now on the adapters drop values, drawn from `rng` one pass after another.
pub fn drop_from(network: &mut Qwen, rng: ChaCha8Rng) {
    let masks = Arc::new(Mutex::new(rng));
    for (_, linear) in network.linears_mut() {
        if let Some(lora) = &mut linear.lora {
            lora.masks = Some(Arc::clone(&masks));
        }
    }
}
