//! What the directory of a training run tells, while the run goes on and afterwards: metrics, configuration, sampled completions. Knows no
//! metric by name but the step; draws nothing and changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;
use crate::state::{STATE, checkpoints};

/// A run as its files tell it.
#[derive(Debug, Clone, Default)]
pub struct RunDir {
    /// Every metric that is a number, by step.
    pub metrics: BTreeMap<String, BTreeMap<usize, f64>>,
    /// What the newest checkpoint was made with; empty before the first.
    pub config: Map<String, Value>,
    /// Questions with the completions sampled for them, those of the last step only.
    pub samples: Vec<Sampled>,
    /// Lines that could not be read, the last one not counted if it has no end yet.
    pub unread: usize,
}

/// A question of a rollout.
#[derive(Debug, Clone, PartialEq, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Completion {
    /// As generated.
    pub text: String,
    /// As the run wrote them: by name, or in an order of its own.
    #[serde(default)]
    pub rewards: Value,
    /// How much better than its group.
    pub advantage: Option<f64>,
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
        let metrics = folder.join("metrics.jsonl");
        run.unread += each_line(&metrics, |line: Line| {
            for (name, value) in line.values {
                if let Some(value) = value.as_f64() {
                    run.metrics
                        .entry(name)
                        .or_default()
                        .insert(line.step, value);
                }
            }
        })?;
        if run.metrics.is_empty() {
            return Err(wrong(&metrics, "no metrics there"));
        }
        run.unread += each_line(&folder.join("completions.jsonl"), |sampled: Sampled| {
            let last = run.samples.last().map(|last| last.step);
            if last.is_some_and(|step| step != sampled.step) {
                run.samples.clear();
            }
            run.samples.push(sampled);
        })?;
        run.config = config(folder)?;
        Ok(run)
    }

    /// The last step with a metric.
    pub fn steps(&self) -> usize {
        let last = |points: &BTreeMap<usize, f64>| points.last_key_value().map(|(&step, _)| step);
        self.metrics.values().filter_map(last).max().unwrap_or(0)
    }
}

/// Calls `take` with every line of a file that can be read as one, and tells how many others it has. A file that is not there has no
/// lines; a last line without its end is still being written, or was when the run was killed.
fn each_line<T: DeserializeOwned>(path: &Path, mut take: impl FnMut(T)) -> Result<usize, Error> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        file => file.map_err(Error::io(path))?,
    };
    let (mut lines, mut line, mut unread) = (BufReader::new(file), vec![], 0);
    while lines
        .read_until(b'\n', &mut line)
        .map_err(Error::io(path))?
        > 0
    {
        match serde_json::from_slice(&line) {
            Ok(item) => take(item),
            Err(_) if line.trim_ascii().is_empty() || !line.ends_with(b"\n") => {}
            Err(_) => unread += 1,
        }
        line.clear();
    }
    Ok(unread)
}

/// What the newest checkpoint says that it was made with.
fn config(folder: &Path) -> Result<Map<String, Value>, Error> {
    let Some((_, newest)) = checkpoints(folder)?.pop() else {
        return Ok(Map::new());
    };
    let path = newest.join(STATE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let mut state: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
        let reason = error.to_string();
        Error::Config { path, reason }
    })?;
    match state.remove("config") {
        Some(Value::Object(config)) => Ok(config),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

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
    fn the_newest_checkpoint_and_the_last_step_count() {
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
        let lines = [sampled(4, "Ann"), sampled(5, "Lee"), sampled(5, "Finch")];
        write(&folder, "completions.jsonl", &lines.concat());
        let run = RunDir::read(folder.path()).expect("metrics are there");
        assert_eq!(run.config["seed"], 10);
        let entities: Vec<&str> = run.samples.iter().map(|it| it.entity.as_str()).collect();
        assert_eq!(entities, ["Lee", "Finch"]);
        assert_eq!(run.samples[0].completions[0].rewards["format"], 0.0);
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
