//! One answer growing: its tokens, its cache, its clock. Knows no other sequence and no schedule.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use blake3::Hash;
use burn::tensor::Tensor;

use super::Job;
use crate::checkpoint::Checkpoint;
use crate::generate::{Completion, FinishReason, Next, Timings};
use crate::sampling::{Sampler, log_probability, top_log_probabilities};
use crate::text::Cache;

/// A sequence under way.
pub struct Sequence {
    pub job: Job,
    pub sampler: Sampler,
    /// None until it is fed for the first time.
    pub cache: Option<Cache>,
    /// The names of its prompt's blocks.
    pub blocks: Vec<Hash>,
    /// The rows of its images that were not fed yet.
    pub rows: VecDeque<Tensor<2>>,
    /// Prompt and generated ids.
    pub ids: Vec<u32>,
    pub logprobs: Vec<f32>,
    /// As many of the most probable tokens at every place as the job wants.
    pub tops: Vec<Vec<(u32, f32)>>,
    /// Of the job's choices, once they were scored.
    pub scores: Option<Vec<f32>>,
    pub forced: usize,
    pub reused: usize,
    pub finish: Option<FinishReason>,
    pub clock: Clock,
}

/// When what happened, and what its share of the work took.
pub struct Clock {
    pub arrived: Instant,
    pub began: Option<Instant>,
    pub read: Option<Instant>,
    pub vision: Duration,
}

impl Sequence {
    /// At its beginning; `blocks` are the names of its prompt's blocks.
    pub fn new(mut job: Job, blocks: Vec<Hash>) -> Self {
        let opening = job.guide.opening();
        let mut sequence = Self {
            sampler: Sampler::new(&job.sampling),
            cache: None,
            blocks,
            rows: VecDeque::new(),
            ids: job.prompt.ids.clone(),
            logprobs: vec![],
            tops: vec![],
            scores: None,
            forced: 0,
            reused: 0,
            finish: None,
            clock: Clock {
                arrived: Instant::now(),
                began: None,
                read: None,
                vision: Duration::ZERO,
            },
            job,
        };
        sequence.force(&opening);
        sequence
    }

    /// Tokens of the prompt.
    pub fn prompt_len(&self) -> usize {
        self.job.prompt.ids.len()
    }

    fn generated(&self) -> usize {
        self.ids.len() - self.prompt_len()
    }

    /// Tokens that were fed.
    pub fn held(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::len)
    }

    /// Whether its answer has as many tokens as it may.
    pub fn is_full(&self) -> bool {
        self.generated() >= self.job.max_new_tokens
    }

    /// Appends forced tokens as far as there is room; their log-probabilities are filled in when they are fed.
    fn force(&mut self, ids: &[u32]) {
        let room = self.job.max_new_tokens - self.generated();
        let ids = &ids[..ids.len().min(room)];
        self.ids.extend(ids);
        self.logprobs.extend(ids.iter().map(|_| f32::NAN));
        self.tops.resize(self.logprobs.len(), vec![]);
        self.forced += ids.len();
    }

    /// The position of the token at `index` of prompt + generated.
    pub fn axes(&self, index: usize) -> [u32; 3] {
        let positions = &self.job.prompt.positions;
        let generated = || [(index as i64 + positions.delta) as u32; 3];
        positions.axes.get(index).copied().unwrap_or_else(generated)
    }

    /// The next `count` rows of its images.
    pub fn take_rows(&mut self, mut count: usize) -> Vec<Tensor<2>> {
        let mut taken = vec![];
        while count > 0 {
            let rows = self.rows.pop_front().expect("a row for every placeholder");
            let here = rows.dims()[0];
            if here > count {
                self.rows
                    .push_front(rows.clone().narrow(0, count, here - count));
            }
            taken.push(rows.narrow(0, 0, here.min(count)));
            count -= here.min(count);
        }
        taken
    }

    /// What became of it.
    pub fn complete(self, finish_reason: FinishReason) -> Completion {
        let now = Instant::now();
        let (began, read) = (
            self.clock.began.unwrap_or(now),
            self.clock.read.unwrap_or(now),
        );
        Completion {
            token_ids: self.ids[self.prompt_len()..].to_vec(),
            logprobs: self.logprobs,
            tops: self.tops,
            scores: self.scores,
            prompt_tokens: self.job.prompt.ids.len(),
            forced: self.forced,
            reused: self.reused,
            finish_reason,
            timings: Timings {
                queue: began - self.clock.arrived,
                vision: self.clock.vision,
                prefill: (read - began).saturating_sub(self.clock.vision),
                decode: now - read,
            },
        }
    }

    /// Scores the job's choices, if it has some and the guide chooses here. `logits` are those behind the last token.
    pub fn score(&mut self, checkpoint: &Checkpoint, logits: &[f32]) {
        let scored = self.job.scored.clone();
        if let Some(choices) = scored.filter(|_| self.job.guide.chooses()) {
            let place = self.axes(self.ids.len());
            let cache = self.cache.as_mut().expect("it was fed");
            self.scores = Some(choices.score(&checkpoint.network, cache, place[0], logits));
        }
    }

    /// Keeps the most probable tokens at a place of the answer, if the job wants some.
    pub fn note_top(&mut self, place: usize, logits: &[f32]) {
        if self.job.top_logprobs > 0 {
            self.tops[place] = top_log_probabilities(logits, self.job.top_logprobs);
        }
    }

    /// Lets sampler and guide choose the next token.
    pub fn choose(&mut self, checkpoint: &Checkpoint, logits: &[f32]) {
        let (guide, tokenizer) = (&self.job.guide, &checkpoint.tokenizer);
        let id = self.sampler.choose(logits, &self.ids, |id| {
            !tokenizer.is_silenced(id) && guide.allows(id)
        });
        let next = self.job.guide.accept(id);
        if !matches!(next, Next::Instead(_)) {
            self.ids.push(id);
            self.logprobs.push(log_probability(logits, id));
            self.tops.push(vec![]);
            self.note_top(self.tops.len() - 1, logits);
        }
        match next {
            Next::Continue(forced) | Next::Instead(forced) => {
                self.force(&forced);
                if self.is_full() {
                    self.finish = Some(FinishReason::Length);
                }
            }
            Next::Finished(forced) => {
                self.force(&forced);
                self.finish = Some(FinishReason::Stop);
            }
        }
    }
}
