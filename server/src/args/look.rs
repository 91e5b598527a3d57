//! The flags of `generate` and `preprocess`: any checkpoint, without the protocol.

use std::path::PathBuf;

use clap::Args;
use vision::BoxFormat;

use super::{ModelArgs, bbox};

/// `more-r1 generate`.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("said").required(true).args(["prompt", "messages"]))]
pub struct GenerateArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
    /// An image; may be given several times.
    #[arg(long, env = "MORE_R1_IMAGE", value_name = "FILE")]
    pub image: Vec<PathBuf>,
    /// What the user says, after the images.
    #[arg(long, env = "MORE_R1_PROMPT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// A JSON file with a list of messages instead; its image parts take the images in order.
    #[arg(long, env = "MORE_R1_MESSAGES", value_name = "FILE")]
    pub messages: Option<PathBuf>,
    /// Most tokens to generate.
    #[arg(
        long,
        env = "MORE_R1_MAX_NEW_TOKENS",
        default_value_t = 128,
        value_name = "N"
    )]
    pub max_new_tokens: usize,
    /// 0 takes the likeliest token; without it the checkpoint's own.
    #[arg(long, env = "MORE_R1_TEMPERATURE", value_name = "T")]
    pub temperature: Option<f32>,
    /// Sample from the likeliest tokens that together have this probability; without it the checkpoint's own.
    #[arg(long, env = "MORE_R1_TOP_P", value_name = "P")]
    pub top_p: Option<f32>,
    /// Sample from so many tokens, 0 from all; without it the checkpoint's own.
    #[arg(long, env = "MORE_R1_TOP_K", value_name = "K")]
    pub top_k: Option<usize>,
    /// Above 1 makes repetitions less likely; without it the checkpoint's own.
    #[arg(long, env = "MORE_R1_REPETITION_PENALTY", value_name = "R")]
    pub repetition_penalty: Option<f32>,
    /// Same seed, same tokens.
    #[arg(long, env = "MORE_R1_SEED", default_value_t = 0)]
    pub seed: u64,
}

/// `more-r1 preprocess`.
#[derive(Debug, Clone, Args)]
pub struct PreprocessArgs {
    /// The checkpoint whose `preprocessor_config.json` counts; without it the mini's.
    #[arg(long, env = "MORE_R1_MODEL", value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The photo.
    #[arg(long, env = "MORE_R1_IMAGE", value_name = "FILE")]
    pub image: PathBuf,
    /// Only this box of it: four numbers between commas.
    #[arg(long, env = "MORE_R1_BBOX", value_name = "A,B,C,D", allow_hyphen_values = true, value_parser = bbox)]
    pub bbox: Option<[f64; 4]>,
    /// What the numbers of the box are (xyxy, xywh, cxcywh, percent).
    #[arg(long, env = "MORE_R1_BOX_FORMAT", default_value_t = BoxFormat::Xyxy, value_name = "NAME")]
    pub box_format: BoxFormat,
    /// Where to write `pixel_values` and `image_grid_thw`.
    #[arg(
        long,
        env = "MORE_R1_OUT",
        default_value = "pixels.safetensors",
        value_name = "FILE"
    )]
    pub out: PathBuf,
}
