//! Traces from an expert model: which questions there are, the journal of answers that were paid for, what they cost, and which of them
//! are fit to learn from. Opens no socket: the server's `annotate` asks.

mod filter;
mod journal;
mod ledger;

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, rename};
use std::io::{BufWriter, Write};
use std::path::Path;

use proto::{Ontology, Part, expert_prompt};
use serde::Serialize;

use crate::Error;
use crate::data::Record;

pub use filter::{Lengths, Reason, Rejection, judge};
pub use journal::{Entry, Journal};
pub use ledger::{Ledger, Prices, Reservation, Usage, Verdict};

/// What the expert is asked about one record.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The record.
    pub record: &'a Record,
    /// What is asked, around the places of photo and crop.
    pub parts: Vec<Part>,
    /// Names the question in the journal: records that ask the same share an answer.
    pub key: String,
}

impl<'a> Question<'a> {
    /// The question about `record`; other words or another record make another key.
    ///
    /// # Errors
    /// A label that the ontology does not have.
    pub fn new(ontology: &Ontology, record: &'a Record) -> Result<Self, Rejection> {
        let gold = ontology.find(&record.relation).ok_or_else(|| {
            Rejection::new(
                Reason::Record,
                format!("{:?} is not a label of the ontology", record.relation),
            )
        })?;
        let parts = expert_prompt(ontology, &record.text, &record.entity(), gold);
        let mut hasher = blake3::Hasher::new();
        for part in &parts {
            match part {
                Part::Text(text) => hasher.update(text.as_bytes()),
                Part::Image => hasher.update(&[0]), // no text holds it
            };
        }
        let shown = serde_json::to_vec(&(&record.img_id, record.bbox())).expect("plain data");
        hasher.update(&shown);
        Ok(Self {
            record,
            parts,
            key: hasher.finalize().to_hex().to_string(),
        })
    }
}

/// What became of every record.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Records with their traces.
    pub kept: Vec<Record>,
    /// The others.
    pub rejected: Vec<Rejected>,
}

/// A record that is not learned from.
#[derive(Debug, Serialize)]
pub struct Rejected {
    /// Why.
    #[serde(flatten)]
    pub why: Rejection,
    /// What the expert wrote, if it wrote anything.
    pub answer: Option<String>,
    /// The record as it was.
    pub record: Record,
}

impl Sorted {
    /// Judges the answers to all `records`, by the keys of their questions; for records without an answer, `failures` may know why.
    pub fn new(
        ontology: &Ontology,
        lengths: Lengths,
        records: &[Record],
        answers: &HashMap<String, String>,
        failures: &HashMap<String, Rejection>,
    ) -> Self {
        let mut sorted = Self::default();
        for record in records {
            let question = Question::new(ontology, record);
            let answer = question.as_ref().ok().and_then(|it| answers.get(&it.key));
            let judged = match (question, answer) {
                (Err(unusable), _) => Err(unusable),
                (Ok(_), Some(answer)) => judge(ontology, lengths, record, answer),
                (Ok(question), None) => {
                    let known = failures.get(&question.key).cloned();
                    let unknown = || Rejection::new(Reason::Unanswered, String::new());
                    Err(known.unwrap_or_else(unknown))
                }
            };
            match judged {
                Ok(trace) => sorted.kept.push(Record {
                    trace: Some(trace),
                    ..record.clone()
                }),
                Err(why) => sorted.rejected.push(Rejected {
                    why,
                    answer: answer.cloned(),
                    record: record.clone(),
                }),
            }
        }
        sorted
    }

    /// How many were rejected for which reason.
    pub fn counts(&self) -> BTreeMap<Reason, usize> {
        let mut counts = BTreeMap::new();
        for rejected in &self.rejected {
            *counts.entry(rejected.why.reason).or_default() += 1;
        }
        counts
    }

    /// Writes both files; each is there whole or as it was before.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, kept: &Path, rejected: &Path) -> Result<(), Error> {
        write_lines(rejected, &self.rejected)?;
        write_lines(kept, &self.kept)
    }
}

/// One JSON object a line, written beside and renamed.
fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> Result<(), Error> {
    let part = path.with_added_extension("part");
    let write = || {
        let mut file = BufWriter::new(File::create(&part)?);
        for line in lines {
            serde_json::to_writer(&mut file, line)?;
            file.write_all(b"\n")?;
        }
        file.into_inner()?.sync_all()
    };
    write().map_err(Error::io(&part))?;
    rename(&part, path).map_err(Error::io(path))
}
