//! The scores of the MORE task: accuracy over all, precision, recall and F1 over the relations without `none`.

use std::collections::BTreeMap;

use proto::{NONE, Ontology};
use serde::{Deserialize, Serialize};

/// How often each relation was meant and said.
#[derive(Clone, Debug)]
pub struct Confusion {
    labels: Vec<String>,
    counts: Vec<Vec<usize>>, // [gold][said]; the last column is "no valid answer"
}

/// Scores of one relation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// Answers between two probabilities of the label said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    answers: usize,
    right: usize,
    probability: f64,
}

/// Bins of equal width, as in Guo et al. 2017 (arXiv 1706.04599).
const BINS: usize = 15;

/// How far the probabilities of labels can be trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    bins: [Bin; BINS],
    squares: f64,
}

impl Reliability {
    /// Counts an answer: the `probabilities` of all labels, the label `said`, the `right` one.
    pub fn count(&mut self, probabilities: &[f64], said: usize, right: usize) {
        let sure = probabilities[said];
        let bin = &mut self.bins[((sure * BINS as f64) as usize).min(BINS - 1)];
        bin.answers += 1;
        bin.right += usize::from(said == right);
        bin.probability += sure;
        let truth = |label: usize| f64::from(u8::from(label == right));
        let labels = probabilities.iter().enumerate();
        self.squares += labels
            .map(|(label, p)| (p - truth(label)).powi(2))
            .sum::<f64>();
    }

    fn answers(&self) -> usize {
        self.bins.iter().map(|bin| bin.answers).sum()
    }

    /// Expected calibration error: the distance between how sure and how right the answers of a bin are, in the mean over answers.
    pub fn ece(&self) -> f64 {
        let distances = self
            .bins
            .iter()
            .map(|bin| (bin.right as f64 - bin.probability).abs());
        distances.sum::<f64>() / self.answers().max(1) as f64
    }

    /// Brier score: the squared distance of the probabilities from the truth, summed over labels; 0 is best, 2 worst.
    pub fn brier(&self) -> f64 {
        self.squares / self.answers().max(1) as f64
    }
}

/// A share of a whole; of nothing it is 0.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
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

    #[test]
    fn who_is_as_right_as_sure_is_calibrated() {
        let (mut honest, mut boastful) = (Reliability::default(), Reliability::default());
        for index in 0..10 {
            let right = usize::from(index >= 8); // label 0 is right eight times in ten
            honest.count(&[0.8, 0.2], 0, right);
            boastful.count(&[1.0, 0.0], 0, right);
        }
        assert!(honest.ece().abs() < 1e-12, "{}", honest.ece());
        assert!((boastful.ece() - 0.2).abs() < 1e-12, "{}", boastful.ece());
        // 8 · 2 · 0.2² + 2 · 2 · 0.8² over 10, and 2 · 2 · 1² over 10.
        assert!((honest.brier() - 0.32).abs() < 1e-12, "{}", honest.brier());
        assert!(
            (boastful.brier() - 0.4).abs() < 1e-12,
            "{}",
            boastful.brier()
        );
    }
}
