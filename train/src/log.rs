//! What a run tells while it goes on: files of JSON lines, each with its step, under the names people know, and the same numbers for
//! `TensorBoard`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::events::Events;
use crate::lines::Lines;

/// In the folder of a run: one line a logged step.
pub(crate) const METRICS: &str = "metrics.jsonl";

/// One line of `metrics.jsonl` in Stage 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Optimizer steps done.
    pub step: usize,
    /// Passes over the records.
    pub epoch: f64,
    /// Nats a response token, over the steps since the last line.
    pub loss: f64,
    /// Rate of this step; lines of earlier versions call it `learning_rate`.
    #[serde(alias = "learning_rate")]
    pub lr: f64,
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

/// Sums over the records of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Nats.
    pub loss: f64,
    /// Response tokens, each counted by its weight.
    pub tokens: f64,
    /// Records.
    pub records: f64,
}

impl Sums {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.tokens += other.tokens;
        self.records += other.records;
    }
}

/// The metrics of a run: `metrics.jsonl`, and `TensorBoard`'s events beside it.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
    events: Events,
}

impl Log {
    /// Goes on in `run_dir` after `step` steps.
    ///
    /// # Errors
    /// As [`open`].
    pub fn after(run_dir: &Path, step: usize) -> Result<Self, Error> {
        Ok(Self {
            lines: open(&run_dir.join(METRICS), step)?,
            events: Events::after(run_dir, step),
        })
    }

    /// Adds a line: an object with its `step`. What of it is no number says nothing to `TensorBoard`.
    ///
    /// # Errors
    /// A disk that does not take it.
    ///
    /// # Panics
    /// When it is no such object.
    pub fn append(&mut self, line: &impl Serialize) -> Result<(), Error> {
        self.lines.append(std::slice::from_ref(line))?;
        let line = serde_json::to_value(line).expect("a line is plain data");
        let step = line["step"].as_u64().expect("a line has its step");
        let numbers = line.as_object().into_iter().flatten();
        let scalars = numbers.filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)));
        self.events
            .append(step as usize, scalars.filter(|(name, _)| *name != "step"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_they_were_written() {
        let sums = Sums {
            loss: 1.0 / 3.0 + 1e3,
            tokens: 5e-324,
            records: 122_416_294_033_786_585.0, // serde_json's own reader has missed numbers of this length
        };
        let text = serde_json::to_string(&sums).expect("plain data");
        let read: Sums = serde_json::from_str(&text).expect("our own text");
        assert_eq!(read, sums);
    }

    #[test]
    fn lines_of_earlier_versions_are_read() {
        let line = "{\"step\":1,\"epoch\":0.1,\"loss\":5.5,\"learning_rate\":0.001,\"grad_norm\":1.0,\"samples/s\":3.0,\
            \"tokens/s\":700.0,\"elapsed\":2.0}";
        let line: Metrics = serde_json::from_str(line).expect("the same but for a name");
        assert!((line.lr - 0.001).abs() < 1e-12);
    }
}
