//! What a sequence's answer is: the guide that leads it, why it ended, where its time went; and raw chat. The loop that makes it is
//! the engine's. Knows no prompt format.

use std::sync::Arc;
use std::time::Duration;

use ::vision::Patches;

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::engine::{Engine, Job, Limits, Picture, Settings};
use crate::sampling::Sampling;
use crate::template::Message;

/// Decides what may follow and what must.
pub trait Guide {
    /// Tokens every answer begins with.
    fn opening(&mut self) -> Vec<u32>;
    /// Whether `id` may come next.
    fn allows(&self, id: u32) -> bool;
    /// The whole strings of which the next tokens are one, where such a choice begins. None of them begins with another.
    fn choices(&self) -> Option<&[Vec<u32>]> {
        None
    }
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

/// One continued sequence.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Generated ids, forced and end tokens included.
    pub token_ids: Vec<u32>,
    /// The model's own log-probability of every id, before penalty, temperature and masks; a forced id has that of its place.
    pub logprobs: Vec<f32>,
    /// The log-probability of each of the choices that the job wanted scored, all tokens of it together.
    pub scores: Option<Vec<f32>>,
    /// How many ids were forced.
    pub forced: usize,
    /// How many tokens of the prompt were not computed again.
    pub reused: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Where its time went.
    pub timings: Timings,
}

/// Where the time of a sequence went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for its turn.
    pub queue: Duration,
    /// The vision tower.
    pub vision: Duration,
    /// Reading the prompt.
    pub prefill: Duration,
    /// Writing the answer.
    pub decode: Duration,
}

/// No grammar: any token until an end token.
#[derive(Clone, Debug)]
pub struct Free {
    eos: Vec<u32>,
}

impl Free {
    /// Ends where `checkpoint` says that answers end.
    pub fn new(checkpoint: &Checkpoint) -> Self {
        Self {
            eos: checkpoint.generation.eos_token_id.clone(),
        }
    }
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
    checkpoint: &Arc<Checkpoint>,
    messages: &[Message],
    images: &[Patches],
    sampling: &Sampling,
    max_new_tokens: usize,
) -> Result<Generation, Error> {
    let ids = checkpoint.tokenizer.chat(messages, "messages")?;
    let prompt = checkpoint.prompt(&ids, &Checkpoint::grids(images))?;
    let prompt_token_ids = prompt.ids.clone();
    let settings = Settings {
        limits: Limits {
            cached_tokens: prompt.ids.len() + max_new_tokens,
            ..Limits::default()
        },
        prefix_bytes: 0,
        image_bytes: 0,
    };
    let job = Job {
        prompt,
        pictures: images.iter().cloned().map(Picture::new).collect(),
        sampling: sampling.clone(),
        max_new_tokens,
        scored_tokens: 0,
        guide: Box::new(Free::new(checkpoint)),
    };
    let mut completions = Engine::new(Arc::clone(checkpoint), settings).run(vec![job]);
    let completion = completions.remove(0).expect("made as large as the job");
    let text = checkpoint.tokenizer.decode(&completion.token_ids, true);
    Ok(Generation {
        prompt_token_ids,
        completion,
        text,
    })
}
