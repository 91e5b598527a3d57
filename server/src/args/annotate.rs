//! The flags of `data annotate`.

use std::path::PathBuf;

use clap::Args;

use super::{above_zero, amount, at_least_one};

/// `more-r1 data annotate`.
#[derive(Debug, Clone, Args)]
pub struct AnnotateArgs {
    /// Facts in MORE's format, one a line.
    #[arg(long, env = "MORE_R1_DATA", value_name = "FILE")]
    pub data: PathBuf,
    /// The folder of their images; `--filter-only` needs none.
    #[arg(long, env = "MORE_R1_IMAGES", value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Where facts with traces go, for `train sft`; those without go beside it, with reasons: `FILE.rejected`.
    #[arg(long, env = "MORE_R1_OUT", value_name = "FILE")]
    pub out: PathBuf,
    /// Where every answer is kept as soon as it is paid for; without it `FILE.journal` beside the output.
    #[arg(long, env = "MORE_R1_JOURNAL", value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Go on with a journal that is there: what it answers is not asked again.
    #[arg(long, env = "MORE_R1_RESUME", conflicts_with = "filter_only")]
    pub resume: bool,
    /// Only judge the answers of the journal again; asks nobody and costs nothing.
    #[arg(long, env = "MORE_R1_FILTER_ONLY")]
    pub filter_only: bool,
    /// The expert.
    #[command(flatten)]
    pub expert: ExpertArgs,
    /// The pace.
    #[command(flatten)]
    pub pace: PaceArgs,
    /// The money.
    #[command(flatten)]
    pub money: MoneyArgs,
    /// Shorter traces are rejected, in characters; the form and the label alone have about 220.
    #[arg(
        long,
        env = "MORE_R1_MIN_CHARS",
        default_value_t = 400,
        value_name = "N"
    )]
    pub min_chars: usize,
    /// Longer traces are rejected, in characters; four are about a token, and answers may have 1,024 tokens.
    #[arg(
        long,
        env = "MORE_R1_MAX_CHARS",
        default_value_t = 4096,
        value_name = "N"
    )]
    pub max_chars: usize,
    /// The relations to choose from, as JSON; without it MORE's 21.
    #[arg(long, env = "MORE_R1_ONTOLOGY", value_name = "FILE")]
    pub ontology: Option<PathBuf>,
}

/// Who is asked.
#[derive(Debug, Clone, Args)]
pub struct ExpertArgs {
    /// Where the expert is, up to what stands before `/chat/completions`.
    #[arg(
        long,
        env = "MORE_R1_BASE_URL",
        default_value = "https://api.openai.com/v1",
        value_name = "URL"
    )]
    pub base_url: String,
    /// The expert's name there; `--filter-only` needs none.
    #[arg(long, env = "MORE_R1_MODEL", value_name = "NAME")]
    pub model: Option<String>,
    /// The environment variable that holds the key; an empty or absent one sends none. Without it `OPENAI_API_KEY` is sent to `OpenAI`'s own
    /// address and no key anywhere else.
    #[arg(long, env = "MORE_R1_KEY_ENV", value_name = "NAME")]
    pub key_env: Option<String>,
    /// How freely the expert writes; without it as freely as it does by itself.
    #[arg(long, env = "MORE_R1_TEMPERATURE", value_name = "T", value_parser = amount)]
    pub temperature: Option<f64>,
    /// Most tokens of an answer, as many as the student may write; one that is cut off there is paid for and rejected.
    #[arg(long, env = "MORE_R1_MAX_TOKENS", default_value_t = 1024, value_name = "N", value_parser = tokens)]
    pub max_tokens: usize,
}

/// How fast.
#[derive(Debug, Clone, Args)]
pub struct PaceArgs {
    /// Requests under way at a time.
    #[arg(long, env = "MORE_R1_CONCURRENCY", default_value_t = 4, value_name = "N", value_parser = at_least_one)]
    pub concurrency: usize,
    /// Most requests a minute; 0 sets no limit.
    #[arg(
        long,
        env = "MORE_R1_REQUESTS_PER_MINUTE",
        default_value_t = 0,
        value_name = "N"
    )]
    pub requests_per_minute: u32,
    /// How long an answer may take; later it is asked for again.
    #[arg(long, env = "MORE_R1_REQUEST_SECONDS", default_value = "120", value_name = "S", value_parser = above_zero)]
    pub request_seconds: f64,
    /// How often a question is asked again after 429, 5xx, silence and broken connections.
    #[arg(long, env = "MORE_R1_RETRIES", default_value_t = 6, value_name = "N")]
    pub retries: u32,
    /// How long before it is asked again, unless the expert says so; twice as long every time, 60 at most, less up to a half by chance.
    #[arg(long, env = "MORE_R1_BACKOFF_SECONDS", default_value = "1", value_name = "S", value_parser = amount)]
    pub backoff_seconds: f64,
}

/// What it may cost.
#[derive(Debug, Clone, Args)]
pub struct MoneyArgs {
    /// What a million tokens of questions cost, images included; nothing without.
    #[arg(long, env = "MORE_R1_PRICE_INPUT", value_name = "X", value_parser = amount)]
    pub price_input: Option<f64>,
    /// What a million tokens of answers cost; nothing without.
    #[arg(long, env = "MORE_R1_PRICE_OUTPUT", value_name = "X", value_parser = amount)]
    pub price_output: Option<f64>,
    /// What the whole journal may cost, in the prices' currency: the run ends with 3 before a request that could exceed it. Needs both prices.
    #[arg(long, env = "MORE_R1_BUDGET", value_name = "X", value_parser = amount)]
    pub budget: Option<f64>,
}

/// Longest answer that can be asked for: no expert writes as much.
const MOST_TOKENS: usize = 1_000_000;

fn tokens(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        number if number <= MOST_TOKENS => Ok(number),
        _ => Err(format!("has to be {MOST_TOKENS} at most")),
    }
}
