//! The decoding loop: sequences of different lengths advance together, each with its own cache, sampler and guide. Knows no
//! prompt format; what may follow is the guide's business.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Tensor};

use ::vision::Patches;

use crate::Error;
use crate::checkpoint::{Checkpoint, Prompt};
use crate::qwen::Span;
use crate::sampling::{Sampler, Sampling, log_probability};
use crate::template::Message;
use crate::text::Cache;

/// Decides what may follow and what must.
pub trait Guide {
    /// Tokens every answer begins with.
    fn opening(&mut self) -> Vec<u32>;
    /// Whether `id` may come next.
    fn allows(&self, id: u32) -> bool;
    /// Takes note of the chosen `id`; says what must follow it, or that the answer is complete.
    fn accept(&mut self, id: u32) -> Next;
}

/// What comes after a chosen token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The model chooses again after these forced tokens (often none).
    Continue(Vec<u32>),
    /// The answer ends with these forced tokens.
    Finished(Vec<u32>),
    /// As `Continue`, but the chosen token itself is dropped.
    Instead(Vec<u32>),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// An end token, or the end of the grammar.
    Stop,
    /// The token limit.
    Length,
}

impl FinishReason {
    /// The name that `OpenAI`'s interface gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// One sequence to be continued.
pub struct Request<G> {
    /// Where it starts.
    pub prompt: Prompt,
    /// The tokens of its images, `[image tokens, d]`.
    pub image_rows: Option<Tensor<2>>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// At most this many tokens are generated, forced ones included.
    pub max_new_tokens: usize,
    /// What may follow.
    pub guide: G,
}

/// One continued sequence.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Generated ids, forced and end tokens included.
    pub token_ids: Vec<u32>,
    /// The model's own log-probability of every id, before penalty, temperature and masks; a forced id has that of its place.
    pub logprobs: Vec<f32>,
    /// How many ids were forced.
    pub forced: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// Where the time of a batch went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Reading the prompts.
    pub prefill: Duration,
    /// Everything after.
    pub decode: Duration,
}

/// A sequence under way.
struct Running<G> {
    request: Request<G>,
    sampler: Sampler,
    cache: Cache,
    generated: Vec<u32>,
    logprobs: Vec<f32>,
    /// Tokens not yet fed to the network; the last ones of prompt + generated.
    pending: usize,
    forced: usize,
    finish: Option<FinishReason>,
}

impl<G: Guide> Running<G> {
    /// Appends forced tokens; their log-probabilities are filled in when they are fed.
    fn force(&mut self, ids: &[u32]) {
        let room = self
            .request
            .max_new_tokens
            .saturating_sub(self.generated.len());
        let ids = &ids[..ids.len().min(room)];
        self.generated.extend(ids);
        self.logprobs
            .extend(std::iter::repeat_n(f32::NAN, ids.len()));
        self.pending += ids.len();
        self.forced += ids.len();
    }

    /// Prompt and generated ids.
    fn ids(&self) -> Vec<u32> {
        let mut ids = self.request.prompt.ids.clone();
        ids.extend(&self.generated);
        ids
    }

    /// The position of the token at `index` of prompt + generated.
    fn axes(&self, index: usize) -> [u32; 3] {
        let positions = &self.request.prompt.positions;
        positions
            .axes
            .get(index)
            .copied()
            .unwrap_or_else(|| [(index as i64 + positions.delta) as u32; 3])
    }
}

/// Continues `requests` together until all have ended.
pub fn run<G: Guide>(
    checkpoint: &Checkpoint,
    requests: Vec<Request<G>>,
) -> (Vec<Completion>, Clock) {
    let start = Instant::now();
    let mut clock = Clock::default();
    let mut running: Vec<Running<G>> = requests
        .into_iter()
        .map(|mut request| {
            let capacity = request.prompt.ids.len() + request.max_new_tokens + 1;
            let opening = request.guide.opening();
            let mut sequence = Running {
                sampler: Sampler::new(&request.sampling),
                cache: checkpoint.network.cache(capacity),
                generated: vec![],
                logprobs: vec![],
                pending: request.prompt.ids.len(),
                forced: 0,
                finish: (request.max_new_tokens == 0).then_some(FinishReason::Length),
                request,
            };
            sequence.force(&opening);
            sequence
        })
        .collect();
    let mut first = true;
    while running.iter().any(|sequence| sequence.finish.is_none()) {
        step(checkpoint, &mut running);
        if std::mem::take(&mut first) {
            clock.prefill = start.elapsed();
        }
    }
    clock.decode = start.elapsed().saturating_sub(clock.prefill);
    let completions = running
        .into_iter()
        .map(|sequence| Completion {
            token_ids: sequence.generated,
            logprobs: sequence.logprobs,
            forced: sequence.forced,
            finish_reason: sequence
                .finish
                .expect("the loop ran until every sequence ended"),
        })
        .collect();
    (completions, clock)
}

/// Feeds every live sequence its pending tokens and chooses the next of each.
fn step<G: Guide>(checkpoint: &Checkpoint, running: &mut [Running<G>]) {
    let network = &checkpoint.network;
    let mut live: Vec<&mut Running<G>> = running
        .iter_mut()
        .filter(|sequence| sequence.finish.is_none())
        .collect();
    let inputs: Vec<(Vec<u32>, Vec<[u32; 3]>, usize)> = live
        .iter()
        .map(|sequence| {
            let ids = sequence.ids();
            let held = ids.len() - sequence.pending;
            let axes = (held..ids.len())
                .map(|index| sequence.axes(index))
                .collect();
            (ids[held..].to_vec(), axes, held)
        })
        .collect();
    let spans: Vec<Span<'_>> = inputs
        .iter()
        .map(|(ids, axes, held)| Span {
            ids,
            axes,
            held: *held,
        })
        .collect();
    let images: Vec<Tensor<2>> = live
        .iter_mut()
        .filter_map(|sequence| sequence.request.image_rows.take())
        .collect();
    let images = (!images.is_empty()).then(|| Tensor::cat(images, 0));
    let mut caches: Vec<&mut Cache> = live
        .iter_mut()
        .map(|sequence| &mut sequence.cache)
        .collect();
    let hidden = network.hidden(&spans, images, &mut caches); // [n, d]
    drop(caches);

    // Rows whose next token is already known (forced) give its log-probability, the last row of each chooses.
    let mut wanted = Vec::new();
    let mut start = 0;
    for ((ids, _, held), sequence) in inputs.iter().zip(&live) {
        let prompt = sequence.request.prompt.ids.len();
        let first = prompt.max(held + 1) - 1 - held; // the row before the first generated token of this span
        wanted.push(start + first..start + ids.len());
        start += ids.len();
    }
    let rows: Vec<Tensor<2>> = wanted
        .iter()
        .map(|rows| hidden.clone().narrow(0, rows.start, rows.len()))
        .collect();
    let logits = network.logits(Tensor::cat(rows, 0)).cast(DType::F32); // [wanted, vocab]
    let vocab = logits.dims()[1];
    let logits = logits
        .into_data()
        .try_into_vec::<f32>()
        .expect("cast to f32 above");
    let mut logits = logits.chunks_exact(vocab);
    for (sequence, rows) in live.iter_mut().zip(&wanted) {
        let known = rows.len() - 1;
        let first = sequence.generated.len() - known;
        for index in first..sequence.generated.len() {
            let row = logits.next().expect("a row for every wanted position");
            sequence.logprobs[index] = log_probability(row, sequence.generated[index]);
        }
        sequence.pending = 0;
        choose(
            checkpoint,
            sequence,
            logits.next().expect("a row for every wanted position"),
        );
    }
}

/// Lets sampler and guide choose the next token of `sequence`.
fn choose<G: Guide>(checkpoint: &Checkpoint, sequence: &mut Running<G>, logits: &[f32]) {
    if sequence.generated.len() >= sequence.request.max_new_tokens {
        sequence.finish = Some(FinishReason::Length);
        return;
    }
    let (guide, tokenizer) = (&sequence.request.guide, &checkpoint.tokenizer);
    let seen = sequence.ids();
    let id = sequence.sampler.choose(logits, &seen, |id| {
        !tokenizer.is_silenced(id) && guide.allows(id)
    });
    let next = sequence.request.guide.accept(id);
    if !matches!(next, Next::Instead(_)) {
        sequence.generated.push(id);
        sequence.logprobs.push(log_probability(logits, id));
        sequence.pending += 1;
    }
    let full = |sequence: &Running<G>| sequence.generated.len() >= sequence.request.max_new_tokens;
    match next {
        Next::Continue(forced) | Next::Instead(forced) => {
            sequence.force(&forced);
            if full(sequence) {
                sequence.finish = Some(FinishReason::Length);
            }
        }
        Next::Finished(forced) => {
            sequence.force(&forced);
            sequence.finish = Some(FinishReason::Stop);
        }
    }
}

/// No grammar: any token until an end token.
#[derive(Clone, Debug)]
pub struct Free {
    eos: Vec<u32>,
}

impl Guide for Free {
    fn opening(&mut self) -> Vec<u32> {
        vec![]
    }

    fn allows(&self, _id: u32) -> bool {
        true
    }

    fn accept(&mut self, id: u32) -> Next {
        if self.eos.contains(&id) {
            Next::Finished(vec![])
        } else {
            Next::Continue(vec![])
        }
    }
}

/// A raw answer.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The prompt as the network saw it.
    pub prompt_token_ids: Vec<u32>,
    /// What was generated.
    pub completion: Completion,
    /// Its text, special tokens left out.
    pub text: String,
}

/// Raw chat on any checkpoint: no grammar, no protocol. `images` belong to the image parts of `messages`, in order.
///
/// # Errors
/// A conversation the template refuses, images that do not fit the parts, or control tokens in the text.
pub fn generate(
    checkpoint: &Checkpoint,
    messages: &[Message],
    images: &[Patches],
    sampling: &Sampling,
    max_new_tokens: usize,
) -> Result<Generation, Error> {
    let ids = checkpoint.tokenizer.chat(messages, "messages")?;
    let prompt = checkpoint.prompt(&ids, &Checkpoint::grids(images))?;
    let all: Vec<&Patches> = images.iter().collect();
    let image_rows = (!all.is_empty()).then(|| checkpoint.network.encode_images(&all));
    let guide = Free {
        eos: checkpoint.generation.eos_token_id.clone(),
    };
    let prompt_token_ids = prompt.ids.clone();
    let request = Request {
        prompt,
        image_rows,
        sampling: sampling.clone(),
        max_new_tokens,
        guide,
    };
    let (mut completions, _) = run(checkpoint, vec![request]);
    let completion = completions.remove(0);
    let text = checkpoint.tokenizer.decode(&completion.token_ids, true);
    Ok(Generation {
        prompt_token_ids,
        completion,
        text,
    })
}
