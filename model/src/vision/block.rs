//! One block of the vision tower, and the merger that closes it. Biases everywhere but in the norms.

use burn::module::Module;
use burn::tensor::{Tensor, activation::gelu};

use super::Spans;
use crate::config::VisionConfig;
use crate::init::Init;
use crate::linear::{Linear, named};
use crate::norm::RmsNorm;
use crate::rope::Rotation;
use crate::text::Mlp;

/// The epsilon that the reference writes into the vision norms.
const EPS: f64 = 1e-6;

/// Attention inside given spans of rows. Reference: `Qwen2_5_VLVisionAttention`, transformers 5.23.0.
#[derive(Module, Debug)]
pub struct VisionAttention {
    qkv: Linear,
    proj: Linear,
    #[module(skip)]
    num_heads: usize,
}

impl VisionAttention {
    /// # Shapes
    /// - `x` and the result: `[p, d]`; `spans` cover the rows
    pub fn forward(&self, x: Tensor<2>, rotation: &Rotation, spans: &Spans) -> Tensor<2> {
        let [p, width] = x.dims();
        let qkv = self.qkv.forward(x); // [p, 3d], rows of the weight are q, then k, then v
        let heads = |index: usize| {
            let part = qkv.clone().narrow(1, index * width, width);
            part.reshape([p, self.num_heads, width / self.num_heads])
        };
        let (q, k, v) = (rotation.apply(heads(0)), rotation.apply(heads(1)), heads(2));
        self.proj.forward(spans.attend(q, k, v))
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct VisionBlock {
    norm1: RmsNorm,
    norm2: RmsNorm,
    attn: VisionAttention,
    mlp: Mlp,
}

impl VisionBlock {
    /// A block of the sizes in `config`.
    pub fn new(config: &VisionConfig, init: &Init) -> Self {
        let width = config.hidden_size;
        Self {
            norm1: RmsNorm::new(width, EPS, init),
            norm2: RmsNorm::new(width, EPS, init),
            attn: VisionAttention {
                qkv: Linear::new(width, 3 * width, true, init),
                proj: Linear::new(width, width, true, init),
                num_heads: config.num_heads,
            },
            mlp: Mlp::new(width, config.intermediate_size, true, init),
        }
    }

    /// Makes one product of those that have the same input; queries, keys and values are one already.
    pub(crate) fn join(&mut self) {
        self.mlp.join();
    }

    /// Its maps by name.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let attn = [("qkv", &mut self.attn.qkv), ("proj", &mut self.attn.proj)];
        named("attn", attn).chain(named("mlp", self.mlp.linears_mut()))
    }

    /// # Shapes
    /// - `x` and the result: `[p, d]`
    pub fn forward(&self, x: Tensor<2>, rotation: &Rotation, spans: &Spans) -> Tensor<2> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), rotation, spans);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

/// Turns `m²` neighbouring patches into one row of the decoder's width.
///
/// Reference: `Qwen2_5_VLPatchMerger`, transformers 5.23.0: norm, concatenation, linear, exact GELU, linear.
#[derive(Module, Debug)]
pub struct Merger {
    ln_q: RmsNorm,
    mlp: (Linear, Linear),
    #[module(skip)]
    unit: usize,
}

impl Merger {
    /// A merger of the sizes in `config`.
    pub fn new(config: &VisionConfig, init: &Init) -> Self {
        let unit = config.spatial_merge_size * config.spatial_merge_size;
        let width = config.hidden_size * unit;
        Self {
            ln_q: RmsNorm::new(config.hidden_size, EPS, init),
            mlp: (
                Linear::new(width, width, true, init),
                Linear::new(width, config.out_hidden_size, true, init),
            ),
            unit,
        }
    }

    /// Its maps by the names of checkpoints, which count the activation between them.
    pub(crate) fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 2] {
        [("mlp.0", &mut self.mlp.0), ("mlp.2", &mut self.mlp.1)]
    }

    /// # Shapes
    /// - `x`: `[p, d]`
    /// - the result: `[p / m², out_hidden_size]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [p, width] = x.dims();
        let x = self
            .ln_q
            .forward(x)
            .reshape([p / self.unit, width * self.unit]);
        self.mlp.1.forward(gelu(self.mlp.0.forward(x)))
    }
}
