//! What is asked of an engine when its speed or its numbers are wanted: prompts of ids, answers without a grammar. An id is that of a
//! single byte, which every byte-level vocabulary has among its first 256.

use model::Checkpoint;
use model::checkpoint::Prompt;
use model::engine::{Job, Picture};
use model::generate::{Guide, Next};
use model::sampling::Sampling;
use vision::Patches;

/// `count` ids, the same for the same `seed`; `peer_transformers.py` computes the same.
pub fn ids(seed: usize, count: usize) -> Vec<u32> {
    (0..count)
        .map(|at| ((at * 31 + seed * 101 + at * at % 97) % 256) as u32)
        .collect()
}

/// A job that answers `prompt` with at most `longest` tokens of what `guide` lets through.
pub fn job(
    prompt: Prompt,
    pictures: &[Picture],
    longest: usize,
    guide: impl Guide + Send + 'static,
) -> Job {
    Job {
        prompt,
        pictures: pictures.to_vec(),
        sampling: Sampling::default(),
        max_new_tokens: longest,
        top_logprobs: 0,
        scored: None,
        guide: Box::new(guide),
    }
}

/// A prompt of ids alone.
///
/// # Panics
/// If they hold the placeholder of a picture.
pub fn plain(checkpoint: &Checkpoint, ids: &[u32]) -> Prompt {
    let prompt = checkpoint.prompt(ids, &[]);
    prompt.expect("bytes are no placeholders")
}

/// The ids around a picture of a prompt, its placeholder once.
pub fn frame(checkpoint: &Checkpoint) -> [u32; 3] {
    let end = checkpoint.tokenizer.id("<|vision_end|>");
    let config = &checkpoint.config;
    let start = config.vision_start_token_id;
    [start, config.image_token_id, end.unwrap_or(start)]
}

/// A picture of `width` by `height` that no compression knows, the same for the same `seed`; `peer_transformers.py` draws the same.
pub fn noise(width: u32, height: u32, seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let value = |channel: u32| {
            let mixed = x * 73 + y * 151 + x * y % 89 * 7 + channel * 59 + seed * 37;
            (mixed % 256) as u8
        };
        image::Rgb([0, 1, 2].map(value))
    })
}

/// What the network sees of such a picture.
///
/// # Errors
/// A size that the processor refuses.
pub fn picture(
    checkpoint: &Checkpoint,
    (width, height): (u32, u32),
    seed: u32,
) -> Result<Patches, vision::Error> {
    checkpoint.processor.patches(&noise(width, height, seed))
}

/// Goes on and on: no token ends it, so it is as long as the job allows.
pub struct Endless {
    /// The tokens that would end it.
    ends: Vec<u32>,
}

impl Endless {
    /// Of answers of `checkpoint`.
    pub fn new(checkpoint: &Checkpoint) -> Self {
        let ends = checkpoint.generation.eos_token_id.clone();
        Self { ends }
    }
}

impl Guide for Endless {
    fn opening(&mut self) -> Vec<u32> {
        vec![]
    }

    fn allows(&self, id: u32) -> bool {
        !self.ends.contains(&id)
    }

    fn accept(&mut self, _id: u32) -> Next {
        Next::Continue(vec![])
    }
}

/// Chooses given tokens one after another, as if the model had: each goes through a step of its own.
pub struct Recited {
    ids: Vec<u32>,
    said: usize,
}

impl Recited {
    /// `ids`, then no more.
    pub fn new(ids: Vec<u32>) -> Self {
        Self { ids, said: 0 }
    }
}

impl Guide for Recited {
    fn opening(&mut self) -> Vec<u32> {
        vec![]
    }

    fn allows(&self, id: u32) -> bool {
        self.ids.get(self.said) == Some(&id)
    }

    fn accept(&mut self, _id: u32) -> Next {
        self.said += 1;
        if self.said == self.ids.len() {
            Next::Finished(vec![])
        } else {
            Next::Continue(vec![])
        }
    }
}
