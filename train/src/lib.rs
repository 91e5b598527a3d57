//! Training and evaluation: data sets, the procedural corpus, experts' traces, supervised fine-tuning, what it takes, scores. Runs the same
//! forward pass as the service; opens no socket. Stage 2 (GRPO) will stand beside `sft.rs`.

pub mod annotate;
pub mod compare;
pub mod config;
pub mod data;
mod error;
pub mod eval;
pub mod example;
pub mod log;
pub mod loss;
pub mod metrics;
pub mod optim;
pub mod order;
pub mod plan;
pub mod progress;
pub mod sample;
pub mod scratch;
pub mod sft;
mod state;
pub mod synth;

pub use error::Error;
