//! What long asking has got so far, on disk: a head that says who answers what, then one line a record, in the records' order. It outlives
//! the run, and another run goes on behind its last whole line. Asks nobody and judges nothing.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::lines::Lines;

/// Everything that decides the answers. A journal under another head is not gone on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Digest of the weights.
    pub model: String,
    /// The number format they compute in.
    pub dtype: String,
    /// The order of the prompt.
    pub template: String,
    /// Longer prompts are refused.
    pub max_prompt_tokens: usize,
    /// Longer answers are cut.
    pub max_answer_tokens: usize,
    /// Digest of the relations.
    pub ontology: String,
    /// Digest of the file of records.
    pub data: String,
    /// Records to answer, from its front.
    pub records: usize,
}

impl Head {
    /// What of it is another than in `found`.
    fn difference(&self, found: &Self) -> Option<&'static str> {
        let pairs = [
            ("model", self.model != found.model),
            ("number format", self.dtype != found.dtype),
            ("order of the prompt", self.template != found.template),
            (
                "longest prompt",
                self.max_prompt_tokens != found.max_prompt_tokens,
            ),
            (
                "longest answer",
                self.max_answer_tokens != found.max_answer_tokens,
            ),
            ("ontology", self.ontology != found.ontology),
            ("file of records", self.data != found.data),
            ("number of records", self.records != found.records),
        ];
        let pair = pairs.into_iter().find(|(_, differs)| *differs);
        pair.map(|(name, _)| name)
    }

    /// Whether the first line of the journal at `path` is the same head.
    fn check(&self, path: &Path, line: &[u8]) -> Result<(), Error> {
        let fault = |reason: String| Error::Config {
            path: path.to_owned(),
            reason,
        };
        let found: Self = serde_json::from_slice(line)
            .map_err(|error| fault(format!("is no journal of answers: {error}")))?;
        let Some(name) = self.difference(&found) else {
            return Ok(());
        };
        Err(fault(format!(
            "was begun with another {name}: give the one it was begun with, or remove the folder"
        )))
    }
}

/// What the model said of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Of the records, from 0.
    pub row: usize,
    /// The label, if the answer could be read.
    pub said: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The model was not asked: it refuses such a question.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

/// An open journal.
pub(crate) struct Journal(Lines);

impl Journal {
    /// Opens the journal at `path`, or begins it, and tells what it holds. A line cut short by an interruption is dropped.
    ///
    /// # Errors
    /// A file that cannot be read or written, one that is no journal, one with another head.
    pub fn open(path: &Path, head: &Head) -> Result<(Self, Vec<Line>), Error> {
        let mut rows = None; // once the head is read
        let (lines, found) = Lines::open(path, |text| {
            let Some(row) = &mut rows else {
                head.check(path, text)?;
                rows = Some(0);
                return Ok(Some(None));
            };
            let line = serde_json::from_slice::<Line>(text).ok();
            let line = line.filter(|line| line.row == *row && line.row < head.records);
            *row += 1;
            Ok(line.map(Some))
        })?;
        let mut journal = Self(lines);
        if rows.is_none() {
            journal.write(std::slice::from_ref(head))?;
        }
        Ok((journal, found.into_iter().flatten().collect()))
    }

    /// Adds lines in one piece: they are in the file when it returns.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write<T: Serialize>(&mut self, lines: &[T]) -> Result<(), Error> {
        self.0.append(lines)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn head() -> Head {
        Head {
            model: "a".to_owned(),
            dtype: "f32".to_owned(),
            template: "prefix".to_owned(),
            max_prompt_tokens: 4096,
            max_answer_tokens: 1024,
            ontology: "b".to_owned(),
            data: "c".to_owned(),
            records: 3,
        }
    }

    fn line(row: usize) -> Line {
        Line {
            row,
            said: (row != 1).then(|| "none".to_owned()),
            fault: (row == 1).then(|| "too long".to_owned()),
            refused: row == 1,
        }
    }

    #[test]
    fn goes_on_behind_the_last_whole_line() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        let (mut journal, lines) = Journal::open(&path, &head()).expect("a new file");
        assert_eq!(lines, []);
        journal.write(&[line(0), line(1)]).expect("writable");
        let whole = std::fs::read(&path).expect("written");
        journal.write(&[line(2)]).expect("writable");
        let all = std::fs::read(&path).expect("written");
        drop(journal);
        // Wherever it is cut, the whole lines before are kept, and the rest brings back the same file.
        for length in 0..=all.len() {
            std::fs::write(&path, &all[..length]).expect("writable");
            let (mut journal, lines) = Journal::open(&path, &head()).expect("torn, not foreign");
            assert!(lines.iter().eq(&[line(0), line(1), line(2)][..lines.len()]));
            assert!(length < whole.len() || lines.len() >= 2, "{length}");
            let rest: Vec<Line> = (lines.len()..3).map(line).collect();
            journal.write(&rest).expect("writable");
            assert_eq!(std::fs::read(&path).expect("written"), all, "{length}");
        }
        // What is behind a line that is none is not to be trusted.
        let mut broken = whole.clone();
        broken.extend(b"\0\0\0\n{\"row\":2,\"said\":\"none\"}\n");
        std::fs::write(&path, broken).expect("writable");
        let (_, lines) = Journal::open(&path, &head()).expect("torn, not foreign");
        assert_eq!(lines.len(), 2);
        assert_eq!(std::fs::read(&path).expect("written"), whole);
    }

    #[test]
    fn another_head_is_named() {
        type Change = fn(&mut Head);
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        Journal::open(&path, &head()).expect("a new file");
        let changes: [(&str, Change); 8] = [
            ("model", |head| head.model.push('x')),
            ("number format", |head| head.dtype.push('x')),
            ("order of the prompt", |head| head.template.push('x')),
            ("longest prompt", |head| head.max_prompt_tokens += 1),
            ("longest answer", |head| head.max_answer_tokens += 1),
            ("ontology", |head| head.ontology.push('x')),
            ("file of records", |head| head.data.push('x')),
            ("number of records", |head| head.records += 1),
        ];
        for (name, change) in changes {
            let mut other = head();
            change(&mut other);
            let error = Journal::open(&path, &other).err().expect("another head");
            let text = format!("another {name}:");
            assert!(error.to_string().contains(&text), "{error}");
        }
        std::fs::write(&path, "{\"row\":0}\n").expect("writable");
        let error = Journal::open(&path, &head()).err().expect("no head");
        assert!(error.to_string().contains("no journal"), "{error}");
    }
}
