//! Stage 1 of a toy, from random weights, and what a run of either stage tells.

use std::path::Path;

use proto::{Form, Template};
use serde::de::DeserializeOwned;
use train::config::{DataConfig, ModelConfig, SftConfig, TrainingConfig};
use train::optim::AdamWConfig;
use train::scratch::{Scratch, ScratchVision};

/// The recipe of the run called `run`, over the corpus in `folder`.
pub fn recipe(folder: &Path, run: &str) -> SftConfig {
    SftConfig {
        run_dir: folder.join(run),
        model: ModelConfig {
            from: None,
            scratch: Some(scratch()),
        },
        data: DataConfig {
            train: folder.join("data/train.jsonl"),
            dev: None,
            images: folder.join("data/images"),
            ontology: None,
            fraction: 1.0,
        },
        training: TrainingConfig {
            num_train_epochs: 1.5,
            train_batch_size: 2,
            gradient_accumulation_steps: 2,
            workers: 2,
            bf16: false,
            gradient_checkpointing: false,
            learning_rate: 3e-3,
            warmup_ratio: 0.2,
            max_grad_norm: 1.0,
            adamw: AdamWConfig::default(),
            freeze: vec![],
            target: Form::Trace,
            templates: vec![Template::Prefix, Template::Paper],
            group_by_photo: true,
            emphasis: None,
            shorten: None,
            seed: 5,
            save_steps: 2,
            save_total_limit: 2,
            logging_steps: 1,
            max_steps: None,
        },
        evaluation: None,
        lora: None,
    }
}

fn scratch() -> Scratch {
    Scratch {
        vocab_size: 400,
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        mrope_section: [2, 3, 3],
        rope_theta: 10_000.0,
        initializer_range: 0.02,
        min_pixels: 3136,
        max_pixels: 3136,
        vision: ScratchVision {
            depth: 2,
            hidden_size: 16,
            intermediate_size: 24,
            num_heads: 2,
            fullatt_block_indexes: vec![1],
        },
    }
}

/// The lines of `metrics.jsonl`, those of evaluations left out.
pub fn metrics<T: DeserializeOwned>(run_dir: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().filter(|line| !line.contains("\"eval/"));
    lines
        .map(|line| serde_json::from_str(line).expect("our own lines"))
        .collect()
}
