//! One decoder layer: attention and feed-forward, each behind a norm and beside a residual.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cache, Mlp, Pooled, Rows};
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
        let y = match &rows.pooled {
            Some(pooled) => attend_in_pool(&q, k, v, rows, pooled, layer, caches),
            None => attend_one_by_one(&q, &k, &v, rows, layer, caches),
        };
        self.o_proj.forward(y)
    }
}

/// Attention sequence by sequence, over buffers or without caches.
///
/// # Shapes
/// - `q`: `[n, heads, head_dim]`; `k`, `v`: `[n, key_heads, head_dim]`
/// - the result: `[n, heads · head_dim]`
fn attend_one_by_one(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    rows: &Rows,
    layer: usize,
    caches: &mut [&mut Cache],
) -> Tensor<2> {
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
            Some(cache) => cache.append(layer, part(k), part(v)),
            None => (with_shared(k), with_shared(v)),
        };
        for block in &sequence.blocks {
            let q = q.clone().narrow(0, start, block.rows);
            let seen = |y: &Tensor<3>| y.clone().narrow(0, 0, block.keys);
            parts.push(attend(q, seen(&keys), seen(&values), &block.visible));
            start += block.rows;
        }
    }
    if rows.padding > 0 {
        let [_, heads, head_dim] = q.dims();
        let shape = [rows.padding, heads * head_dim];
        parts.push(Tensor::zeros(shape, (&q.device(), q.dtype())));
    }
    joined(parts)
}

/// Attention over a pool: all rows are written at once, and those that fill no block attend in one operation, whosever they are.
///
/// # Shapes
/// - as [`attend_one_by_one`]
fn attend_in_pool(
    q: &Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    rows: &Rows,
    pooled: &Pooled,
    layer: usize,
    caches: &[&mut Cache],
) -> Tensor<2> {
    let pool = Cache::common(caches).expect("the rows lie in a pool");
    pool.write(layer, k, v, &pooled.places);
    let mut parts = vec![];
    if let Some(seen) = &pooled.seen {
        let single = match &pooled.order {
            Some((single, _)) => q.clone().select(0, single.clone()),
            None => q.clone(),
        };
        parts.push(pool.attend(layer, single, seen));
    }
    let mut start = 0;
    for (cache, sequence) in caches.iter().zip(&rows.sequences) {
        let mut first = start;
        for block in &sequence.blocks {
            let (keys, values) = cache.view(layer, block.keys);
            let q = q.clone().narrow(0, first, block.rows);
            parts.push(attend(q, keys, values, &block.visible));
            first += block.rows;
        }
        start += sequence.len;
    }
    let y = joined(parts);
    match &pooled.order {
        Some((_, places)) => y.select(0, places.clone()),
        None => y,
    }
}

fn joined(mut parts: Vec<Tensor<2>>) -> Tensor<2> {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        Tensor::cat(parts, 0)
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
