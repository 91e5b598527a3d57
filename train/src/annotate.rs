//! Traces from an expert model: which questions there are, the journal of answers that were paid for, what they cost, and which of them
//! are fit to learn from. Opens no socket: the server's `annotate` asks.

mod filter;
mod journal;
mod ledger;

use std::collections::BTreeMap;
use std::path::Path;

use proto::{Ontology, Part, expert_prompt};
use serde::Serialize;

use crate::Error;
use crate::data::Record;
use crate::example::gold;
use crate::part;

pub use filter::{Lengths, Reason, Rejection, judge};
pub use journal::{Entry, History, Journal};
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
        let gold = gold(ontology, record).map_err(|why| Rejection::new(Reason::Record, why))?;
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
    /// Judges what `history` knows of the `questions` about all `records`, one each.
    pub fn new(
        ontology: &Ontology,
        lengths: Lengths,
        records: &[Record],
        questions: &[Result<Question<'_>, Rejection>],
        history: &History,
    ) -> Self {
        let mut sorted = Self::default();
        for (record, question) in records.iter().zip(questions) {
            let key = question.as_ref().map(|question| &question.key);
            let answer = key.ok().and_then(|key| history.answers.get(key));
            let judged = match (key, answer) {
                (Err(unusable), _) => Err(unusable.clone()),
                (Ok(_), Some(answer)) => judge(ontology, lengths, record, answer),
                (Ok(key), None) => {
                    let known = history.failures.get(key).cloned();
                    let unknown = || Rejection::new(Reason::Unanswered, "");
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
        let rejected = part::Part::lines(rejected, &self.rejected)?;
        let kept = part::Part::lines(kept, &self.kept)?;
        rejected.finish()?;
        kept.finish()
    }
}
