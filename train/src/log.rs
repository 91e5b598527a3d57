//! What a run tells while it goes on: files of JSON lines, each with its step, under the names people know.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::lines::Lines;

/// One line of `metrics.jsonl` in Stage 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Optimizer steps done.
    pub step: usize,
    /// Passes over the records.
    pub epoch: f64,
    /// Nats a response token, over the steps since the last line.
    pub loss: f64,
    /// Rate of this step; runs before had it as `learning_rate`.
    #[serde(rename = "lr", alias = "learning_rate")]
    pub learning_rate: f64,
    /// Norm of this step's gradient before clipping.
    pub grad_norm: f64,
    /// Records a second since the run (or its resumption) began.
    #[serde(rename = "samples/s")]
    pub samples_per_second: f64,
    /// Response tokens a second, likewise.
    #[serde(rename = "tokens/s")]
    pub tokens_per_second: f64,
    /// Seconds since the run (or its resumption) began.
    pub elapsed: f64,
}

/// One line of `completions.jsonl` in Stage 2: a question of a batch and all answers to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// The step it was asked in.
    pub step: usize,
    /// File name of the image.
    pub img_id: String,
    /// The entity in the text.
    pub entity: String,
    /// The right label.
    pub relation: String,
    /// What the model said, once for each member of the group.
    pub completions: Vec<Completion>,
}

/// One answer of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// As generated.
    pub text: String,
    /// What each rule gave it.
    pub rewards: BTreeMap<String, f64>,
    /// How much better than its group.
    pub advantage: f64,
}

/// Opens the log at `path` for more, without the lines behind `step` (a killed run may have written some).
///
/// # Errors
/// A file that cannot be written, or that another run writes.
pub fn open(path: &Path, step: usize) -> Result<Lines, Error> {
    #[derive(Deserialize)]
    struct Stepped {
        step: usize,
    }
    let (lines, _) = Lines::open(path, |line| {
        let line = serde_json::from_slice::<Stepped>(line).ok();
        Ok(line.filter(|line| line.step <= step))
    })?;
    Ok(lines)
}
