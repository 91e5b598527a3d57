//! What the directory of a training run tells, while the run goes on and afterwards: metrics, configuration, sampled completions. Knows no
//! metric by name but the step; draws nothing and changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;
use crate::lines::Lines;
use crate::log::Sampled;
use crate::provenance::begun;

/// Questions whose completions are kept.
const SAMPLES: usize = 8;

/// A run as its files tell it.
#[derive(Debug, Clone, Default)]
pub struct RunDir {
    /// Every metric that is a number, by step.
    pub metrics: BTreeMap<String, BTreeMap<usize, f64>>,
    /// What it was begun with; empty where nothing says so.
    pub config: Map<String, Value>,
    /// The last questions with the completions sampled for them, eight at most.
    pub samples: Vec<Sampled>,
    /// Lines that could not be read, the last one not counted if it has no end yet.
    pub unread: usize,
}

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Line {
    step: usize,
    #[serde(flatten)]
    values: BTreeMap<String, Value>,
}

impl RunDir {
    /// Reads what is there.
    ///
    /// # Errors
    /// A folder that is not there or has no metrics, files that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let wrong = |path: &Path, reason: &str| Error::Config {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        if !folder.is_dir() {
            return Err(wrong(folder, "no such folder"));
        }
        let mut run = Self::default();
        let path = folder.join("metrics.jsonl");
        let (lines, unread) = read_lines::<Line>(&path)?;
        run.unread += unread;
        for Line { step, values } in lines {
            for (name, value) in values {
                if let Some(value) = value.as_f64() {
                    run.metrics.entry(name).or_default().insert(step, value);
                }
            }
        }
        if run.metrics.is_empty() {
            return Err(wrong(&path, "no metrics there"));
        }
        let (mut samples, unread) = read_lines::<Sampled>(&folder.join("completions.jsonl"))?;
        run.samples = samples.split_off(samples.len().saturating_sub(SAMPLES));
        run.unread += unread;
        run.config = begun(folder)?.unwrap_or_default();
        Ok(run)
    }

    /// The last step with a metric.
    pub fn steps(&self) -> usize {
        let last = |points: &BTreeMap<usize, f64>| points.last_key_value().map(|(&step, _)| step);
        self.metrics.values().filter_map(last).max().unwrap_or(0)
    }
}

/// The lines of a file that can be read as such, and how many others it has. A file that is not there has no lines; a last line without
/// its end is still being written, or was when the run was killed.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, usize), Error> {
    if !path.exists() {
        return Ok((vec![], 0));
    }
    let mut unread = 0;
    let lines = Lines::read(path, |line| {
        let read = serde_json::from_slice(line).ok();
        unread += usize::from(read.is_none() && !line.trim_ascii().is_empty());
        Ok(Some(read))
    })?;
    Ok((lines.into_iter().flatten().collect(), unread))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::state::STATE;

    fn write(folder: &TempDir, name: &str, text: &str) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    #[test]
    fn torn_lines_are_passed_over_and_others_counted() {
        let folder = TempDir::new().expect("a folder for the test");
        let lines = "{\"step\":1,\"loss\":2.5,\"kl\":null}\nnot JSON\n\n\
            {\"step\":2,\"loss\":2.0,\"reward/format/mean\":1}\n{\"step\":3,\"lo";
        write(&folder, "metrics.jsonl", lines);
        let run = RunDir::read(folder.path()).expect("metrics are there");
        assert_eq!(run.unread, 1);
        assert_eq!(run.steps(), 2);
        let names: Vec<&str> = run.metrics.keys().map(String::as_str).collect();
        assert_eq!(names, ["loss", "reward/format/mean"]);
        assert!(
            run.metrics["loss"]
                .iter()
                .eq(&BTreeMap::from([(1, 2.5), (2, 2.0)]))
        );
        assert!(run.config.is_empty() && run.samples.is_empty());
    }

    #[test]
    fn the_newest_checkpoint_and_the_last_questions_count() {
        let folder = TempDir::new().expect("a folder for the test");
        write(&folder, "metrics.jsonl", "{\"step\":1,\"loss\":2.5}\n");
        for step in [9, 10] {
            let name = format!("checkpoint-{step}/{STATE}");
            write(
                &folder,
                &name,
                &format!("{{\"step\":{step},\"config\":{{\"seed\":{step}}}}}"),
            );
        }
        write(&folder, "checkpoint-11.tmp/trainer_state.json", "half");
        let sampled = |step: usize, entity: &str| {
            format!(
                "{{\"step\":{step},\"img_id\":\"a.png\",\"entity\":\"{entity}\",\"relation\":\"none\",\"completions\":\
                 [{{\"text\":\"<think>\",\"rewards\":{{\"format\":0.0}},\"advantage\":-1.5}}]}}\n"
            )
        };
        let lines = ["Ann", "Lee", "Finch"].map(|entity| sampled(3, entity));
        let later = (4..10).map(|step| sampled(step, "Kay"));
        let lines: String = lines.into_iter().chain(later).collect();
        write(&folder, "completions.jsonl", &lines);
        let run = RunDir::read(folder.path()).expect("metrics are there");
        assert_eq!(run.config["seed"], 10);
        let entities: Vec<&str> = run.samples.iter().map(|it| it.entity.as_str()).collect();
        assert_eq!(entities, [&["Lee", "Finch"][..], &["Kay"; 6]].concat());
        assert!(run.samples[0].completions[0].rewards["format"].abs() < 1e-12);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = TempDir::new().expect("a folder for the test");
        let error = |path: &Path| RunDir::read(path).expect_err("nothing to show").to_string();
        assert!(error(&folder.path().join("nowhere")).contains("nowhere: no such folder"));
        assert!(error(folder.path()).contains("metrics.jsonl: no metrics there"));
        write(&folder, "metrics.jsonl", "{\"step\":1,\"lo");
        assert!(error(folder.path()).contains("metrics.jsonl: no metrics there"));
    }
}
