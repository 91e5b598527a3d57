//! Training and evaluation: data sets, the procedural corpus, published corpora, experts' traces, supervised fine-tuning and what it takes,
//! GRPO, scores. Runs the same forward pass as the service; opens no socket.

pub mod annotate;
mod ask;
pub mod compare;
pub mod config;
pub mod data;
mod error;
pub mod eval;
mod events;
pub mod example;
pub mod grpo;
pub mod hard;
pub mod import;
mod journal;
pub mod lines;
pub mod log;
pub mod loss;
pub mod merge;
pub mod metrics;
pub mod optim;
pub mod order;
mod params;
pub mod part;
pub mod pass;
pub mod plan;
pub mod progress;
mod provenance;
mod rejection;
pub mod run_dir;
pub mod sample;
pub mod scratch;
pub mod sft;
pub mod share;
mod state;
pub mod synth;
mod usable;
pub mod watch;
mod workers;

pub use error::Error;
