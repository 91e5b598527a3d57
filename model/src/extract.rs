//! The product's one question: how does this object relate to this entity? Crop, prompt, six steps, typed trace. Takes decoded
//! pixels; knows no HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use image::RgbImage;

use ::vision::{Grid, Patches, PixelBox, Processor, crop};
use proto::{Ontology, Part, Template, Trace};

use crate::checkpoint::Checkpoint;
use crate::generate::{FinishReason, Request, run};
use crate::guide::{Script, SixSteps};
use crate::sampling::Sampling;
use crate::template::{ContentPart, Message};
use crate::{Error, Files};

/// How an [`Extractor`] is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it computes.
    pub device: Device,
    /// The type of weights and activations.
    pub dtype: DType,
    /// The order of the prompt.
    pub template: Template,
    /// Longer prompts are refused.
    pub max_prompt_tokens: usize,
    /// Longer answers are cut.
    pub max_new_tokens: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::flex(),
            dtype: DType::F32,
            template: Template::default(),
            max_prompt_tokens: 4096,
            max_new_tokens: 1024, // the paper's completion limit
        }
    }
}

/// What a loaded model says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub id: String,
    /// Digest of its weights.
    pub hash: String,
    /// `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// The order of its prompt.
    pub template: Template,
}

/// One checkpoint with the six-step protocol over it.
#[derive(Debug)]
pub struct Extractor {
    checkpoint: Checkpoint,
    ontology: Ontology,
    script: Arc<Script>,
    options: Options,
    info: Info,
}

/// One object, one entity.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The whole photo, upright.
    pub image: &'a RgbImage,
    /// The object in it.
    pub region: PixelBox,
    /// The text beside the photo.
    pub text: &'a str,
    /// The entity, as the text writes it.
    pub entity: &'a str,
}

/// What the model answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The six steps, typed.
    pub trace: Trace,
    /// The same as generated.
    pub raw: String,
    /// Patches of the photo.
    pub image_grid: Grid,
    /// Patches of the crop.
    pub crop_grid: Grid,
    /// Token counts.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
    /// Why the answer ended.
    pub finish_reason: FinishReason,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The whole prompt.
    pub prompt_tokens: usize,
    /// The images' share of it.
    pub image_tokens: usize,
    /// The answer, forced tokens included.
    pub completion_tokens: usize,
    /// The share the grammar forced.
    pub forced_tokens: usize,
}

/// Time spent on the batch an answer was part of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Crop, resize, patches.
    pub preprocess: Duration,
    /// The vision tower.
    pub vision: Duration,
    /// Reading the prompt.
    pub prefill: Duration,
    /// Writing the answer.
    pub decode: Duration,
}

/// A question made ready for the network.
struct Prepared {
    prompt: crate::checkpoint::Prompt,
    patches: [Patches; 2],
}

impl Extractor {
    /// Opens a checkpoint for the relations of `ontology`; `id` is the name it will answer under.
    ///
    /// # Errors
    /// See [`Checkpoint::open`].
    pub fn open(
        id: &str,
        files: &Files,
        ontology: Ontology,
        options: Options,
    ) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open(files, options.dtype, &options.device)?;
        Ok(Self::new(id, checkpoint, ontology, options))
    }

    /// Puts the protocol over an open checkpoint.
    pub fn new(id: &str, checkpoint: Checkpoint, ontology: Ontology, options: Options) -> Self {
        let vocab = checkpoint.config.text.vocab_size;
        let script = Script::new(
            &checkpoint.tokenizer,
            &ontology,
            vocab,
            &checkpoint.generation.eos_token_id,
        );
        let info = Info {
            id: id.to_owned(),
            hash: checkpoint.hash.clone(),
            dtype: format!("{:?}", options.dtype).to_lowercase(),
            template: options.template,
        };
        Self {
            checkpoint,
            ontology,
            script: Arc::new(script),
            options,
            info,
        }
    }

    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The relations it answers with.
    pub fn ontology(&self) -> &Ontology {
        &self.ontology
    }

    /// How it turns pictures into patches.
    pub fn processor(&self) -> &Processor {
        &self.checkpoint.processor
    }

    /// The checkpoint below the protocol.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Answers `questions` in one batch; each succeeds or fails alone. Blocks and keeps the processor busy.
    pub fn extract(&self, questions: &[Question<'_>]) -> Vec<Result<Answer, Error>> {
        let start = Instant::now();
        let mut timings = Timings::default();
        let prepared: Vec<Result<Prepared, Error>> = questions
            .iter()
            .map(|question| self.prepare(question))
            .collect();
        timings.preprocess = start.elapsed();
        let good: Vec<&Prepared> = prepared.iter().flatten().collect();
        if good.is_empty() {
            return prepared
                .into_iter()
                .map(|one| Err(one.err().expect("none is good")))
                .collect();
        }
        let start = Instant::now();
        let images: Vec<&Patches> = good.iter().flat_map(|one| &one.patches).collect();
        let rows = self.checkpoint.network.encode_images(&images);
        timings.vision = start.elapsed();
        let mut first = 0;
        let requests = good
            .iter()
            .map(|one| {
                let count = one.prompt.image_tokens;
                first += count;
                Request {
                    prompt: one.prompt.clone(),
                    image_rows: Some(rows.clone().narrow(0, first - count, count)),
                    sampling: Sampling::default(),
                    max_new_tokens: self.options.max_new_tokens,
                    guide: SixSteps::new(Arc::clone(&self.script), self.options.max_new_tokens),
                }
            })
            .collect();
        let (completions, clock) = run(&self.checkpoint, requests);
        (timings.prefill, timings.decode) = (clock.prefill, clock.decode);
        let mut completions = completions.into_iter();
        prepared
            .into_iter()
            .map(|one| {
                let one = one?;
                let completion = completions.next().expect("one completion a good question");
                let raw = self
                    .checkpoint
                    .tokenizer
                    .decode(&completion.token_ids, false);
                Ok(Answer {
                    trace: proto::parse(&self.ontology, &raw)?,
                    raw,
                    image_grid: one.patches[0].grid,
                    crop_grid: one.patches[1].grid,
                    usage: Usage {
                        prompt_tokens: one.prompt.ids.len(),
                        image_tokens: one.prompt.image_tokens,
                        completion_tokens: completion.token_ids.len(),
                        forced_tokens: completion.forced,
                    },
                    timings,
                    finish_reason: completion.finish_reason,
                })
            })
            .collect()
    }

    /// Crops, cuts patches and writes the prompt.
    fn prepare(&self, question: &Question<'_>) -> Result<Prepared, Error> {
        let processor = &self.checkpoint.processor;
        let patches = [
            processor.patches(question.image)?,
            processor.patches(&crop(question.image, &question.region))?,
        ];
        let ids = question_ids(
            &self.checkpoint,
            self.options.template,
            &self.ontology,
            question.text,
            question.entity,
        )?;
        let prompt = self.checkpoint.prompt(&ids, &Checkpoint::grids(&patches))?;
        if prompt.ids.len() > self.options.max_prompt_tokens {
            return Err(Error::PromptTooLong {
                got: prompt.ids.len(),
                limit: self.options.max_prompt_tokens,
            });
        }
        Ok(Prepared { prompt, patches })
    }
}

/// The ids of the task's prompt, one placeholder for the photo and one for the crop. Training and answering share it.
///
/// # Errors
/// Control tokens in `text` or `entity` are refused.
pub fn question_ids(
    checkpoint: &Checkpoint,
    template: Template,
    ontology: &Ontology,
    text: &str,
    entity: &str,
) -> Result<Vec<u32>, Error> {
    checkpoint.tokenizer.refuse_reserved(text, "text")?;
    checkpoint.tokenizer.refuse_reserved(entity, "entity")?;
    let parts = proto::prompt(template, ontology, text, entity)
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => ContentPart::Text { text },
            Part::Image => ContentPart::Image,
        });
    checkpoint
        .tokenizer
        .chat(&[Message::user(parts.collect())], "text")
}
