//! What became of questions, one line each time: requests about to be sent, what they took and brought, each on the disk before it counts,
//! and why other questions have no answer.
//! A line that a kill cut short is cut off; any other line that cannot be read stops the run, since it was paid for. One process writes at
//! a time.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Rejection, Usage};
use crate::Error;
use crate::lines::Lines;

/// A request about to be sent, one that has ended, or a question that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The question, [`super::Question::key`].
    pub key: String,
    /// Who was asked.
    pub model: String,
    /// What the expert wrote; absent where nothing arrived.
    pub answer: Option<String>,
    /// What it took; an estimate where the expert did not say; the most it may take where it is about to be sent.
    pub usage: Usage,
    /// It is about to be sent, and the next line of the question says what it took; without one it was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
    /// Why the question has no answer; only where it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
}

/// What a journal comes to.
#[derive(Debug, Default)]
pub struct History {
    /// Everything that was paid for, what did not arrive included.
    pub spent: Usage,
    /// The answers that arrived, by question.
    pub answers: HashMap<String, String>,
    /// Why other questions have none, as far as they were given up.
    pub failures: HashMap<String, Rejection>,
}

impl From<Vec<Entry>> for History {
    fn from(entries: Vec<Entry>) -> Self {
        let mut history = Self::default();
        let mut under_way = HashMap::new();
        for entry in entries {
            if entry.asked {
                let lost = under_way.insert(entry.key, entry.usage);
                history.spent += lost.unwrap_or_default();
                continue;
            }
            under_way.remove(&entry.key);
            history.spent += entry.usage;
            if let Some(answer) = entry.answer {
                history.answers.insert(entry.key, answer);
            } else if let Some(why) = entry.rejection {
                history.failures.insert(entry.key, why);
            }
        }
        for lost in under_way.into_values() {
            history.spent += lost;
        }
        history
    }
}

/// The file, open for more.
#[derive(Debug)]
pub struct Journal(Lines);

impl Journal {
    /// Opens the journal at `path`, new where there is none, and gives what it holds.
    ///
    /// # Errors
    /// A file that cannot be read, that another process writes, or that holds a line of something else.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), Error> {
        let (lines, entries) = Lines::open(path, entry(path))?;
        Ok((Self(lines), entries))
    }

    /// What the journal at `path` holds; it stays as it is.
    ///
    /// # Errors
    /// A file that cannot be read or holds a line of something else.
    pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
        Lines::read(path, entry(path))
    }

    /// Puts `entry` on the disk.
    ///
    /// # Errors
    /// A disk that does not take it; what it took of the line is cut off when the journal is opened again.
    pub fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        self.0.append(std::slice::from_ref(entry))?;
        self.0.sync()
    }
}

/// Reads the lines of the journal at `path`, one after another.
fn entry(path: &Path) -> impl FnMut(&[u8]) -> Result<Option<Entry>, Error> {
    let mut number = 0;
    move |line| {
        number += 1;
        let entry = serde_json::from_slice(line).map_err(|error| Error::Config {
            path: path.to_owned(),
            reason: format!("line {number} is no answer of an expert: {error}"),
        })?;
        Ok(Some(entry))
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::annotate::Reason;

    fn entry(key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            model: "expert".to_owned(),
            answer: Some("<think>\n…".to_owned()),
            usage: Usage {
                prompt_tokens: 3,
                completion_tokens: 4,
            },
            asked: false,
            rejection: None,
        }
    }

    #[test]
    fn a_journal_comes_to_answers_and_reasons() {
        let failed = |key: &str, detail: &str| Entry {
            answer: None,
            rejection: Some(Rejection::new(Reason::Refused, detail)),
            ..entry(key)
        };
        let lost = Entry {
            answer: None,
            ..entry("c")
        };
        let entries = [entry("a"), failed("b", "no"), lost, failed("b", "still no")];
        // What is written can be read, also by those who knew no reasons.
        let lines = entries
            .iter()
            .map(|it| serde_json::to_string(it).expect("plain data"));
        let lines: Vec<String> = lines.collect();
        assert!(
            !lines[0].contains("rejection")
                && !lines[0].contains("asked")
                && lines[1].contains("\"refused\""),
            "{lines:?}"
        );
        let read = lines
            .iter()
            .map(|it| serde_json::from_str(it).expect("an entry"));
        let history = History::from(read.collect::<Vec<Entry>>());
        assert_eq!(history.spent.prompt_tokens, 12);
        assert_eq!(history.answers.len(), 1);
        assert_eq!(history.failures.len(), 1);
        assert_eq!(history.failures["b"].detail, "still no");
    }

    #[test]
    fn a_request_without_an_end_was_lost() {
        let asked = |key: &str| Entry {
            answer: None,
            asked: true,
            ..entry(key)
        };
        let spent = |entries: &[Entry]| History::from(entries.to_vec()).spent.prompt_tokens;
        let free = Entry {
            answer: None,
            usage: Usage::default(),
            ..entry("a")
        };
        assert_eq!(spent(&[asked("a"), entry("a")]), 3, "it counts once");
        assert_eq!(spent(&[asked("a"), free, asked("a"), entry("a")]), 3);
        assert_eq!(spent(&[asked("a"), asked("b"), entry("b")]), 6, "a kill");
        assert_eq!(spent(&[asked("a"), asked("a"), entry("a")]), 6);
        let kept = History::from(vec![entry("a"), asked("a")]);
        assert_eq!((kept.answers.len(), kept.failures.len()), (1, 0));
    }

    #[test]
    fn a_torn_line_is_cut_wherever_it_broke() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).expect("a new file");
        journal.append(&entry("a")).expect("written");
        let first = std::fs::metadata(&path).expect("it is there").len();
        journal.append(&entry("b")).expect("written");
        drop(journal);
        let whole = std::fs::read(&path).expect("it is there");
        for end in first as usize..whole.len() {
            std::fs::write(&path, &whole[..end]).expect("a shorter file");
            assert_eq!(Journal::read(&path).expect("readable"), [entry("a")]);
            let (mut journal, entries) = Journal::open(&path).expect("readable");
            assert_eq!(entries, [entry("a")], "{end}");
            journal.append(&entry("b")).expect("written");
            assert_eq!(std::fs::read(&path).expect("it is there"), whole, "{end}");
        }
    }

    #[test]
    fn a_line_of_something_else_is_never_cut() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        std::fs::write(&path, "{\"relation\": \"none\"}\n").expect("a new file");
        let error = Journal::open(&path).expect_err("no journal").to_string();
        assert!(error.contains("line 1"), "{error}");
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 21);
    }

    #[test]
    fn a_journal_has_one_writer() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        let first = Journal::open(&path).expect("a new file");
        let error = Journal::open(&path).expect_err("a second writer");
        assert!(error.to_string().contains("another run"), "{error}");
        drop(first);
        Journal::open(&path).expect("nobody else any more");
    }
}
