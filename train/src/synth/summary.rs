//! What a corpus holds, counted while it is written.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::data::Record;

/// Counts of one split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SplitSummary {
    /// Pictures.
    pub images: usize,
    /// Records.
    pub facts: usize,
    /// Records by label.
    pub labels: BTreeMap<String, usize>,
}

/// Counts of a corpus.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// By split.
    pub splits: BTreeMap<String, SplitSummary>,
    /// Different words over all texts and traces, punctuation stripped.
    pub distinct_words: usize,
    /// Mean length of a trace in characters.
    pub mean_trace_chars: f64,
    /// Length of the shortest trace in characters.
    pub min_trace_chars: usize,
    #[serde(skip)]
    words: BTreeSet<String>,
    #[serde(skip)]
    trace_chars: usize,
}

impl Summary {
    /// Counts the records of one more picture.
    pub(super) fn add(&mut self, split: &str, records: &[Record]) {
        let counts = self.splits.entry(split.to_owned()).or_default();
        counts.images += 1;
        counts.facts += records.len();
        for record in records {
            *counts.labels.entry(record.relation.clone()).or_default() += 1;
            let trace = record.trace.as_deref().unwrap_or_default();
            let length = trace.chars().count();
            self.trace_chars += length;
            if self.min_trace_chars == 0 || length < self.min_trace_chars {
                self.min_trace_chars = length;
            }
            for word in record
                .text
                .split_whitespace()
                .chain(trace.split_whitespace())
            {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric());
                if !self.words.contains(word) {
                    self.words.insert(word.to_owned());
                }
            }
        }
        self.distinct_words = self.words.len();
        let facts: usize = self.splits.values().map(|split| split.facts).sum();
        self.mean_trace_chars = self.trace_chars as f64 / facts.max(1) as f64;
    }
}
