//! What a sequence's answer is: the guide that leads it, why it ended, where its time went; and raw chat. The loop that makes it is
//! the engine's. Knows no prompt format.

use std::sync::Arc;
use std::time::Duration;

use ::vision::Patches;

use crate::Error;
use crate::checkpoint::{Checkpoint, Prompt};
use crate::engine::{Engine, Job, Limits, Picture, Settings};
use crate::sampling::Sampling;
use crate::template::Message;

/// Decides what may follow and what must.
pub trait Guide {
    /// Tokens every answer begins with.
    fn opening(&mut self) -> Vec<u32>;
    /// Whether `id` may come next.
    fn allows(&self, id: u32) -> bool;
    /// Whether a choice among whole strings begins here.
    fn chooses(&self) -> bool {
        false
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
    /// At every place the most probable ids with their log-probabilities, as many as the job wanted.
    pub tops: Vec<Vec<(u32, f32)>>,
    /// The log-probability of each of the choices that the job wanted scored, all tokens of it together.
    pub scores: Option<Vec<f32>>,
    /// How many tokens the prompt has.
    pub prompt_tokens: usize,
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

/// No grammar: any token until an end token, or until the text holds a string that ends it.
#[derive(Clone, Debug)]
struct Free {
    checkpoint: Arc<Checkpoint>,
    stop: Vec<String>,
    said: Vec<u32>,
}

impl Guide for Free {
    fn opening(&mut self) -> Vec<u32> {
        vec![]
    }

    fn allows(&self, _id: u32) -> bool {
        true
    }

    fn accept(&mut self, id: u32) -> Next {
        self.said.push(id);
        let ended = self.checkpoint.generation.eos_token_id.contains(&id);
        if ended || self.stopped() {
            Next::Finished(vec![])
        } else {
            Next::Continue(vec![])
        }
    }
}

impl Free {
    /// Whether the last token has completed a string that ends the text. Every token stands for a byte at least, so the string
    /// is within as many tokens as it has bytes.
    fn stopped(&self) -> bool {
        let Some(longest) = self.stop.iter().map(String::len).max() else {
            return false;
        };
        let tail = &self.said[self.said.len().saturating_sub(longest)..];
        let text = self.checkpoint.tokenizer.decode(tail, true);
        self.stop.iter().any(|stop| text.contains(stop))
    }
}

/// One of several strings and nothing else, as sequences of which none begins with another.
#[derive(Clone, Debug)]
struct OneOf {
    choices: Vec<Vec<u32>>,
    said: usize,
}

impl Guide for OneOf {
    fn opening(&mut self) -> Vec<u32> {
        vec![]
    }

    fn allows(&self, id: u32) -> bool {
        let next = |choice: &Vec<u32>| choice.get(self.said) == Some(&id);
        self.choices.iter().any(next)
    }

    fn accept(&mut self, id: u32) -> Next {
        let said = self.said;
        self.choices.retain(|choice| choice.get(said) == Some(&id));
        self.said += 1;
        if self.choices.iter().any(|choice| choice.len() == self.said) {
            Next::Finished(vec![])
        } else {
            Next::Continue(vec![])
        }
    }
}

/// A conversation to be continued on any checkpoint: no protocol.
#[derive(Clone, Debug)]
pub struct Chat {
    /// The conversation, image placeholders included.
    pub prompt: Prompt,
    /// Its images.
    pub pictures: Vec<Picture>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// At most this many tokens are generated.
    pub max_new_tokens: usize,
    /// Strings that end the text where they occur; they stay in it.
    pub stop: Vec<String>,
    /// The answer is one of these; none stands for any.
    pub choices: Vec<String>,
    /// For so many tokens at every place log-probabilities are kept.
    pub top_logprobs: usize,
}

impl Chat {
    /// The continuation of `messages`, whose image parts are `pictures` in order; greedy until changed.
    ///
    /// # Errors
    /// A conversation the template refuses, pictures that do not fit the parts, or control tokens in the text.
    pub fn new(
        checkpoint: &Checkpoint,
        messages: &[Message],
        pictures: Vec<Picture>,
        max_new_tokens: usize,
    ) -> Result<Self, Error> {
        let ids = checkpoint.tokenizer.chat(messages, "messages")?;
        let grids: Vec<_> = pictures.iter().map(|it| it.patches.grid).collect();
        let prompt = checkpoint.prompt(&ids, &grids)?;
        Ok(Self::over(prompt, pictures, max_new_tokens))
    }

    /// The continuation of `prompt`, which holds the placeholders of `pictures`; greedy until changed.
    pub fn over(prompt: Prompt, pictures: Vec<Picture>, max_new_tokens: usize) -> Self {
        Self {
            prompt,
            pictures,
            sampling: Sampling::default(),
            max_new_tokens,
            stop: vec![],
            choices: vec![],
            top_logprobs: 0,
        }
    }

    /// What an engine over `checkpoint` has to do for it.
    pub fn job(&self, checkpoint: &Arc<Checkpoint>) -> Job {
        let guide: Box<dyn Guide + Send> = if self.choices.is_empty() {
            Box::new(Free {
                checkpoint: Arc::clone(checkpoint),
                stop: self.stop.clone(),
                said: vec![],
            })
        } else {
            // The end token tells a choice from one that begins with it.
            let end = checkpoint.generation.eos_token_id[0];
            let ended = |text: &String| [checkpoint.tokenizer.encode(text), vec![end]].concat();
            Box::new(OneOf {
                choices: self.choices.iter().map(ended).collect(),
                said: 0,
            })
        };
        Job {
            prompt: self.prompt.clone(),
            pictures: self.pictures.clone(),
            sampling: self.sampling.clone(),
            max_new_tokens: self.max_new_tokens,
            top_logprobs: self.top_logprobs,
            scored: None,
            guide,
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

/// Continues one conversation on an engine of its own; `images` belong to the image parts of `messages`, in order.
///
/// # Errors
/// As [`Chat::new`].
pub fn generate(
    checkpoint: &Arc<Checkpoint>,
    messages: &[Message],
    images: &[Patches],
    sampling: &Sampling,
    max_new_tokens: usize,
) -> Result<Generation, Error> {
    let pictures = images.iter().cloned().map(Picture::new).collect();
    let mut chat = Chat::new(checkpoint, messages, pictures, max_new_tokens)?;
    chat.sampling = sampling.clone();
    let settings = Settings {
        limits: Limits {
            cached_tokens: chat.prompt.ids.len() + max_new_tokens,
            ..Limits::default()
        },
        prefix_bytes: 0,
        image_bytes: 0,
        lanes: 1,
    };
    let mut engine = Engine::new(Arc::clone(checkpoint), &settings);
    let mut completions = engine.run(vec![chat.job(checkpoint)]);
    let completion = completions.remove(0).expect("made as large as the job");
    let text = checkpoint.tokenizer.decode(&completion.token_ids, true);
    Ok(Generation {
        prompt_token_ids: chat.prompt.ids,
        completion,
        text,
    })
}
