//! Training and evaluation: data sets, the procedural corpus, published corpora, supervised fine-tuning, scores. Runs the same forward
//! pass as the service; opens no socket. Stage 2 (GRPO) will stand beside `sft.rs`.

mod ask;
pub mod config;
pub mod data;
mod error;
pub mod eval;
pub mod example;
pub mod hard;
pub mod import;
mod journal;
pub mod log;
pub mod loss;
pub mod metrics;
pub mod optim;
pub mod order;
pub mod progress;
pub mod run_dir;
pub mod sample;
pub mod scratch;
pub mod sft;
pub mod share;
mod state;
pub mod synth;

pub use error::Error;
