//! The product's one question: how does this object relate to this entity? Crop, prompt, six steps (or the label alone, the baseline),
//! typed trace. Takes decoded pixels; knows no HTTP.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use image::RgbImage;

use ::vision::{Grid, PixelBox, Processor, crop};
use proto::{Enforce, Form, Ontology, Part, Template, Trace, Wording};

use crate::calibration::Calibration;
use crate::checkpoint::{Checkpoint, Prompt};
use crate::engine::{Job, Picture, Settings};
use crate::generate::{self, Chat, Completion, FinishReason};
use crate::guide::{Lexicon, Script, SixSteps};
use crate::lanes::Lanes;
use crate::quantize::Format;
use crate::sampling::Sampling;
use crate::template::{ContentPart, Message};
use crate::{Error, Files};

/// Rows that scoring the labels of a question's own ontology may take; the service allows labels of as many characters.
const SCORED_ROWS: usize = 2000;

/// How an [`Extractor`] is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it computes.
    pub device: Device,
    /// The numbers of weights and activations.
    pub format: Format,
    /// The order of the prompt.
    pub template: Template,
    /// What answers consist of; it has to be what the model was trained on.
    pub form: Form,
    /// Longer prompts are refused.
    pub max_prompt_tokens: usize,
    /// Longer answers are cut.
    pub max_new_tokens: usize,
    /// What runs at once, and what is kept for reuse.
    pub engine: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::flex(),
            format: DType::F32.into(),
            template: Template::default(),
            form: Form::default(),
            max_prompt_tokens: 4096,
            max_new_tokens: 1024, // the paper's completion limit
            engine: Settings::default(),
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
    /// `f32`, `f16` or `bf16`, and behind it the bits of weights that are rounded: `f32+int8`.
    pub dtype: String,
    /// The order of its prompt.
    pub template: Template,
}

/// One checkpoint with the six-step protocol over it.
pub struct Extractor {
    checkpoint: Arc<Checkpoint>,
    lexicon: Arc<Lexicon>,
    /// Of the relations that questions without their own are answered with.
    script: RwLock<Arc<Script>>,
    calibration: Calibration,
    options: Options,
    info: Info,
    lanes: Lanes,
}

/// A photo, and what the network sees of it once somebody has asked about it.
pub struct Scene {
    /// The whole photo, upright.
    pub pixels: RgbImage,
    picture: OnceLock<Picture>,
}

impl Scene {
    /// A photo that nobody has asked about.
    pub fn new(pixels: RgbImage) -> Self {
        Self {
            pixels,
            picture: OnceLock::new(),
        }
    }

    /// The photo in patches, cut once for all questions about it; a scene belongs to one processor.
    ///
    /// # Errors
    /// A photo the processor cannot resize.
    pub fn picture(&self, processor: &Processor) -> Result<Picture, Error> {
        if let Some(picture) = self.picture.get() {
            return Ok(picture.clone());
        }
        let picture = Picture::new(processor.patches(&self.pixels)?);
        Ok(self.picture.get_or_init(|| picture).clone())
    }
}

impl fmt::Debug for Scene {
    /// The size for the pixels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scene({}×{})", self.pixels.width(), self.pixels.height())
    }
}

/// One object, one entity.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where the object is.
    pub scene: &'a Scene,
    /// The object in it.
    pub region: PixelBox,
    /// The text beside the photo.
    pub text: &'a str,
    /// The entity, as the text writes it.
    pub entity: &'a str,
    /// How it is to be answered.
    pub terms: &'a Terms,
}

/// How a question is to be answered.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What becomes of a label that the trace's own types exclude.
    pub enforce: Enforce,
    /// Whether every label gets a probability.
    pub scored: bool,
    /// So many further answers are drawn at random, for their labels.
    pub samples: usize,
    /// The relations to choose from; without them those of the extractor.
    pub ontology: Option<Arc<Ontology>>,
}

/// What the model answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The six steps, typed; none of a label alone.
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
    /// The relations it was chosen from.
    pub script: Arc<Script>,
    /// The probability of every label in the order of the ontology, if asked for.
    pub scores: Option<Vec<f64>>,
    /// The labels of the answers drawn at random.
    pub samples: Vec<String>,
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
    /// The share of the prompt that was not computed again.
    pub cached_tokens: usize,
}

/// Where the time of an answer went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Crop, resize, patches.
    pub preprocess: Duration,
    /// From the engine's queue to the last token.
    pub engine: generate::Timings,
}

/// A question made ready for the network.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The prompt, image placeholders included.
    pub prompt: Prompt,
    /// The photo and the crop.
    pub pictures: [Picture; 2],
    /// How long that took.
    pub took: Duration,
    /// The relations to choose from.
    pub script: Arc<Script>,
    /// What becomes of a label that the trace's own types exclude.
    pub enforce: Enforce,
    /// Whether every label gets a probability.
    pub scored: bool,
    /// So many further answers are drawn at random.
    pub samples: usize,
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
        let checkpoint = Checkpoint::open(files, options.format, &options.device)?;
        let checkpoint = checkpoint.joined().for_answering();
        let calibration = Calibration::open(files)?;
        Ok(Self::new(id, checkpoint, calibration, ontology, options))
    }

    /// Puts the protocol over an open checkpoint.
    pub fn new(
        id: &str,
        checkpoint: Checkpoint,
        calibration: Calibration,
        ontology: Ontology,
        options: Options,
    ) -> Self {
        let lexicon = Arc::new(Lexicon::new(
            &checkpoint.tokenizer,
            checkpoint.config.text.vocab_size,
            &checkpoint.generation.eos_token_id,
        ));
        let script = Script::new(
            &checkpoint.tokenizer,
            Arc::clone(&lexicon),
            Arc::new(ontology),
            options.form,
        );
        let info = Info {
            id: id.to_owned(),
            hash: checkpoint.hash.clone(),
            dtype: options.format.to_string(),
            template: options.template,
        };
        let checkpoint = Arc::new(checkpoint);
        let longest = options.max_prompt_tokens + options.max_new_tokens + SCORED_ROWS;
        Self {
            lanes: Lanes::new(Arc::clone(&checkpoint), options.engine, longest),
            checkpoint,
            lexicon,
            script: RwLock::new(Arc::new(script)),
            calibration,
            options,
            info,
        }
    }

    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The relations that questions without their own are answered with.
    pub fn ontology(&self) -> Arc<Ontology> {
        Arc::clone(self.script().ontology())
    }

    /// Answers with other relations from here on; questions that are prepared keep theirs.
    pub fn set_ontology(&self, ontology: Ontology) {
        let script = self.compile(Arc::new(ontology));
        *self.script.write().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// The same extractor with other probabilities.
    #[must_use]
    pub fn with_calibration(mut self, calibration: Calibration) -> Self {
        self.calibration = calibration;
        self
    }

    /// The same under their hash, ready to be written.
    pub fn script(&self) -> Arc<Script> {
        Arc::clone(&self.script.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn compile(&self, ontology: Arc<Ontology>) -> Arc<Script> {
        let lexicon = Arc::clone(&self.lexicon);
        let script = Script::new(
            &self.checkpoint.tokenizer,
            lexicon,
            ontology,
            self.options.form,
        );
        Arc::new(script)
    }

    /// How it turns pictures into patches.
    pub fn processor(&self) -> &Processor {
        &self.checkpoint.processor
    }

    /// The checkpoint below the protocol.
    pub fn checkpoint(&self) -> &Arc<Checkpoint> {
        &self.checkpoint
    }

    /// A conversation made ready for the engine, `pictures` in the order of its image parts; refused when it is too long.
    ///
    /// # Errors
    /// As [`Chat::new`], and a prompt above the limit.
    pub fn chat(
        &self,
        messages: &[Message],
        pictures: Vec<Picture>,
        max_new_tokens: usize,
    ) -> Result<Chat, Error> {
        let chat = Chat::new(&self.checkpoint, messages, pictures, max_new_tokens)?;
        self.check_length(&chat.prompt)?;
        Ok(chat)
    }

    fn check_length(&self, prompt: &Prompt) -> Result<(), Error> {
        let (got, limit) = (prompt.ids.len(), self.options.max_prompt_tokens);
        if got > limit {
            return Err(Error::PromptTooLong { got, limit });
        }
        Ok(())
    }

    /// The engines that may work side by side.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Answers `questions` together; each succeeds or fails alone. Blocks and keeps the processor busy.
    pub fn extract(&self, questions: &[Question<'_>]) -> Vec<Result<Answer, Error>> {
        let prepared: Vec<Result<Prepared, Error>> =
            questions.iter().map(|it| self.prepare(it)).collect();
        let jobs = prepared.iter().flatten().flat_map(|it| self.jobs(it));
        let mut completions = self.lanes.run(jobs.collect()).into_iter();
        prepared
            .into_iter()
            .map(|prepared| {
                let prepared = prepared?;
                let own = completions.by_ref().take(1 + prepared.samples);
                self.answer(&prepared, &own.collect::<Result<Vec<_>, _>>()?)
            })
            .collect()
    }

    /// Crops, cuts patches and writes the prompt. Needs no engine, so it can run beside one.
    ///
    /// # Errors
    /// A region the processor cannot resize, control tokens in the texts, a prompt above the limit.
    pub fn prepare(&self, question: &Question<'_>) -> Result<Prepared, Error> {
        let start = Instant::now();
        let processor = &self.checkpoint.processor;
        let photo = question.scene.picture(processor)?;
        let object = processor.patches(&crop(&question.scene.pixels, &question.region))?;
        let pictures = [photo, Picture::new(object)];
        let terms = question.terms;
        let script = match &terms.ontology {
            Some(ontology) => self.compile(Arc::clone(ontology)),
            None => self.script(),
        };
        let ids = question_ids(
            &self.checkpoint,
            Wording {
                template: self.options.template,
                form: script.form(),
            },
            script.ontology(),
            question.text,
            question.entity,
        )?;
        let grids = pictures.each_ref().map(|picture| picture.patches.grid);
        let prompt = self.checkpoint.prompt(&ids, &grids)?;
        self.check_length(&prompt)?;
        Ok(Prepared {
            prompt,
            pictures,
            took: start.elapsed(),
            script,
            enforce: terms.enforce,
            scored: terms.scored,
            samples: terms.samples,
        })
    }

    /// What an engine has to do for a prepared question: the best answer, then those drawn at random from the model's own
    /// distribution, each with a seed of its own.
    pub fn jobs(&self, prepared: &Prepared) -> Vec<Job> {
        let script = &prepared.script;
        let job = |sample: usize| Job {
            prompt: prepared.prompt.clone(),
            pictures: prepared.pictures.to_vec(),
            sampling: Sampling {
                temperature: if sample == 0 { 0.0 } else { 1.0 },
                seed: sample as u64,
                ..Sampling::default()
            },
            max_new_tokens: self.options.max_new_tokens,
            top_logprobs: 0,
            scored: (prepared.scored && sample == 0).then(|| Arc::clone(script.choices())),
            guide: Box::new(SixSteps::new(
                Arc::clone(script),
                prepared.enforce,
                self.options.max_new_tokens,
            )),
        };
        (0..=prepared.samples).map(job).collect()
    }

    /// The typed answer that the completions of a question's jobs hold.
    ///
    /// # Errors
    /// If one does not follow the protocol, which the grammar excludes.
    pub fn answer(&self, prepared: &Prepared, completions: &[Completion]) -> Result<Answer, Error> {
        let read = |completion: &Completion| -> Result<(Trace, String), Error> {
            let raw = self
                .checkpoint
                .tokenizer
                .decode(&completion.token_ids, false);
            let script = &prepared.script;
            Ok((script.form().parse(script.ontology(), &raw)?, raw))
        };
        let (completion, samples) = completions
            .split_first()
            .expect("a question is a job at least");
        let (trace, raw) = read(completion)?;
        let label = |sample| Ok(read(sample)?.0.label);
        let samples = samples.iter().map(label).collect::<Result<_, Error>>()?;
        let [photo, crop] = &prepared.pictures;
        Ok(Answer {
            trace,
            raw,
            image_grid: photo.patches.grid,
            crop_grid: crop.patches.grid,
            usage: Usage {
                prompt_tokens: completion.prompt_tokens,
                image_tokens: prepared.prompt.image_tokens,
                completion_tokens: completion.token_ids.len(),
                forced_tokens: completion.forced,
                cached_tokens: completion.reused,
            },
            timings: Timings {
                preprocess: prepared.took,
                engine: completion.timings,
            },
            finish_reason: completion.finish_reason,
            script: Arc::clone(&prepared.script),
            scores: completion
                .scores
                .as_ref()
                .map(|scores| self.calibration.probabilities(scores)),
            samples,
        })
    }
}

/// The ids of the task's prompt, one placeholder for the photo and one for the crop. Training and answering share it.
///
/// # Errors
/// Control tokens in `text`, `entity` or the descriptions of `ontology` are refused.
pub fn question_ids(
    checkpoint: &Checkpoint,
    wording: impl Into<Wording>,
    ontology: &Ontology,
    text: &str,
    entity: &str,
) -> Result<Vec<u32>, Error> {
    checkpoint.tokenizer.refuse_reserved(text, "text")?;
    checkpoint.tokenizer.refuse_reserved(entity, "entity")?;
    for kind in &ontology.types {
        let tokenizer = &checkpoint.tokenizer;
        tokenizer.refuse_reserved(&kind.description, "ontology")?;
    }
    let parts = proto::prompt(wording, ontology, text, entity)
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => ContentPart::Text { text },
            Part::Image => ContentPart::Image,
        });
    checkpoint
        .tokenizer
        .chat(&[Message::user(parts.collect())], "text")
}
