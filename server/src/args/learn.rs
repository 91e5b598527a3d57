//! The flags of `data`, `train`, `eval` and `report`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{
    AnnotateArgs, DeviceName, DtypeName, ImportCommand, KernelArgs, ModelArgs, SampleArgs,
    above_zero, at_least_one,
};

/// `more-r1 data …`.
#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// Draw a MORE-like corpus with gold traces.
    Synth(SynthArgs),
    /// Check a corpus and bring it into the shape that training reads.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Draw a share of a file of facts.
    Sample(SampleArgs),
    /// Have an expert model write the traces of facts, over `/v1/chat/completions`.
    Annotate(Box<AnnotateArgs>),
    /// Part facts into those that a model gets right and those that it gets wrong.
    SplitHard(SplitHardArgs),
}

/// `more-r1 data synth`.
#[derive(Debug, Clone, Args)]
pub struct SynthArgs {
    /// The folder to write; must not be there, or be empty.
    #[arg(long, env = "MORE_R1_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// Same seed, same corpus.
    #[arg(long, env = "MORE_R1_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Facts to train on, about five a picture.
    #[arg(long, env = "MORE_R1_TRAIN", default_value_t = 1000, value_name = "N")]
    pub train: usize,
    /// Facts to choose by.
    #[arg(long, env = "MORE_R1_DEV", default_value_t = 100, value_name = "N")]
    pub dev: usize,
    /// Facts to judge by.
    #[arg(long, env = "MORE_R1_TEST", default_value_t = 100, value_name = "N")]
    pub test: usize,
    /// Rare idioms, facts that only the world holds, bad light, one fact a picture: a corpus that a quarter of it does not teach.
    #[arg(long, env = "MORE_R1_HARD")]
    pub hard: bool,
}

/// `more-r1 train …`.
#[derive(Debug, Clone, Subcommand)]
pub enum TrainCommand {
    /// Stage 1: learn the six steps from gold traces, or labels alone.
    Sft(SftArgs),
    /// Stage 2: reinforce answers that the rewards prefer (GRPO).
    Grpo(GrpoArgs),
}

/// A run of either stage.
#[derive(Debug, Clone, Args)]
pub struct TrainArgs {
    /// What to train on what, as TOML; `configs/` has examples.
    #[arg(long, env = "MORE_R1_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// What computes: auto (the first GPU that can be used, else the processor), cpu or cuda, or several GPUs that share each step
    /// (cuda:0,cuda:1); cuda needs a build with the feature of that name. `training.workers` must be a multiple of their number.
    #[arg(
        long,
        env = "MORE_R1_DEVICE",
        default_value = "auto",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    pub device: Vec<DeviceName>,
    /// What a GPU keeps.
    #[command(flatten)]
    pub kernels: KernelArgs,
}

/// `more-r1 train sft`.
#[derive(Debug, Clone, Args)]
pub struct SftArgs {
    /// The run.
    #[command(flatten)]
    pub run: TrainArgs,
    /// A plan in place of it.
    #[command(flatten)]
    pub plan: PlanArgs,
}

/// `more-r1 train grpo`.
#[derive(Debug, Clone, Args)]
pub struct GrpoArgs {
    /// The run.
    #[command(flatten)]
    pub run: TrainArgs,
    /// A plan in place of it.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// With `--dry-run`: easy questions; --records is the hard ones then. Without it they are counted in the configuration's file.
    #[arg(
        long,
        env = "MORE_R1_EASY_RECORDS",
        value_name = "N",
        requires = "dry_run",
        requires = "records"
    )]
    pub easy_records: Option<usize>,
    /// With `--dry-run`: so many billion bytes a second the device reads; answers are drawn no faster than weights are read.
    #[arg(
        long,
        env = "MORE_R1_GBS",
        value_name = "X",
        requires = "dry_run",
        value_parser = above_zero
    )]
    pub gbs: Option<f64>,
}

/// `--dry-run`, and what it cannot know.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Train nothing; print what memory and time it would take. Needs the checkpoint's config.json, no weights.
    #[arg(long, env = "MORE_R1_DRY_RUN")]
    pub dry_run: bool,
    /// With `--dry-run`: so many trillion operations a second the device sustains; gives the time.
    #[arg(
        long,
        env = "MORE_R1_TFLOPS",
        value_name = "X",
        requires = "dry_run",
        value_parser = above_zero
    )]
    pub tflops: Option<f64>,
    /// With `--dry-run`: records learned from, of Stage 2 the hard ones; without it they are counted in the configuration's file.
    #[arg(
        long,
        env = "MORE_R1_RECORDS",
        value_name = "N",
        requires = "dry_run",
        value_parser = at_least_one
    )]
    pub records: Option<usize>,
    /// With `--dry-run`: tokens of every photo.
    #[arg(
        long,
        env = "MORE_R1_PHOTO_TOKENS",
        value_name = "N",
        requires = "dry_run",
        value_parser = at_least_one
    )]
    pub photo_tokens: Option<usize>,
    /// With `--dry-run`: tokens of every crop.
    #[arg(
        long,
        env = "MORE_R1_CROP_TOKENS",
        value_name = "N",
        requires = "dry_run",
        value_parser = at_least_one
    )]
    pub crop_tokens: Option<usize>,
    /// With `--dry-run`: tokens of a prompt's words.
    #[arg(
        long,
        env = "MORE_R1_PROMPT_TOKENS",
        value_name = "N",
        requires = "dry_run",
        value_parser = at_least_one
    )]
    pub prompt_tokens: Option<usize>,
    /// With `--dry-run`: tokens of a response; what is not given adds up to the paper's longest example, 2,096 tokens. Answers of Stage 2 are
    /// taken to be as long as they may be.
    #[arg(
        long,
        env = "MORE_R1_RESPONSE_TOKENS",
        value_name = "N",
        requires = "dry_run",
        value_parser = at_least_one
    )]
    pub response_tokens: Option<usize>,
}

/// Facts to answer. `eval --compare` needs none, so whether they are there is checked by who reads them.
#[derive(Debug, Clone, Args)]
pub struct RecordArgs {
    /// Facts in MORE's format, one a line; to calibrate by, such that the model was not trained on.
    #[arg(long, env = "MORE_R1_DATA", value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// The folder of their images.
    #[arg(long, env = "MORE_R1_IMAGES", value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Only so many facts, from the front.
    #[arg(long, env = "MORE_R1_LIMIT", value_name = "N")]
    pub limit: Option<usize>,
    /// Facts answered together; more are faster and take more memory.
    #[arg(long, env = "MORE_R1_BATCH_SIZE", default_value_t = 8, value_name = "N", value_parser = at_least_one)]
    pub batch_size: usize,
}

/// `more-r1 data split-hard`.
#[derive(Debug, Clone, Args)]
pub struct SplitHardArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The facts.
    #[command(flatten)]
    pub records: RecordArgs,
    /// The folder to write; must not be there.
    #[arg(long, env = "MORE_R1_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with a run that was interrupted: answers that are there are kept.
    #[arg(long, env = "MORE_R1_RESUME")]
    pub resume: bool,
}

/// `more-r1 calibrate`.
#[derive(Debug, Clone, Args)]
pub struct CalibrateArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The facts.
    #[command(flatten)]
    pub records: RecordArgs,
}

/// `more-r1 merge`.
#[derive(Debug, Clone, Args)]
pub struct MergeArgs {
    /// The checkpoint that the adapter was trained beside; without it the mini inside this binary.
    #[arg(long, env = "MORE_R1_MODEL", value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The adapter, in PEFT's layout.
    #[arg(long, env = "MORE_R1_ADAPTER", value_name = "DIR")]
    pub adapter: PathBuf,
    /// The folder to write, in Hugging Face layout; must not be there, or be empty.
    #[arg(long, env = "MORE_R1_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// Number format of the written weights; what is added is added in f32.
    #[arg(long, env = "MORE_R1_DTYPE", default_value = "f32")]
    pub dtype: DtypeName,
}

/// `more-r1 eval`.
#[derive(Debug, Clone, Args)]
pub struct EvalArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The facts.
    #[command(flatten)]
    pub records: RecordArgs,
    /// Show grey images instead: what do the texts give away?
    #[arg(long, env = "MORE_R1_BLANK_IMAGES")]
    pub blank_images: bool,
    /// Exchange the texts among the facts: what do the images give away?
    #[arg(long, env = "MORE_R1_SHUFFLE_TEXT")]
    pub shuffle_text: bool,
    /// The model answers with the label alone, as one trained with `target = "label"` does.
    #[arg(long, env = "MORE_R1_LABEL_ONLY")]
    pub label_only: bool,
    /// Also write a report that a browser shows.
    #[arg(long, env = "MORE_R1_REPORT", value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Or reports of earlier evaluations.
    #[command(flatten)]
    pub reports: CompareArgs,
}

/// `more-r1 eval --compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// Instead of scoring, print the table of reports that `eval --json` printed; without a name a row has that of its file.
    #[arg(
        long,
        env = "MORE_R1_COMPARE",
        value_name = "[NAME=]FILE",
        num_args = 1..,
        conflicts_with_all = ["data", "images", "label_only", "report"]
    )]
    pub compare: Vec<String>,
    /// The table of `--compare` in Markdown; `--json` counts more.
    #[arg(long, env = "MORE_R1_MARKDOWN", requires = "compare")]
    pub markdown: bool,
}

/// `more-r1 report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The folder of a training run.
    #[arg(env = "MORE_R1_RUN_DIR", value_name = "RUN_DIR")]
    pub run_dir: PathBuf,
    /// The page to write; it needs no other file.
    #[arg(long, env = "MORE_R1_OUT", value_name = "FILE")]
    pub out: PathBuf,
    /// Also show these scores, and the mistakes with their photos: what `more-r1 --json eval` printed.
    #[arg(long, env = "MORE_R1_EVAL", value_name = "FILE")]
    pub eval: Option<PathBuf>,
}
