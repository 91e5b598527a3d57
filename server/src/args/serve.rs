//! The flags of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{ENTITY_CHARS, ModelArgs, TEXT_CHARS, at_least_one};

/// `more-r1 serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Address and port to answer on; port 0 takes a free one and logs it.
    #[arg(
        long,
        env = "MORE_R1_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// A file of keys (`more-r1 key` makes them); without it everybody is let in. Probes, metrics and the page need none. Read again at
    /// SIGHUP.
    #[arg(long, env = "MORE_R1_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// A page of this origin may ask from a browser, such as <https://example.org>; several are given one after another. Without it
    /// none may.
    #[arg(
        long,
        env = "MORE_R1_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<String>,
    /// Images may be given by address if they lie at this origin, such as <https://images.example.org>; several are given one after
    /// another. Without it no address is fetched.
    #[arg(
        long,
        env = "MORE_R1_IMAGE_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub image_origin: Vec<String>,
    /// Seconds that fetching one may take; its question holds a place meanwhile.
    #[arg(
        long,
        env = "MORE_R1_IMAGE_SECONDS",
        default_value_t = 10,
        value_name = "N"
    )]
    pub image_seconds: u64,
    /// Those origins may be in your own network; without it only public addresses are connected to.
    #[arg(long, env = "MORE_R1_IMAGE_PRIVATE_HOSTS", requires = "image_origin")]
    pub image_private_hosts: bool,
    /// Where spans are sent, such as <http://127.0.0.1:4318> (OpenTelemetry, OTLP over http); without it nowhere.
    #[arg(long, env = "MORE_R1_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Requests in the house at once, waiting ones included; more get 429. Each may hold one body and one photo.
    #[arg(long, env = "MORE_R1_QUEUE", default_value_t = 64, value_name = "N", value_parser = at_least_one)]
    pub queue: usize,
    /// Answers written at once, divided among the cores.
    #[arg(long, env = "MORE_R1_MAX_SEQUENCES", default_value_t = 16, value_name = "N", value_parser = at_least_one)]
    pub max_sequences: usize,
    /// Tokens that all answers under way together may come to hold, prompts included; divided among the cores. On a GPU the room for all of
    /// them is taken at once.
    #[arg(long, env = "MORE_R1_MAX_CACHED_TOKENS", default_value_t = 32_768, value_name = "N", value_parser = at_least_one)]
    pub max_cached_tokens: usize,
    /// Prompt tokens read between two tokens of the answers under way.
    #[arg(long, env = "MORE_R1_PREFILL_TOKENS", default_value_t = 512, value_name = "N", value_parser = at_least_one)]
    pub prefill_tokens: usize,
    /// Memory for beginnings of prompts that may come again, in MiB; 0 keeps none.
    #[arg(
        long,
        env = "MORE_R1_PREFIX_CACHE_MIB",
        default_value_t = 64,
        value_name = "N"
    )]
    pub prefix_cache_mib: usize,
    /// Memory for encoded images that may come again, in MiB; 0 keeps none.
    #[arg(
        long,
        env = "MORE_R1_IMAGE_CACHE_MIB",
        default_value_t = 32,
        value_name = "N"
    )]
    pub image_cache_mib: usize,
    /// Most questions of one batch.
    #[arg(long, env = "MORE_R1_MAX_BATCH_ITEMS", default_value_t = 256, value_name = "N", value_parser = at_least_one)]
    pub max_batch_items: usize,
    /// Seconds after which a question without an answer is given up.
    #[arg(
        long,
        env = "MORE_R1_DEADLINE_SECONDS",
        default_value_t = 120,
        value_name = "N"
    )]
    pub deadline_seconds: u64,
    /// Threads that decode images; without it one less than there are cores.
    #[arg(long, env = "MORE_R1_DECODERS", value_name = "N", value_parser = at_least_one)]
    pub decoders: Option<usize>,
    /// Longest body in bytes; base64 makes an image a third longer.
    #[arg(long, env = "MORE_R1_MAX_BODY_BYTES", default_value_t = 28 << 20, value_name = "N")]
    pub max_body_bytes: usize,
    /// Longest image file in bytes.
    #[arg(long, env = "MORE_R1_MAX_IMAGE_BYTES", default_value_t = 20 << 20, value_name = "N")]
    pub max_image_bytes: usize,
    /// Most pixels of an image, width times height; three bytes of memory each.
    #[arg(
        long,
        env = "MORE_R1_MAX_PIXELS",
        default_value_t = 50_000_000,
        value_name = "N"
    )]
    pub max_pixels: u64,
    /// Longest side of an image in pixels.
    #[arg(
        long,
        env = "MORE_R1_MAX_SIDE",
        default_value_t = 16_384,
        value_name = "N"
    )]
    pub max_side: u32,
    /// Longest text in characters.
    #[arg(long, env = "MORE_R1_MAX_TEXT_CHARS", default_value_t = TEXT_CHARS, value_name = "N")]
    pub max_text_chars: usize,
    /// Longest entity in characters.
    #[arg(long, env = "MORE_R1_MAX_ENTITY_CHARS", default_value_t = ENTITY_CHARS, value_name = "N")]
    pub max_entity_chars: usize,
    /// Seconds after SIGTERM in which new work, and the question whether the service is ready, still get an answer: 503. So balancers turn away
    /// before the door closes.
    #[arg(
        long,
        env = "MORE_R1_DRAIN_SECONDS",
        default_value_t = 2,
        value_name = "N"
    )]
    pub drain_seconds: u64,
    /// Seconds that running requests get to finish after that.
    #[arg(
        long,
        env = "MORE_R1_GRACE_SECONDS",
        default_value_t = 30,
        value_name = "N"
    )]
    pub grace_seconds: u64,
}
