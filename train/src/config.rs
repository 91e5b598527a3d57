//! The TOML file of a training run, as typed and checked. Paths are relative to where the command is run.

use std::path::{Path, PathBuf};

use model::LoraConfig;
use model::lora::TARGETS;
use proto::{Form, Ontology, Template};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::optim::{AdamWConfig, Learning};
use crate::pass::How;
use crate::scratch::Scratch;
use crate::state::RunConfig;
use crate::watch::Evaluation;

/// Everything that decides what a run computes. Equal files give equal losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftConfig {
    /// Where checkpoints and metrics go.
    pub run_dir: PathBuf,
    /// What is trained.
    pub model: ModelConfig,
    /// What it is trained on.
    pub data: DataConfig,
    /// How it is trained.
    pub training: TrainingConfig,
    /// How it is evaluated meanwhile; not at all without.
    pub evaluation: Option<Evaluation>,
    /// Adapters that learn in place of the network (`[lora]`); without it all that is not frozen does.
    pub lora: Option<LoraConfig>,
}

/// Exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// A checkpoint directory to go on from.
    pub from: Option<PathBuf>,
    /// Sizes of a network that starts from random weights.
    pub scratch: Option<Scratch>,
}

/// Where the records are and which of them are used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Records with traces.
    pub train: PathBuf,
    /// Records that `[evaluation]` asks.
    pub dev: Option<PathBuf>,
    /// The folder of their images.
    pub images: PathBuf,
    /// The relations; MORE's 21 without.
    pub ontology: Option<PathBuf>,
    /// The share of every relation's records that is used (the paper's cold start: 0.25).
    #[serde(default = "one")]
    pub fraction: f64,
}

/// The recipe; names are those of Hugging Face's trainer where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// How often every record is seen.
    pub num_train_epochs: f64,
    /// Records a forward pass counts as one batch.
    pub train_batch_size: usize,
    /// Batches an optimizer step adds up.
    #[serde(default = "one_batch")]
    pub gradient_accumulation_steps: usize,
    /// Threads that share a batch, each with a pass of its own. Part of the recipe: it orders the sums.
    #[serde(default = "one_batch")]
    pub workers: usize,
    /// Whether passes compute in bf16. Weights, gradients and moments stay f32, and so do checkpoints.
    #[serde(default)]
    pub bf16: bool,
    /// Whether passes keep only what enters a layer and compute the rest again on the way back: less memory, more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// The highest rate, after warm-up.
    pub learning_rate: f64,
    /// The share of steps in which the rate grows from 0.
    pub warmup_ratio: f64,
    /// Gradients are scaled down to this norm.
    pub max_grad_norm: f64,
    /// The optimizer's constants.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// Parameters whose key starts so keep their values (the paper: `["visual"]`).
    #[serde(default)]
    pub freeze: Vec<String>,
    /// What is learned: the record's trace, or its label alone (the paper's baseline; records then need no trace).
    #[serde(default)]
    pub target: Form,
    /// Orders of the prompt, drawn at random for every record.
    pub templates: Vec<Template>,
    /// Whether records of one photo come together: what their prompts share, the photo with it, is then computed once.
    #[serde(default)]
    pub group_by_photo: bool,
    /// Phrases that count more than others; none without.
    pub emphasis: Option<Emphasis>,
    /// Records whose traces are cut; none without.
    pub shorten: Option<Shorten>,
    /// Starts every random stream of the run.
    pub seed: u64,
    /// Steps between checkpoints.
    pub save_steps: usize,
    /// Checkpoints kept.
    #[serde(default = "two")]
    pub save_total_limit: usize,
    /// Steps between metric lines.
    #[serde(default = "one_batch")]
    pub logging_steps: usize,
    /// Stops here, whatever the epochs say; the schedule is not shortened.
    pub max_steps: Option<usize>,
}

/// Phrases that decide an answer and are few: in a trace of 250 tokens the verdict of step 3 is one bit, and its gradient drowns
/// in that of the free choice of words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emphasis {
    /// Where a trace says one of these, spaces included, every token of it counts more.
    pub phrases: Vec<String>,
    /// As so many tokens.
    pub weight: f32,
}

/// Traces cut behind a step: what a model still has to learn may stand in the first steps, and the others cost time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shorten {
    /// Steps that are learned, 1 to 5; the heading of the next is the last that is.
    pub steps: usize,
    /// The share of records this is done to, evenly spread.
    pub share: f64,
}

impl Shorten {
    /// Whether the run's `index`-th example is cut.
    pub fn takes(&self, index: usize) -> bool {
        let before = |count: usize| (count as f64 * self.share) as usize;
        before(index + 1) > before(index)
    }
}

fn one() -> f64 {
    1.0
}

fn one_batch() -> usize {
    1
}

fn two() -> usize {
    2
}

impl TrainingConfig {
    /// How a pass is computed.
    pub(crate) fn how(&self) -> How {
        How {
            bf16: self.bf16,
            gradient_checkpointing: self.gradient_checkpointing,
        }
    }
}

impl SftConfig {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// What cannot be meant is named.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let config: Self = read_toml(path)?;
        let training = &config.training;
        Checks::of(path)
            .hold(
                config.model.from.is_some() != config.model.scratch.is_some(),
                "model needs either `from` or `scratch`",
            )?
            .hold(
                config.data.fraction > 0.0 && config.data.fraction <= 1.0,
                "data.fraction must be above 0 and at most 1",
            )?
            .hold(
                training.num_train_epochs > 0.0,
                "training.num_train_epochs must be above 0",
            )?
            .hold(
                training.train_batch_size > 0,
                "training.train_batch_size must be above 0",
            )?
            .hold(
                training.gradient_accumulation_steps > 0,
                "training.gradient_accumulation_steps must be above 0",
            )?
            .hold(training.workers > 0, "training.workers must be above 0")?
            .hold(
                training.shorten.is_none_or(|it| (1..6).contains(&it.steps)),
                "training.shorten.steps must be from 1 to 5",
            )?
            .hold(
                training
                    .shorten
                    .is_none_or(|it| (0.0..=1.0).contains(&it.share)),
                "training.shorten.share must be from 0 to 1",
            )?
            .hold(
                training.shorten.is_none() || training.target == Form::Trace,
                "training.shorten cuts traces, and training.target is \"label\"",
            )?
            .hold(
                training.learning_rate > 0.0,
                "training.learning_rate must be above 0",
            )?
            .hold(
                (0.0..1.0).contains(&training.warmup_ratio),
                "training.warmup_ratio must be at least 0 and below 1",
            )?
            .hold(
                training.max_grad_norm > 0.0,
                "training.max_grad_norm must be above 0",
            )?
            .hold(
                !training.templates.is_empty(),
                "training.templates must name at least one order",
            )?
            .hold(
                training.save_steps > 0 && training.logging_steps > 0,
                "training.save_steps and logging_steps must be above 0",
            )?
            .hold(
                training.save_total_limit > 0,
                "training.save_total_limit must be above 0",
            )?
            .hold(
                training.max_steps != Some(0),
                "training.max_steps must be above 0",
            )?
            .adamw(&training.adamw)?
            .evaluation(config.evaluation.as_ref(), config.data.dev.is_some())?
            .lora(config.lora.as_ref(), training.gradient_checkpointing)?;
        Ok(config)
    }

    /// The relations.
    ///
    /// # Errors
    /// A file that cannot be read or is no ontology.
    pub fn ontology(&self) -> Result<Ontology, Error> {
        ontology_or_more(self.data.ontology.as_deref())
    }

    /// What of the network learns.
    pub fn learning(&self) -> Learning<'_> {
        Learning {
            lora: self.lora.as_ref(),
            freeze: &self.training.freeze,
        }
    }

    /// Records an optimizer step sees.
    pub fn records_per_step(&self) -> usize {
        self.training.train_batch_size * self.training.gradient_accumulation_steps
    }

    /// Optimizer steps of the whole schedule over `records` records.
    pub fn schedule_steps(&self, records: usize) -> usize {
        let seen = self.training.num_train_epochs * records as f64;
        (seen / self.records_per_step() as f64).ceil() as usize
    }

    /// The learning rate of step `step` (from 0) of `steps`: linear warm-up, then a cosine to 0.
    pub fn learning_rate(&self, step: usize, steps: usize) -> f64 {
        let training = &self.training;
        learning_rate(training.learning_rate, training.warmup_ratio, step, steps)
    }
}

impl RunConfig for SftConfig {
    fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    fn adamw(&self) -> AdamWConfig {
        self.training.adamw
    }

    fn save_total_limit(&self) -> usize {
        self.training.save_total_limit
    }

    fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    fn seed(&self) -> u64 {
        self.training.seed
    }

    fn data(&self) -> Vec<&Path> {
        let data = &self.data;
        let named = [Some(&data.train), data.dev.as_ref(), data.ontology.as_ref()];
        named.into_iter().flatten().map(PathBuf::as_path).collect()
    }

    fn essence(&self) -> Self {
        let mut essence = self.clone();
        essence.run_dir = PathBuf::new();
        essence.training.max_steps = None;
        essence.evaluation = essence.evaluation.map(Evaluation::essence);
        essence
    }
}

/// The rate of step `step` (from 0) of `steps`: linear up to `peak` over `warmup_ratio` of them, then a cosine to 0.
pub(crate) fn learning_rate(peak: f64, warmup_ratio: f64, step: usize, steps: usize) -> f64 {
    let warmup = (warmup_ratio * steps as f64).ceil();
    let (step, steps) = (step as f64 + 1.0, steps as f64);
    if step <= warmup {
        return peak * step / warmup;
    }
    let done = (step - warmup) / (steps - warmup).max(1.0);
    peak * f64::midpoint(1.0, (std::f64::consts::PI * done).cos())
}

/// What a TOML file says.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let fault = Error::config(path);
    let read = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let values: toml::Value = toml::from_str(&text).expect("just read");
    match no_number("", &values) {
        Some(key) => Err(fault(format!("{key} must be a finite number"))),
        None => Ok(read),
    }
}

/// The first key at or below `key` whose number is infinite or none.
fn no_number(key: &str, value: &toml::Value) -> Option<String> {
    let below = |name: &str, value| {
        let dot = if key.is_empty() { "" } else { "." };
        no_number(&format!("{key}{dot}{name}"), value)
    };
    match value {
        toml::Value::Float(number) if !number.is_finite() => Some(key.to_owned()),
        toml::Value::Table(table) => table.iter().find_map(|(name, value)| below(name, value)),
        toml::Value::Array(values) => {
            let mut numbered = values.iter().enumerate();
            numbered.find_map(|(place, value)| below(&place.to_string(), value))
        }
        _ => None,
    }
}

/// The relations of a file.
///
/// # Errors
/// A file that cannot be read or is no ontology.
pub fn read_ontology(path: &Path) -> Result<Ontology, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    Ontology::from_json(&text).map_err(|error| Error::Config {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// The relations of a file, MORE's 21 without one.
pub(crate) fn ontology_or_more(path: Option<&Path>) -> Result<Ontology, Error> {
    path.map_or_else(|| Ok(Ontology::more().clone()), read_ontology)
}

/// What a configuration has to keep to.
#[derive(Clone, Copy)]
pub(crate) struct Checks<'a>(&'a Path);

impl<'a> Checks<'a> {
    /// Of the file at `path`.
    pub(crate) fn of(path: &'a Path) -> Self {
        Self(path)
    }

    /// Goes on if evaluations can be made so, from records of which `dev` tells whether they are named.
    pub(crate) fn evaluation(
        self,
        evaluation: Option<&Evaluation>,
        dev: bool,
    ) -> Result<Self, Error> {
        let Some(evaluation) = evaluation else {
            return Ok(self);
        };
        self.hold(dev, "[evaluation] needs data.dev")?
            .hold(
                evaluation.eval_steps > 0 && evaluation.eval_batch_size > 0,
                "evaluation.eval_steps and eval_batch_size must be above 0",
            )?
            .hold(
                evaluation.eval_records != Some(0),
                "evaluation.eval_records must be above 0",
            )?
            .hold(
                evaluation.early_stopping_patience != Some(0),
                "evaluation.early_stopping_patience must be above 0",
            )
    }

    /// Goes on if the optimizer can divide by what it makes of these.
    pub(crate) fn adamw(self, adamw: &AdamWConfig) -> Result<Self, Error> {
        let share = 0.0..1.0;
        self.hold(
            share.contains(&adamw.beta_1) && share.contains(&adamw.beta_2),
            "training.adamw.beta_1 and beta_2 must be at least 0 and below 1",
        )?
        .hold(
            adamw.epsilon > 0.0,
            "training.adamw.epsilon must be above 0",
        )?
        .hold(
            adamw.weight_decay >= 0.0,
            "training.adamw.weight_decay must be at least 0",
        )
    }

    /// Goes on if adapters can be made so, in passes that compute layers `again` or do not.
    pub(crate) fn lora(self, lora: Option<&LoraConfig>, again: bool) -> Result<Self, Error> {
        let Some(lora) = lora else {
            return Ok(self);
        };
        let targets = &lora.target_modules;
        let known = targets.iter().all(|it| TARGETS.contains(&it.as_str()));
        self.hold(lora.r > 0, "lora.r must be above 0")?
            .hold(lora.lora_alpha > 0.0, "lora.lora_alpha must be above 0")?
            .hold(
                (0.0..1.0).contains(&lora.lora_dropout),
                "lora.lora_dropout must be at least 0 and below 1",
            )?
            .hold(
                lora.lora_dropout == 0.0 || !again,
                "training.gradient_checkpointing needs lora.lora_dropout = 0: a layer computed again would drop other values",
            )?
            .hold(
                known && !targets.is_empty(),
                &format!(
                    "lora.target_modules must name some of {}",
                    TARGETS.join(", ")
                ),
            )
    }

    /// Goes on if `holds`, else says what does not.
    pub(crate) fn hold(self, holds: bool, reason: &str) -> Result<Self, Error> {
        if holds {
            return Ok(self);
        }
        Err(Error::Config {
            path: self.0.to_owned(),
            reason: reason.to_owned(),
        })
    }
}
