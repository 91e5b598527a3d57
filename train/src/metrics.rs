//! The scores of the MORE task: accuracy over all, precision, recall and F1 over the relations without `none`.

use std::collections::BTreeMap;

use proto::{NONE, Ontology};
use serde::Serialize;

/// How often each relation was meant and said.
#[derive(Clone, Debug)]
pub struct Confusion {
    labels: Vec<String>,
    counts: Vec<Vec<usize>>, // [gold][said]; the last column is "no valid answer"
}

/// Scores of one relation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PerRelation {
    /// Right ones among those said.
    pub precision: f64,
    /// Right ones among those meant.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// How often it was meant.
    pub support: usize,
    /// How often it was said.
    pub predicted: usize,
}

/// Scores over all records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Right answers among all, `none` included.
    pub accuracy: f64,
    /// Micro precision without `none`.
    pub precision: f64,
    /// Micro recall without `none`.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub micro_f1: f64,
    /// Mean F1 of the relations without `none` that occur.
    pub macro_f1: f64,
    /// Every relation by itself.
    pub per_relation: BTreeMap<String, PerRelation>,
    /// `confusion[gold][said]`, zeros left out; an answer that cannot be read is said `(invalid)`.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn harmonic(a: f64, b: f64) -> f64 {
    if a + b == 0.0 {
        0.0
    } else {
        2.0 * a * b / (a + b)
    }
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(ontology: &Ontology) -> Self {
        let labels: Vec<String> = ontology
            .labels
            .iter()
            .map(|label| label.name.clone())
            .collect();
        Self {
            counts: vec![vec![0; labels.len() + 1]; labels.len()],
            labels,
        }
    }

    /// Counts an answer; `None` is one that could not be read. Returns whether the ontology knows `gold`.
    pub fn count(&mut self, gold: &str, said: Option<&str>) -> bool {
        let index = |name: &str| self.labels.iter().position(|label| label == name);
        let Some(gold) = index(gold) else {
            return false;
        };
        let said = said.and_then(index).unwrap_or(self.labels.len());
        self.counts[gold][said] += 1;
        true
    }

    /// The scores of what was counted.
    pub fn scores(&self) -> Scores {
        let n = self.labels.len();
        let total: usize = self.counts.iter().flatten().sum();
        let right: usize = (0..n).map(|i| self.counts[i][i]).sum();
        let meant = |i: usize| self.counts[i].iter().sum::<usize>();
        let said = |j: usize| (0..n).map(|i| self.counts[i][j]).sum::<usize>();
        let positives: Vec<usize> = (0..n).filter(|&i| self.labels[i] != NONE).collect();
        let hits: usize = positives.iter().map(|&i| self.counts[i][i]).sum();
        let precision = ratio(hits, positives.iter().map(|&i| said(i)).sum());
        let recall = ratio(hits, positives.iter().map(|&i| meant(i)).sum());
        let per_relation: BTreeMap<String, PerRelation> = (0..n)
            .map(|i| {
                let (precision, recall) = (
                    ratio(self.counts[i][i], said(i)),
                    ratio(self.counts[i][i], meant(i)),
                );
                let f1 = harmonic(precision, recall);
                (
                    self.labels[i].clone(),
                    PerRelation {
                        precision,
                        recall,
                        f1,
                        support: meant(i),
                        predicted: said(i),
                    },
                )
            })
            .collect();
        let occurring: Vec<f64> = per_relation
            .iter()
            .filter(|(name, scores)| *name != NONE && scores.support > 0)
            .map(|(_, scores)| scores.f1)
            .collect();
        let name = |j: usize| {
            self.labels
                .get(j)
                .map_or("(invalid)", String::as_str)
                .to_owned()
        };
        let row = |i: usize| {
            (0..=n)
                .filter(|&j| self.counts[i][j] > 0)
                .map(|j| (name(j), self.counts[i][j]))
                .collect()
        };
        Scores {
            accuracy: ratio(right, total),
            precision,
            recall,
            micro_f1: harmonic(precision, recall),
            macro_f1: if occurring.is_empty() {
                0.0
            } else {
                occurring.iter().sum::<f64>() / occurring.len() as f64
            },
            confusion: (0..n)
                .filter(|&i| meant(i) > 0)
                .map(|i| (self.labels[i].clone(), row(i)))
                .collect(),
            per_relation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_no_positive() {
        let mut confusion = Confusion::new(Ontology::more());
        for (gold, said) in [
            ("none", Some("none")),
            ("none", Some("/per/org/member_of")),
            ("/per/org/member_of", Some("/per/org/member_of")),
            ("/per/org/member_of", Some("none")),
            ("/per/org/leader_of", None),
        ] {
            assert!(confusion.count(gold, said));
        }
        assert!(!confusion.count("/per/org/unheard_of", None));
        let scores = confusion.scores();
        assert!((scores.accuracy - 2.0 / 5.0).abs() < 1e-12);
        assert!((scores.precision - 1.0 / 2.0).abs() < 1e-12); // one of two non-none answers is right
        assert!((scores.recall - 1.0 / 3.0).abs() < 1e-12); // one of three non-none records is found
        assert!((scores.micro_f1 - 0.4).abs() < 1e-12);
        assert!((scores.macro_f1 - (2.0 * 0.5 * 0.5 / 1.0) / 2.0).abs() < 1e-12);
        assert_eq!(scores.confusion["/per/org/leader_of"]["(invalid)"], 1);
    }
}
