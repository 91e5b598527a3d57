//! Attention alone, in the network's head shapes: of steps, where it is a matter of reading keys and values once, and of prompts. Every
//! way of computing it that there is stands in a table, so the next one is a line there.

use burn::tensor::{DType, Device, Tensor};
use model::attention::{Visible, attend};
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

/// Sequences that attend in one layer.
struct Sequences {
    /// `[heads, head_dim]` of each, or a prompt's `[n, heads, head_dim]`.
    queries: Vec<Tensor<3>>,
    /// `[capacity, key_heads, head_dim]` of each.
    keys: Vec<Tensor<3>>,
    values: Vec<Tensor<3>>,
    /// Keys that are seen.
    seen: usize,
}

/// A way to compute it.
type Way = (&'static str, fn(&Sequences));

const STEPS: [Way; 1] = [("one sequence after another", each)];

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
    let shape = |rows| [rows, heads, key_heads, head_dim];
    for (name, way) in PROMPTS {
        let prompt = sequences(1, PROMPT, shape(PROMPT), dtype, &device);
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
                bench.emit(Line::absent(PART, case, "the part's time was used up"))?;
                continue;
            }
            if made.is_empty() {
                let one = |_| sequences(batch, context, shape(1), dtype, &device);
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

fn sequences(
    count: usize,
    seen: usize,
    [rows, heads, key_heads, head_dim]: [usize; 4],
    dtype: DType,
    device: &Device,
) -> Sequences {
    let capacity = seen.next_multiple_of(BLOCK) + BLOCK; // a cache is longer than what it holds
    let many = |shape: [usize; 3]| -> Vec<Tensor<3>> {
        let one = |_| random(shape, dtype, device);
        (0..count).map(one).collect()
    };
    Sequences {
        queries: many([rows, heads, head_dim]),
        keys: many([capacity, key_heads, head_dim]),
        values: many([capacity, key_heads, head_dim]),
        seen,
    }
}

/// What the layers do with a step.
fn each(sequences: &Sequences) {
    let Sequences {
        queries,
        keys,
        values,
        seen,
    } = sequences;
    for (q, (k, v)) in queries.iter().zip(keys.iter().zip(values)) {
        let view = |y: &Tensor<3>| y.clone().narrow(0, 0, *seen);
        attend(q.clone(), view(k), view(v), &Visible::All);
    }
}

/// What the layers do with a cached prompt (ADR 6).
fn blocks(sequences: &Sequences) {
    let (q, k, v) = (
        &sequences.queries[0],
        &sequences.keys[0],
        &sequences.values[0],
    );
    for start in (0..sequences.seen).step_by(BLOCK) {
        let rows = BLOCK.min(sequences.seen - start);
        let seen = |y: &Tensor<3>| y.clone().narrow(0, 0, start + rows);
        let visible = Visible::causal(rows, start + rows, &q.device());
        attend(q.clone().narrow(0, start, rows), seen(k), seen(v), &visible);
    }
}

/// What training does.
fn at_once(sequences: &Sequences) {
    let (q, seen) = (&sequences.queries[0], sequences.seen);
    let view = |y: &Tensor<3>| y.clone().narrow(0, 0, seen);
    let visible = Visible::causal(seen, seen, &q.device());
    let (k, v) = (&sequences.keys[0], &sequences.values[0]);
    attend(q.clone(), view(k), view(v), &visible);
}
