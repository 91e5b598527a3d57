//! The TOML file of a GRPO run, as typed and checked; names are those of TRL's `GRPOConfig` where it has them. Paths are relative to
//! where the command is run.

use std::path::{Path, PathBuf};

use model::LoraConfig;
use proto::{Ontology, Template};
use serde::{Deserialize, Serialize};

use super::loss::{LossType, Terms};
use super::mix::{Mixing, Strategy};
use crate::Error;
use crate::config::{Checks, ontology_or_more, read_toml};
use crate::optim::{AdamWConfig, Learning};
use crate::pass::How;
use crate::state::RunConfig;
use crate::watch::{Evaluation, Metric};

/// Everything that decides what a run computes. Equal files give equal losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoConfig {
    /// Where checkpoints, metrics and completions go.
    pub run_dir: PathBuf,
    /// The Stage-1 checkpoint: where training starts, and the reference it is kept near.
    pub model: PathBuf,
    /// What is asked.
    pub data: Questions,
    /// In which mixture.
    pub mixing: Mixing,
    /// How answers are drawn and judged.
    pub grpo: Grpo,
    /// How the network is changed.
    pub training: Training,
    /// How it is evaluated meanwhile; not at all without.
    pub evaluation: Option<Evaluation>,
    /// Adapters that learn in place of the network; without it all that is not frozen does.
    pub lora: Option<LoraConfig>,
}

/// Where the questions are. Traces in them are not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// What the Stage-1 model answers wrong.
    pub hard: PathBuf,
    /// What it answers right; not needed for `hard-only`.
    pub easy: Option<PathBuf>,
    /// Records that `[evaluation]` asks.
    pub dev: Option<PathBuf>,
    /// The folder of their images.
    pub images: PathBuf,
    /// The relations; MORE's 21 without.
    pub ontology: Option<PathBuf>,
}

/// How answers are drawn and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grpo {
    /// Answers to a question: a group. (The paper does not say; 8 is TRL's default.)
    pub num_generations: usize,
    /// How freely they are drawn; the same temperature divides the scores when they are learned from.
    pub temperature: f64,
    /// They are cut at so many tokens.
    pub max_completion_length: usize,
    /// Whether the grammar leads them. The paper's are free: that is what its format reward is for.
    pub constrained: bool,
    /// The rules that judge them, by name; their sum is the reward.
    pub rewards: Vec<String>,
    /// What each rule counts; 1 without.
    pub reward_weights: Option<Vec<f64>>,
    /// More characters than this are long.
    pub long_characters: usize,
    /// Added to the standard deviation of a group.
    pub std_epsilon: f64,
    /// How far the ratio of probabilities may move from 1.
    pub epsilon: f64,
    /// What the distance from the Stage-1 model counts; 0 does without it.
    pub beta: f64,
    /// Updates with the same answers: the paper's μ.
    pub num_iterations: usize,
    /// How tokens are averaged.
    pub loss_type: LossType,
    /// Whether cut answers teach nothing. The paper's do.
    pub mask_truncated_completions: bool,
}

impl Default for Grpo {
    /// The paper's values; where it is silent, TRL's.
    fn default() -> Self {
        Self {
            num_generations: 8,
            temperature: 0.8,
            max_completion_length: 1024,
            constrained: false,
            rewards: ["format", "length", "answer"].map(str::to_owned).into(),
            reward_weights: None,
            long_characters: 1024,
            std_epsilon: 1e-4,
            epsilon: 0.2,
            beta: 0.001,
            num_iterations: 2,
            loss_type: LossType::Grpo,
            mask_truncated_completions: false,
        }
    }
}

/// The recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Epochs of the mixture.
    pub num_train_epochs: usize,
    /// Questions whose answers are drawn together and make one update.
    pub train_batch_size: usize,
    /// Threads that share an update. Part of the recipe: it orders the sums.
    #[serde(default = "one")]
    pub workers: usize,
    /// Whether passes compute in bf16, and answers are drawn in it. Weights, gradients and moments stay f32, and so do checkpoints.
    #[serde(default)]
    pub bf16: bool,
    /// Whether passes keep only what enters a layer and compute the rest again on the way back: less memory, more time.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// The highest rate, after warm-up.
    pub learning_rate: f64,
    /// The share of updates in which the rate grows from 0.
    pub warmup_ratio: f64,
    /// Gradients are scaled down to this norm.
    pub max_grad_norm: f64,
    /// The optimizer's constants.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// Parameters whose key starts so keep their values.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// The order of the prompt: the one of Stage 1.
    #[serde(default)]
    pub template: Template,
    /// Starts every random stream of the run.
    pub seed: u64,
    /// Updates between checkpoints, a multiple of `num_iterations`.
    pub save_steps: usize,
    /// Checkpoints kept.
    #[serde(default = "two")]
    pub save_total_limit: usize,
    /// Stops here, whatever the epochs say; the schedule is not shortened.
    pub max_steps: Option<usize>,
}

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

impl GrpoConfig {
    /// Reads and checks `path`.
    ///
    /// # Errors
    /// What cannot be meant is named.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let config: Self = read_toml(path)?;
        let (grpo, training) = (&config.grpo, &config.training);
        let whole = |steps: usize| steps > 0 && steps.is_multiple_of(grpo.num_iterations.max(1));
        let weights = grpo
            .reward_weights
            .as_ref()
            .map_or(grpo.rewards.len(), Vec::len);
        Checks::of(path)
            .hold(
                config.data.easy.is_some() || config.mixing.strategy == Strategy::HardOnly,
                "data.easy is needed unless mixing.strategy is \"hard-only\"",
            )?
            .hold(
                grpo.num_generations > 1,
                "grpo.num_generations must be above 1: an answer is compared with others",
            )?
            .hold(grpo.temperature > 0.0, "grpo.temperature must be above 0")?
            .hold(
                grpo.max_completion_length > 0,
                "grpo.max_completion_length must be above 0",
            )?
            .hold(
                !grpo.rewards.is_empty(),
                "grpo.rewards must name at least one rule",
            )?
            .hold(
                weights == grpo.rewards.len(),
                "grpo.reward_weights must have one number for each of grpo.rewards",
            )?
            .hold(
                grpo.std_epsilon >= 0.0,
                "grpo.std_epsilon must be at least 0",
            )?
            .hold(
                grpo.epsilon > 0.0 && grpo.epsilon < 1.0,
                "grpo.epsilon must be above 0 and below 1",
            )?
            .hold(grpo.beta >= 0.0, "grpo.beta must be at least 0")?
            .hold(
                grpo.num_iterations > 0,
                "grpo.num_iterations must be above 0",
            )?
            .hold(
                config.mixing.ratio >= 0.0,
                "mixing.ratio must be at least 0",
            )?
            .hold(
                (0.0..=1.0).contains(&config.mixing.gamma),
                "mixing.gamma must be from 0 to 1",
            )?
            .hold(
                training.num_train_epochs > 0,
                "training.num_train_epochs must be above 0",
            )?
            .hold(
                training.train_batch_size > 0,
                "training.train_batch_size must be above 0",
            )?
            .hold(training.workers > 0, "training.workers must be above 0")?
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
                training.save_total_limit > 0,
                "training.save_total_limit must be above 0",
            )?
            .hold(
                whole(training.save_steps),
                "training.save_steps must be a multiple of grpo.num_iterations",
            )?
            .hold(
                training.max_steps.is_none_or(whole),
                "training.max_steps must be a multiple of grpo.num_iterations",
            )?
            .adamw(&training.adamw)?
            .evaluation(config.evaluation.as_ref(), config.data.dev.is_some())?
            .hold(
                config.evaluation.iter().all(|it| whole(it.eval_steps)),
                "evaluation.eval_steps must be a multiple of grpo.num_iterations",
            )?
            .hold(
                config
                    .evaluation
                    .iter()
                    .all(|it| it.metric_for_best_model != Metric::Loss),
                "evaluation.metric_for_best_model must be \"f1\" or \"accuracy\": there are no traces to have a loss",
            )?
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

    /// How a pass is computed.
    pub(crate) fn how(&self) -> How {
        How {
            bf16: self.training.bf16,
            gradient_checkpointing: self.training.gradient_checkpointing,
        }
    }

    /// What of the network learns.
    pub(crate) fn learning(&self) -> Learning<'_> {
        Learning {
            lora: self.lora.as_ref(),
            freeze: &self.training.freeze,
        }
    }

    /// The constants of the objective.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            epsilon: self.grpo.epsilon,
            beta: self.grpo.beta,
        }
    }
}

impl RunConfig for GrpoConfig {
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
        let records = [Some(&data.hard), data.easy.as_ref(), data.dev.as_ref()];
        let named = records.into_iter().chain([data.ontology.as_ref()]);
        named.flatten().map(PathBuf::as_path).collect()
    }

    fn essence(&self) -> Self {
        let mut essence = self.clone();
        essence.run_dir = PathBuf::new();
        essence.training.max_steps = None;
        essence.evaluation = essence.evaluation.map(Evaluation::essence);
        essence
    }
}
