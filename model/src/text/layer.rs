//! One decoder layer: attention and feed-forward, each behind a norm and beside a residual.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cache, Mlp, Rows};
use crate::attention::attend;
use crate::config::TextConfig;
use crate::init::Init;
use crate::linear::{Linear, named};
use crate::norm::RmsNorm;

/// Causal grouped-query attention. Reference: `Qwen2_5_VLAttention`, transformers 5.23.0.
#[derive(Module, Debug)]
pub struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    /// Queries, keys and values as one map, once they are joined.
    qkv: Option<Linear>,
    #[module(skip)]
    head_dim: usize,
}

impl SelfAttention {
    /// Query, key and value maps have biases, the output map has none.
    pub fn new(config: &TextConfig, init: &Init) -> Self {
        let (width, head_dim) = (config.hidden_size, config.head_dim());
        let keys = config.num_key_value_heads * head_dim;
        Self {
            q_proj: Linear::new(width, width, true, init),
            k_proj: Linear::new(width, keys, true, init),
            v_proj: Linear::new(width, keys, true, init),
            o_proj: Linear::new(width, width, false, init),
            qkv: None,
            head_dim,
        }
    }

    /// Makes one product of those that have the same input.
    pub(crate) fn join(&mut self) {
        let maps = [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj];
        self.qkv = Some(Linear::joined(maps));
    }

    /// Its maps by name.
    pub(crate) fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 4] {
        [
            ("q_proj", &mut self.q_proj),
            ("k_proj", &mut self.k_proj),
            ("v_proj", &mut self.v_proj),
            ("o_proj", &mut self.o_proj),
        ]
    }

    /// Queries, keys and values of every row, not yet turned.
    ///
    /// # Shapes
    /// - `x`: `[n, d]`
    /// - the results: `[n, heads, head_dim]`
    fn projected(&self, x: Tensor<2>) -> [Tensor<3>; 3] {
        let heads = |y: Tensor<2>| {
            let [n, width] = y.dims();
            y.reshape([n, width / self.head_dim, self.head_dim])
        };
        let Some(joined) = &self.qkv else {
            let maps = [&self.q_proj, &self.k_proj, &self.v_proj];
            return maps.map(|map| heads(map.forward(x.clone())));
        };
        let (queries, y) = (x.dims()[1] / self.head_dim, heads(joined.forward(x)));
        let keys = (y.dims()[1] - queries) / 2;
        let part = |start, count| y.clone().narrow(1, start, count);
        [
            part(0, queries),
            part(queries, keys),
            part(queries + keys, keys),
        ]
    }

    /// Attention inside each sequence of `rows`; `layer` is the index under which `caches` keep keys and values.
    ///
    /// # Shapes
    /// - `x` and the result: `[n, d]`, sequences one after another
    pub fn forward(
        &self,
        x: Tensor<2>,
        rows: &Rows,
        layer: usize,
        caches: &mut [&mut Cache],
    ) -> Tensor<2> {
        let [q, k, v] = self.projected(x);
        let (q, k) = (rows.rotation.apply(q), rows.rotation.apply(k));
        let mut start = 0;
        let mut parts = Vec::with_capacity(rows.sequences.len());
        for (index, sequence) in rows.sequences.iter().enumerate() {
            let first = start;
            let part = |y: &Tensor<3>| y.clone().narrow(0, first, sequence.len);
            let with_shared = |y: &Tensor<3>| match sequence.held {
                0 => part(y),
                held => Tensor::cat(vec![y.clone().narrow(0, 0, held), part(y)], 0),
            };
            let (keys, values) = match caches.get_mut(index) {
                Some(cache) => cache.append(layer, part(&k), part(&v)),
                None => (with_shared(&k), with_shared(&v)),
            };
            for block in &sequence.blocks {
                let q = q.clone().narrow(0, start, block.rows);
                let seen = |y: &Tensor<3>| y.clone().narrow(0, 0, block.keys);
                parts.push(attend(q, seen(&keys), seen(&values), &block.visible));
                start += block.rows;
            }
        }
        if rows.padding > 0 {
            let shape = [rows.padding, q.dims()[1] * self.head_dim];
            parts.push(Tensor::zeros(shape, (&q.device(), q.dtype())));
        }
        let y = if parts.len() == 1 {
            parts.remove(0)
        } else {
            Tensor::cat(parts, 0)
        };
        self.o_proj.forward(y)
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    input_layernorm: RmsNorm,
    self_attn: SelfAttention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

impl DecoderLayer {
    /// A layer of the sizes in `config`.
    pub fn new(config: &TextConfig, init: &Init) -> Self {
        Self {
            input_layernorm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, init),
            self_attn: SelfAttention::new(config, init),
            post_attention_layernorm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, init),
            mlp: Mlp::new(config.hidden_size, config.intermediate_size, false, init),
        }
    }

    /// Makes one product of those that have the same input.
    pub(crate) fn join(&mut self) {
        self.self_attn.join();
        self.mlp.join();
    }

    /// Its maps by name.
    pub(crate) fn linears_mut(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let attention = named("self_attn", self.self_attn.linears_mut());
        attention.chain(named("mlp", self.mlp.linears_mut()))
    }

    /// # Shapes
    /// - `x` and the result: `[n, d]`
    pub fn forward(
        &self,
        x: Tensor<2>,
        rows: &Rows,
        layer: usize,
        caches: &mut [&mut Cache],
    ) -> Tensor<2> {
        let x = x.clone()
            + self
                .self_attn
                .forward(self.input_layernorm.forward(x), rows, layer, caches);
        x.clone() + self.mlp.forward(self.post_attention_layernorm.forward(x))
    }
}
