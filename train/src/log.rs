//! What a run tells while it goes on: files of JSON lines, each with its step, under the names people know.

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
    /// Rate of this step.
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
