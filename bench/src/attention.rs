//! Attention alone, in the network's head shapes: of steps, where it is a matter of reading keys and values once, and of prompts. Every
//! way of computing it that there is stands in a table, so the next one is a line there.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor};
use model::attention::{Visible, attend};
use model::pooled::{Seen, attend_pooled};
use model::text::BLOCK;

use crate::clock::measure;
use crate::matmul::random;
use crate::roofline::Work;
use crate::{Bench, Error, Line};

const PART: &str = "attention";

/// Tokens of MORE's prompt.
const PROMPT: usize = 734;

/// Bytes of keys and values that are made to be read in turn: more than any cache holds.
const TURNS: usize = 1 << 28;

/// Sequences that attend in one layer, their keys and values in one pool.
struct Sequences {
    /// `[n, heads, head_dim]`: a row of each sequence, or all rows of the only one.
    queries: Tensor<3>,
    /// `[places, key_heads, head_dim]`
    keys: Tensor<3>,
    values: Tensor<3>,
    /// The places of every sequence.
    runs: Vec<Range<usize>>,
    /// The same on the device.
    seen: Seen,
}

impl Sequences {
    /// `count` sequences of `context` keys, `rows` queries in all.
    fn new(
        [count, context]: [usize; 2],
        [rows, heads, key_heads, head_dim]: [usize; 4],
        dtype: DType,
        device: &Device,
    ) -> Self {
        let capacity = context.next_multiple_of(BLOCK) + BLOCK; // a slot is longer than what it holds
        let run = |number| number * capacity..number * capacity + context;
        let runs: Vec<_> = (0..count).map(run).collect();
        let pool = || random([count * capacity, key_heads, head_dim], dtype, device);
        Self {
            queries: random([rows, heads, head_dim], dtype, device),
            keys: pool(),
            values: pool(),
            seen: Seen::new(&runs, device),
            runs,
        }
    }

    /// The keys and values in `places`.
    fn view(&self, places: &Range<usize>) -> [Tensor<3>; 2] {
        [&self.keys, &self.values].map(|pool| pool.clone().narrow(0, places.start, places.len()))
    }
}

/// A way to compute it.
type Way = (&'static str, fn(&Sequences));

const STEPS: [Way; 2] = [("one sequence after another", each), ("together", together)];

const PROMPTS: [Way; 2] = [("in blocks", blocks), ("at once", at_once)];

pub fn run(bench: &mut Bench<'_>) -> Result<(), Error> {
    let (device, dtype) = (bench.options.device.clone(), bench.options.dtype);
    let text = bench.config.text.clone();
    let (heads, key_heads, head_dim) = (
        text.num_attention_heads,
        text.num_key_value_heads,
        text.head_dim(),
    );
    let ceilings = bench.ceilings()?;
    let budget = bench.budget();
    let (batches, contexts) = (
        bench.options.batches.clone(),
        bench.options.contexts.clone(),
    );
    let cases = batches.len() * contexts.len() * STEPS.len() + PROMPTS.len();
    let shape = |rows: usize| [rows, heads, key_heads, head_dim];
    for (name, way) in PROMPTS {
        let prompt = Sequences::new([1, PROMPT], shape(PROMPT), dtype, &device);
        let times = measure(&device, budget.share(cases), |_| way(&prompt))?;
        let pairs = (PROMPT * PROMPT / 2) as f64;
        let numbers = PROMPT * (2 * heads + 2 * key_heads) * head_dim;
        let work = Work {
            operations: 4.0 * (heads * head_dim) as f64 * pairs,
            bytes: (numbers * dtype.size()) as f64,
        };
        let line = Line::new(PART, format!("prompt of {PROMPT}, {name}"), "ms");
        bench.emit(line.millis(&times).work(work, &ceilings))?;
    }
    for (context, batch) in pairs(&contexts, &batches) {
        let bytes = 2 * batch * context * key_heads * head_dim * dtype.size();
        let turns = (TURNS / bytes).clamp(1, text.num_hidden_layers);
        let mut made = vec![];
        for (name, way) in STEPS {
            let case = format!("batch {batch}, context {context}, {name}");
            if budget.is_over() {
                bench.emit(Line::late(PART, case))?;
                continue;
            }
            if made.is_empty() {
                let one = |_| Sequences::new([batch, context], shape(batch), dtype, &device);
                made = (0..turns).map(one).collect();
            }
            let times = measure(&device, budget.share(cases), |round| {
                way(&made[round % turns]);
            })?;
            let work = Work {
                operations: 4.0 * (batch * context * heads * head_dim) as f64,
                bytes: bytes as f64,
            };
            let line = Line::new(PART, case, "ms");
            bench.emit(line.millis(&times).work(work, &ceilings))?;
        }
    }
    Ok(())
}

/// Every context with every batch.
pub fn pairs(contexts: &[usize], batches: &[usize]) -> Vec<(usize, usize)> {
    let of = |&context: &usize| batches.iter().map(move |&batch| (context, batch));
    contexts.iter().flat_map(of).collect()
}

/// What the layers do with a step on CPUs.
fn each(sequences: &Sequences) {
    for (row, run) in sequences.runs.iter().enumerate() {
        let [k, v] = sequences.view(run);
        let q = sequences.queries.clone().narrow(0, row, 1);
        attend(q, k, v, &Visible::All);
    }
}

/// What they do with it on GPUs (ADR 17).
fn together(sequences: &Sequences) {
    let Sequences {
        queries,
        keys,
        values,
        seen,
        ..
    } = sequences;
    attend_pooled(queries.clone(), keys, values, seen);
}

/// What the layers do with a cached prompt (ADR 6).
fn blocks(sequences: &Sequences) {
    let q = &sequences.queries;
    let [count, _, _] = q.dims();
    for start in (0..count).step_by(BLOCK) {
        let rows = BLOCK.min(count - start);
        let [k, v] = sequences.view(&(0..start + rows));
        let visible = Visible::causal(rows, start + rows, &q.device());
        attend(q.clone().narrow(0, start, rows), k, v, &visible);
    }
}

/// What training does.
fn at_once(sequences: &Sequences) {
    let q = &sequences.queries;
    let [count, _, _] = q.dims();
    let [k, v] = sequences.view(&(0..count));
    let visible = Visible::causal(count, count, &q.device());
    attend(q.clone(), k, v, &visible);
}
