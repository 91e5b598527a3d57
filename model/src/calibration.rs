//! From the scores of labels to probabilities that can be trusted: one temperature, fitted on answers whose truth is known
//! (Guo et al. 2017, arXiv 1706.04599). Scores nothing itself.

use serde::{Deserialize, Serialize};

use crate::{Error, Files};

/// The file beside the weights.
pub const FILE: &str = "calibration.json";

/// Temperatures that are tried; a fit at either end is no fit.
const RANGE: [f64; 2] = [0.05, 50.0];

/// How scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Scores are divided by it; 1 leaves them as the model gives them.
    pub temperature: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl Calibration {
    /// The calibration of a checkpoint; that of a checkpoint without one changes nothing.
    ///
    /// # Errors
    /// A file that is no calibration.
    pub fn open(files: &Files) -> Result<Self, Error> {
        let Some(value) = files.json(FILE)? else {
            return Ok(Self::default());
        };
        let read: Self =
            serde_json::from_value(value).map_err(|error| Error::bad(FILE, error.to_string()))?;
        if read.temperature.is_finite() && read.temperature > 0.0 {
            Ok(read)
        } else {
            Err(Error::bad(FILE, "the temperature has to be above 0"))
        }
    }

    /// The probabilities of labels with these log-probabilities, summing to 1.
    pub fn probabilities(self, scores: &[f32]) -> Vec<f64> {
        let scaled = |score: &f32| f64::from(*score) / self.temperature;
        let highest = scores.iter().map(scaled).fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = scores
            .iter()
            .map(|it| (scaled(it) - highest).exp())
            .collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// The temperature under which the right labels are most probable; `answers` are the scores of all labels and the index of the
    /// right one. Nothing if there is no such temperature: without answers, or when all are right or wrong.
    pub fn fit(answers: &[(Vec<f32>, usize)]) -> Option<Self> {
        if answers.is_empty() {
            return None;
        }
        let surprise = |log: f64| {
            let calibration = Self {
                temperature: log.exp(),
            };
            let one = |(scores, right): &(Vec<f32>, usize)| {
                -calibration.probabilities(scores)[*right]
                    .max(f64::MIN_POSITIVE)
                    .ln()
            };
            answers.iter().map(one).sum::<f64>()
        };
        let [mut low, mut high] = RANGE.map(f64::ln);
        // The surprise has one valley over the logarithm of the temperature: halve in on it by thirds.
        while high - low > 1e-4 {
            let third = (high - low) / 3.0;
            if surprise(low + third) <= surprise(high - third) {
                high -= third;
            } else {
                low += third;
            }
        }
        let temperature = f64::midpoint(low, high).exp();
        let [least, most] = RANGE;
        (least * 1.01..most / 1.01)
            .contains(&temperature)
            .then_some(Self { temperature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_keep_their_order() {
        for temperature in [0.1, 1.0, 7.0] {
            let it = Calibration { temperature }.probabilities(&[-1.0, -200.0, -0.5]);
            assert!((it.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(it[2] > it[0] && it[0] > it[1], "{it:?}");
        }
    }

    #[test]
    fn a_model_too_sure_of_itself_is_cooled_down() {
        // Always 99 % sure, right in 80 % of the answers.
        let scores = vec![0.99_f32.ln(), 0.01_f32.ln()];
        let answers: Vec<_> = (0..100)
            .map(|i| (scores.clone(), usize::from(i >= 80)))
            .collect();
        let it = Calibration::fit(&answers).expect("a temperature");
        let sure = it.probabilities(&scores)[0];
        assert!((sure - 0.8).abs() < 1e-3, "{it:?}: {sure}");
        assert_eq!(Calibration::fit(&[]), None);
        assert_eq!(
            Calibration::fit(&answers[..80]),
            None,
            "always right: no temperature is low enough"
        );
    }
}
