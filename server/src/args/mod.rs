//! The command line as typed. What it means is settled in `settings.rs` and in each command; nothing is opened here.
//!
//! Every flag can also be given as the environment variable `MORE_R1_` plus its name in capitals.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

use burn::tensor::DType;
use clap::{Args, Parser, Subcommand, ValueEnum};
use model::Quantization;
use proto::{Enforce, Template};
use vision::BoxFormat;

use crate::fields::bbox_from_text;

mod annotate;
mod bench;
pub mod file;
mod import;
mod learn;
mod look;
mod serve;

pub use annotate::{AnnotateArgs, ExpertArgs, MoneyArgs, PaceArgs};
pub use bench::{BenchArgs, PartName, ShapeName};
pub use import::{ImportArgs, ImportCommand, MoreArgs, SampleArgs, StrataName};
pub use learn::{
    CalibrateArgs, CompareArgs, DataCommand, EvalArgs, GrpoArgs, MergeArgs, PlanArgs, RecordArgs,
    ReportArgs, SftArgs, SplitHardArgs, SynthArgs, TrainArgs, TrainCommand,
};
pub use look::{GenerateArgs, PreprocessArgs};
pub use serve::ServeArgs;

/// From a photo, a box and a headline to a reasoned relation.
#[derive(Debug, Parser)]
#[command(
    name = "more-r1",
    version,
    about,
    max_term_width = 100,
    subcommand_required = true
)]
pub struct Cli {
    /// Print JSON instead of text (serve: log lines as JSON).
    #[arg(long, global = true, env = "MORE_R1_JSON")]
    pub json: bool,
    /// What to log, in tracing's filter language; logs go to stderr.
    #[arg(
        long,
        global = true,
        env = "MORE_R1_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// A TOML file with flags: those of a command in a table of its name, such as `serve`. What is typed, then the environment, counts
    /// more.
    #[arg(long, global = true, env = "MORE_R1_SETTINGS", value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer questions over HTTP.
    Serve(ServeArgs),
    /// Answer one question about a file.
    Extract(ExtractArgs),
    /// Chat with any Qwen2.5-VL checkpoint: images first, then the text, no grammar.
    Generate(GenerateArgs),
    /// Write what the vision tower would see of an image.
    Preprocess(PreprocessArgs),
    /// Make data.
    #[command(subcommand)]
    Data(DataCommand),
    /// Train a model.
    #[command(subcommand)]
    Train(TrainCommand),
    /// Score a model on a data set.
    Eval(EvalArgs),
    /// Measure how fast a device is, and how exact.
    Bench(Box<BenchArgs>),
    /// Show a training run as a page for a browser.
    Report(ReportArgs),
    /// Fit the temperature of a model's probabilities on a data set.
    Calibrate(CalibrateArgs),
    /// Add an adapter to its base and write a checkpoint that needs neither.
    Merge(MergeArgs),
    /// Make a key for `serve --api-keys`.
    Key(KeyArgs),
    /// Ask a running service whether it is ready; ends with 0 when it is.
    Health(HealthArgs),
    /// What `--device` starts to look at a GPU, until its input ends: one JSON object a step.
    #[cfg(feature = "cuda")]
    #[command(hide = true)]
    Probe(ProbeArgs),
}

/// Which model, and how it computes.
#[derive(Debug, Clone, Args)]
pub struct ModelArgs {
    /// A checkpoint in Hugging Face layout; without it the mini inside this binary.
    #[arg(long, env = "MORE_R1_MODEL", value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// A low-rank adapter in PEFT's layout, added to the model's weights when it is loaded: that of a run with `[lora]`, or of PEFT itself.
    #[arg(long, env = "MORE_R1_ADAPTER", value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// What computes: auto (the first GPU that can be used, else the processor), cpu, or cuda (cuda:1 is the second GPU), which needs a build
    /// with the feature of that name.
    #[arg(
        long,
        env = "MORE_R1_DEVICE",
        default_value = "auto",
        value_name = "NAME"
    )]
    pub device: DeviceName,
    /// What a GPU keeps.
    #[command(flatten)]
    pub kernels: KernelArgs,
    /// Number format of the weights in memory: f32 is exact, f16 and bf16 halve the memory.
    #[arg(long, env = "MORE_R1_DTYPE", default_value = "f32")]
    pub dtype: DtypeName,
    /// Round the decoder's weights to fewer bits when they are loaded: int8 takes a quarter of f32's memory for them at hardly any cost in quality, int4 a
    /// seventh at some.
    #[arg(long, env = "MORE_R1_QUANTIZE", default_value = "none")]
    pub quantize: QuantizeName,
    /// Order of the prompt: prefix (task and labels first) or paper (text first); has to be the trained one.
    #[arg(long, env = "MORE_R1_TEMPLATE", default_value_t = Template::default(), value_name = "NAME")]
    pub template: Template,
    /// The relations to choose from, as JSON (serve reads it again at SIGHUP); without it MORE's 21. A model knows those it was
    /// trained on.
    #[arg(long, env = "MORE_R1_ONTOLOGY", value_name = "FILE")]
    pub ontology: Option<PathBuf>,
    /// Longest prompt that is answered, image tokens included; memory grows with it.
    #[arg(
        long,
        env = "MORE_R1_MAX_PROMPT_TOKENS",
        default_value_t = 4096,
        value_name = "N"
    )]
    pub max_prompt_tokens: usize,
    /// Longest answer in tokens; a longer one ends with `finish_reason` length.
    #[arg(
        long,
        env = "MORE_R1_MAX_ANSWER_TOKENS",
        default_value_t = 1024,
        value_name = "N"
    )]
    pub max_answer_tokens: usize,
}

/// What a GPU keeps from one process to the next.
#[derive(Debug, Clone, Default, Args)]
pub struct KernelArgs {
    /// The folder where GPUs keep compiled kernels and the choice of the fastest, so that the next start compiles and tries nothing again; ship
    /// or mount it with the binary. Without it `cubecl` in the user's cache.
    #[arg(long, env = "MORE_R1_KERNEL_CACHE", value_name = "DIR")]
    pub kernel_cache: Option<PathBuf>,
}

/// What computes: `auto`, `cpu`, `cuda`, `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// The first GPU that can be used, else the processor.
    Auto,
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of this number, from 0; only in a build with the feature `cuda`.
    Cuda(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(0)),
            _ => {}
        }
        let number = text.strip_prefix("cuda:").filter(|it| !it.starts_with('+'));
        let number = number.and_then(|it| it.parse().ok());
        let number = number.ok_or("devices are auto, cpu, cuda, cuda:0, cuda:1 and so on")?;
        Ok(Self::Cuda(number))
    }
}

impl Display for DeviceName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

/// Number formats of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeName {
    /// 32 bits.
    F32,
    /// 16 bits, 10 of them mantissa.
    F16,
    /// 16 bits, 7 of them mantissa.
    Bf16,
}

impl From<DtypeName> for DType {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Self::F32,
            DtypeName::F16 => Self::F16,
            DtypeName::Bf16 => Self::BF16,
        }
    }
}

/// What the decoder's weights are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QuantizeName {
    /// They stay as they are.
    None,
    /// 8 bits a weight, and a scale for every 32.
    Int8,
    /// 4 bits a weight, and a scale for every 32.
    Int4,
}

impl From<QuantizeName> for Option<Quantization> {
    fn from(name: QuantizeName) -> Self {
        match name {
            QuantizeName::None => None,
            QuantizeName::Int8 => Some(Quantization::Int8),
            QuantizeName::Int4 => Some(Quantization::Int4),
        }
    }
}

/// A headline of the MORE data set has about a hundred characters; a tweet with all its links fits ten times.
pub const TEXT_CHARS: usize = 2000;
/// The longest names of the MORE data set stay below a hundred.
pub const ENTITY_CHARS: usize = 200;

/// `more-r1 extract`: one question, or a file of them.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("asked").required(true).args(["image", "input"]))]
pub struct ExtractArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// One question.
    #[command(flatten)]
    pub question: Option<QuestionArgs>,
    /// What the numbers of the box are: xyxy and xywh in pixels, cxcywh in parts of one, percent (x, y, w, h).
    #[arg(long, env = "MORE_R1_BOX_FORMAT", default_value_t = BoxFormat::Xyxy, value_name = "NAME")]
    pub box_format: BoxFormat,
    /// Many questions.
    #[command(flatten)]
    pub corpus: Option<CorpusArgs>,
    /// Questions of `--input` answered together; more are faster and take more memory.
    #[arg(long, env = "MORE_R1_BATCH_SIZE", default_value_t = 16, value_name = "N", value_parser = at_least_one)]
    pub batch_size: usize,
    /// What becomes of a label that the types stated in step 4 exclude: report (it is given) or strict (it cannot be).
    #[arg(
        long,
        env = "MORE_R1_ENFORCE",
        default_value = "report",
        value_name = "NAME"
    )]
    pub enforce: Enforce,
    /// Also give the probability of every label.
    #[arg(long, env = "MORE_R1_SCORES")]
    pub scores: bool,
    /// Answer none instead of a label that is less probable than this, 0 to 1.
    #[arg(long, env = "MORE_R1_ABSTAIN_BELOW", value_name = "P")]
    pub abstain_below: Option<f64>,
    /// So many further answers are drawn at random to tell how far they agree, 16 at most; each takes the time of an answer.
    #[arg(long, env = "MORE_R1_SAMPLES", default_value_t = 0, value_name = "N")]
    pub samples: usize,
}

/// One question.
#[derive(Debug, Clone, Args)]
#[group(conflicts_with = "CorpusArgs")]
pub struct QuestionArgs {
    /// The photo.
    #[arg(long, env = "MORE_R1_IMAGE", value_name = "FILE")]
    pub image: PathBuf,
    /// The object's box in the upright photo: four numbers between commas.
    #[arg(long, env = "MORE_R1_BBOX", value_name = "A,B,C,D", allow_hyphen_values = true, value_parser = bbox)]
    pub bbox: [f64; 4],
    /// The headline.
    #[arg(long, env = "MORE_R1_TEXT")]
    pub text: String,
    /// The entity; it has to occur in the text.
    #[arg(long, env = "MORE_R1_ENTITY")]
    pub entity: String,
}

/// A file of questions.
#[derive(Debug, Clone, Args)]
pub struct CorpusArgs {
    /// Many questions instead, one JSON object a line: image (a path), bbox, text, entity; `box_format` and id if wanted.
    #[arg(long, env = "MORE_R1_INPUT", value_name = "FILE")]
    pub input: PathBuf,
    /// Where their answers go, one JSON object a line; complete when the file is there.
    #[arg(long, env = "MORE_R1_OUTPUT", value_name = "FILE")]
    pub output: PathBuf,
    /// The folder that the paths in `--input` start from; without it that of the input.
    #[arg(long, env = "MORE_R1_IMAGES", value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Go on with a run that was interrupted: answers that are there are kept.
    #[arg(long, env = "MORE_R1_RESUME")]
    pub resume: bool,
    /// Only the i-th of n shares of the input, such as 2/4: one for each machine.
    #[arg(long, env = "MORE_R1_SHARD", value_name = "I/N", value_parser = shard)]
    pub shard: Option<(usize, usize)>,
}

/// `more-r1 key`.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Whose key it is: the log names it.
    #[arg(long, env = "MORE_R1_NAME", value_name = "NAME", value_parser = word)]
    pub name: String,
    /// It may also change the service (`POST /admin/reload`).
    #[arg(long, env = "MORE_R1_ADMIN")]
    pub admin: bool,
}

/// `more-r1 health`.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// What to ask; plain http only.
    #[arg(
        long,
        env = "MORE_R1_URL",
        default_value = "http://127.0.0.1:8080/readyz",
        value_name = "URL"
    )]
    pub url: String,
}

/// `more-r1 probe`.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// Which GPU, from 0.
    #[arg(long, env = "MORE_R1_NUMBER", default_value_t = 0, value_name = "N")]
    pub number: usize,
    /// A number format that it has to compute in besides f32.
    #[arg(long, env = "MORE_R1_DTYPE", default_value = "f32")]
    pub dtype: DtypeName,
}

fn bbox(text: &str) -> Result<[f64; 4], String> {
    bbox_from_text(text).map_err(|error| error.to_string())
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/');
    match parts.map(|(part, of)| (part.parse(), of.parse())) {
        Some((Ok(part), Ok(of))) if (1..=of).contains(&part) => Ok((part, of)),
        _ => Err("has to be i/n with i from 1 to n, such as 2/4".to_owned()),
    }
}

fn word(text: &str) -> Result<String, String> {
    let plain = |it: char| !it.is_whitespace() && it != '#';
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("has to be one word without #".to_owned())
}

/// A number that can be a price, a time or a speed.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=1e9).contains(&number) => Ok(number),
        _ => Err("has to be a number from 0 to a billion".to_owned()),
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match amount(text) {
        Ok(number) if number > 0.0 => Ok(number),
        _ => Err("has to be a number above 0, a billion at most".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("has to be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn check(command: &clap::Command) {
        for argument in command.get_arguments() {
            let name = argument.get_id().as_str();
            if matches!(name, "help" | "version") {
                continue;
            }
            assert!(argument.get_help().is_some(), "--{name} has no help");
            let variable = format!("MORE_R1_{}", name.to_ascii_uppercase());
            let given = argument.get_env().and_then(|env| env.to_str());
            assert_eq!(given, Some(variable.as_str()), "--{name}");
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn devices_have_four_kinds_of_names() {
        for (text, device) in [
            ("auto", DeviceName::Auto),
            ("cpu", DeviceName::Cpu),
            ("cuda", DeviceName::Cuda(0)),
            ("cuda:0", DeviceName::Cuda(0)),
            ("cuda:15", DeviceName::Cuda(15)),
        ] {
            assert_eq!(text.parse(), Ok(device), "{text}");
            assert_eq!(device.to_string().parse(), Ok(device), "{device}");
        }
        for text in [
            "",
            " cpu",
            "CPU",
            "Auto",
            "gpu",
            "cuda:",
            "cuda:-1",
            "cuda:+1",
            "cuda:x",
            "cuda:1.5",
            "cuda1",
            "cuda:0 ",
            "cuda:0:1",
            "cuda:99999999999999999999",
            "auto:0",
            "cpu:0",
            "cpu,cuda",
        ] {
            let reason = text.parse::<DeviceName>().expect_err(text);
            for allowed in ["auto", "cpu", "cuda", "cuda:1"] {
                assert!(reason.contains(allowed), "{text}: {reason}");
            }
        }
    }

    #[test]
    fn every_flag_has_help_and_a_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        check(&command);
    }
}
