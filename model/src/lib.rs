//! The vision-language model: a Qwen2.5-VL network in burn, its checkpoints, tokenizer, sampling, and the six-step protocol
//! decoded over it. Opens no socket and decodes no image file.
//!
//! Shapes in comments: `n` rows (tokens of all sequences laid one after another), `p` patches, `l` keys, `d` width,
//! `m` merge side, `heads`, `head_dim`.

pub mod adapter;
pub mod attention;
pub mod calibration;
pub mod checkpoint;
pub mod config;
mod cpu;
pub mod device;
pub mod engine;
mod error;
pub mod extract;
pub mod files;
pub mod generate;
#[cfg(feature = "cuda")]
mod gpu;
pub mod guide;
pub mod init;
pub mod lanes;
mod layout;
pub mod linear;
pub mod lora;
pub mod norm;
pub mod pooled;
pub mod quantize;
pub mod qwen;
pub mod rope;
pub mod sampling;
pub mod save;
pub mod template;
pub mod text;
pub mod tokenizer;
pub mod vision;
pub mod weights;

pub use adapter::Adapter;
pub use calibration::Calibration;
pub use checkpoint::Checkpoint;
pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use extract::{Answer, Extractor, Info, Options, Question, Scene, Terms};
pub use files::Files;
pub use generate::{Chat, Completion, FinishReason, Generation, generate};
pub use lora::LoraConfig;
pub use quantize::{Format, Quantization};
pub use qwen::{Qwen, Span};
pub use sampling::Sampling;
