//! What a run tells while it goes on: files of JSON lines, each with its step, under the names people know.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

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

/// Opens the log at `path` for appending, without the lines behind `step` (a killed run may have written some).
///
/// # Errors
/// A file that cannot be written.
pub fn open(path: &Path, step: usize) -> Result<File, Error> {
    #[derive(Deserialize)]
    struct Stepped {
        step: usize,
    }
    let kept: Vec<String> = match File::open(path) {
        Ok(file) => BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .filter(|line| {
                serde_json::from_str::<Stepped>(line).is_ok_and(|line| line.step <= step)
            })
            .collect(),
        Err(_) => vec![],
    };
    let mut text = kept.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    std::fs::write(path, text).map_err(Error::io(path))?;
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(Error::io(path))
}
