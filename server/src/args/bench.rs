//! The flags of `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{ModelArgs, above_zero, at_least_one};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartName {
    /// Numbers before speed: the device against the processor in f32; exit 1 if a limit is missed.
    Gate,
    /// Products of matrices, and what the device reaches at its best.
    Matmul,
    /// Attention alone.
    Attention,
    /// Photos and crops to tokens.
    Vision,
    /// Prompts.
    Prefill,
    /// One token for each of many.
    Decode,
    /// Whole answers a second on a workload like MORE's test set.
    Samples,
    /// The tokens of a greedy answer, for comparing programs.
    Greedy,
    /// From the start of `serve` until it is ready.
    Ready,
    /// Bytes.
    Memory,
}

/// Sizes of random models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeName {
    /// Qwen2.5-VL-7B.
    #[value(name = "7b")]
    B7,
    /// Qwen2.5-VL-3B.
    #[value(name = "3b")]
    B3,
    /// 0.28 billion parameters.
    Mid,
    /// The model inside this binary, with other weights.
    Mini,
}

/// `more-r1 bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure, in this order; without it everything but the gate.
    #[arg(env = "MORE_R1_PARTS", value_name = "PART", value_delimiter = ',')]
    pub parts: Vec<PartName>,
    /// The model; without `--model` a random one is made.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Sizes of the random model. Its words are those of the model inside this binary, so prompts are ids and answers as long as wanted.
    #[arg(
        long,
        env = "MORE_R1_SHAPE",
        default_value = "mini",
        value_name = "NAME",
        conflicts_with = "model"
    )]
    pub shape: ShapeName,
    /// Same seed, same random model.
    #[arg(long, env = "MORE_R1_SEED", default_value_t = 0)]
    pub seed: u64,
    /// Also write the random model to this folder in Hugging Face layout, bf16, for other programs.
    #[arg(
        long,
        env = "MORE_R1_WRITE_HF",
        value_name = "DIR",
        conflicts_with = "model"
    )]
    pub write_hf: Option<PathBuf>,
    /// Also write the figures to this file, one JSON object a line.
    #[arg(long, env = "MORE_R1_OUT", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What a part may take; what does not fit is left out by name.
    #[arg(long, env = "MORE_R1_BUDGET_SECONDS", default_value_t = 60.0, value_name = "S", value_parser = above_zero)]
    pub budget_seconds: f64,
    /// Trillions of operations a second that the device is known to reach; measured if not given.
    #[arg(long, env = "MORE_R1_PEAK_TFLOPS", value_name = "X", value_parser = above_zero)]
    pub peak_tflops: Option<f64>,
    /// Gigabytes a second that its memory is known to reach; measured if not given.
    #[arg(long, env = "MORE_R1_PEAK_GBS", value_name = "X", value_parser = above_zero)]
    pub peak_gbs: Option<f64>,
    /// Decode, attention: how many sequences go on together.
    #[arg(long, env = "MORE_R1_BATCHES", default_value = "1,8,32,64,128,256", value_name = "N,…", value_delimiter = ',', value_parser = at_least_one)]
    pub batches: Vec<usize>,
    /// Decode, attention: how many tokens each of them has before it.
    #[arg(long, env = "MORE_R1_CONTEXTS", default_value = "734,2048", value_name = "N,…", value_delimiter = ',', value_parser = at_least_one)]
    pub contexts: Vec<usize>,
    /// Samples: requests of the workload, fewer where time does not allow for them.
    #[arg(long, env = "MORE_R1_REQUESTS", default_value_t = 3036, value_name = "N", value_parser = at_least_one)]
    pub requests: usize,
    /// Samples: requests that run at once.
    #[arg(long, env = "MORE_R1_MAX_SEQUENCES", default_value_t = 16, value_name = "N", value_parser = at_least_one)]
    pub max_sequences: usize,
    /// Gate: random checkpoints of either size.
    #[arg(long, env = "MORE_R1_SEEDS", default_value_t = 2, value_name = "N", value_parser = at_least_one)]
    pub seeds: usize,
    /// Gate: drawn records whose labels are compared; 0 compares none.
    #[arg(long, env = "MORE_R1_RECORDS", default_value_t = 200, value_name = "N")]
    pub records: usize,
    /// The commit this binary was built from, for the figures.
    #[arg(long, env = "MORE_R1_REVISION", value_name = "TEXT")]
    pub revision: Option<String>,
}
