//! Evaluations within a run, on records that it does not learn from: which checkpoint is the best so far, and when nothing better is
//! to be expected. Writes no weights; `state.rs` keeps what is the best.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use model::calibration::Calibration;
use model::engine::Settings;
use model::lora::merge;
use model::{Extractor, Options};
use proto::{Ontology, Template};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::{Record, read_records};
use crate::eval::{self, EvalOptions};
use crate::example::{Examples, check_labels, object, read_photo};
use crate::loss::{response_loss, weights};
use crate::optim::plain;

/// `[evaluation]` of a configuration; names are those of Hugging Face's trainer where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Optimizer steps between evaluations.
    pub eval_steps: usize,
    /// What the best checkpoint has the most of; of the loss the least.
    #[serde(default)]
    pub metric_for_best_model: Metric,
    /// The run ends after so many evaluations in a row that found nothing better; without it with its last step.
    pub early_stopping_patience: Option<usize>,
    /// At most so many records of `data.dev`, from the front; all without.
    pub eval_records: Option<usize>,
    /// Records answered together.
    #[serde(default = "eight")]
    pub eval_batch_size: usize,
}

impl Evaluation {
    /// Without where the run stops early, which changes nothing of what it computes until then.
    #[must_use]
    pub(crate) fn essence(self) -> Self {
        Self {
            early_stopping_patience: None,
            ..self
        }
    }
}

fn eight() -> usize {
    8
}

/// What a checkpoint is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Micro F1 without `none`, of answers that the engine gives.
    #[default]
    F1,
    /// The share of right answers among all.
    Accuracy,
    /// Nats a response token; of Stage 1 only. Nothing is answered.
    Loss,
}

impl Metric {
    /// Its name, here and behind `eval/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "f1",
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        }
    }

    /// Whether `new` is better than `old`.
    fn better(self, new: f64, old: f64) -> bool {
        match self {
            Self::F1 | Self::Accuracy => new > old,
            Self::Loss => new < old,
        }
    }
}

/// The best evaluation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Of the checkpoint.
    pub step: usize,
    /// What it was judged by.
    pub metric: Metric,
    /// How much it had.
    pub value: f64,
}

/// How the evaluations of a run went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The best, the first of equals.
    pub best: Option<Best>,
    /// Evaluations behind it.
    pub since_best: usize,
}

impl Standing {
    /// Counts an evaluation; tells whether it is the best so far.
    pub fn note(&mut self, new: Best) -> bool {
        let better = new.value.is_finite()
            && self
                .best
                .is_none_or(|best| new.metric.better(new.value, best.value));
        if better {
            self.best = Some(new);
            self.since_best = 0;
        } else {
            self.since_best += 1;
        }
        better
    }

    /// Whether `evaluation` has no patience left.
    pub fn exhausted(&self, evaluation: Option<&Evaluation>) -> bool {
        let patience = evaluation.and_then(|it| it.early_stopping_patience);
        patience.is_some_and(|patience| self.since_best >= patience)
    }
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    step: usize,
    #[serde(flatten)]
    values: BTreeMap<String, f64>,
}

/// Whoever evaluates a run.
#[derive(Debug)]
pub struct Watch<'a> {
    evaluation: &'a Evaluation,
    data: PathBuf,
    records: Vec<Record>,
    template: Template,
}

impl<'a> Watch<'a> {
    /// Nobody where there is no `evaluation`. Reads the records at `data` of photos in `images`, whose labels `ontology` has to know; they
    /// are asked in the order of `template`.
    ///
    /// # Errors
    /// Records or photos that cannot be read, labels that are not known; a file without records.
    pub fn open(
        evaluation: Option<&'a Evaluation>,
        data: Option<&Path>,
        images: &Path,
        ontology: &Ontology,
        template: Template,
    ) -> Result<Option<Self>, Error> {
        let Some((evaluation, data)) = evaluation.zip(data) else {
            return Ok(None);
        };
        let mut records = read_records(data)?;
        records.truncate(evaluation.eval_records.unwrap_or(usize::MAX));
        // Better known before the first step than behind many.
        check_labels(ontology, &records)?;
        let seen = |record: &Record| object(record, &read_photo(images, record)?).map(drop);
        records.par_iter().try_for_each(seen)?;
        if records.is_empty() {
            let reason = "data.dev has no records to evaluate on".to_owned();
            return Err(Error::config(data)(reason));
        }
        Ok(Some(Self {
            evaluation,
            data: data.to_owned(),
            records,
            template,
        }))
    }

    /// Whether there is an evaluation after `step` steps.
    pub fn due(&self, step: usize) -> bool {
        step.is_multiple_of(self.evaluation.eval_steps)
    }

    /// Evaluates what `examples` are made for, after `step` steps: all numbers, and the one that counts.
    ///
    /// # Errors
    /// Images that cannot be read; labels that the ontology lacks.
    pub fn evaluate(&self, step: usize, examples: Examples<'_>) -> Result<(Line, Best), Error> {
        let metric = self.evaluation.metric_for_best_model;
        let values = match metric {
            Metric::Loss => vec![(Metric::Loss, self.loss(examples)?)],
            Metric::F1 | Metric::Accuracy => self.answers(examples)?,
        };
        let counted = values.iter().find(|(it, _)| *it == metric);
        let (_, value) = *counted.expect("the metric was chosen by what is computed");
        let named = |(metric, value): (Metric, f64)| (format!("eval/{}", metric.name()), value);
        let values = values.into_iter().map(named).collect();
        let best = Best {
            step,
            metric,
            value,
        };
        Ok((Line { step, values }, best))
    }

    /// Nats a response token.
    fn loss(&self, examples: Examples<'_>) -> Result<f64, Error> {
        let network = &examples.checkpoint.network;
        let network = plain(network.clone(), &network.device().without_autodiff());
        let (mut loss, mut tokens) = (0.0, 0.0);
        for records in self.records.chunks(self.evaluation.eval_batch_size) {
            let made = records.iter();
            let made = made.map(|record| examples.make(record, self.template, None));
            let made = made.collect::<Result<Vec<_>, _>>()?;
            loss += f64::from(response_loss(&network, &made).into_scalar::<f32>());
            tokens += weights(&made).into_iter().map(f64::from).sum::<f64>();
        }
        Ok(loss / tokens)
    }

    /// How well the engine answers.
    fn answers(&self, examples: Examples<'_>) -> Result<Vec<(Metric, f64)>, Error> {
        let mut checkpoint = examples.checkpoint.clone();
        let device = checkpoint.network.device().without_autodiff();
        checkpoint.network = plain(checkpoint.network, &device);
        merge(&mut checkpoint.network); // nobody answers with an adapter
        let options = Options {
            engine: Settings::on(&device),
            device,
            template: self.template,
            form: examples.target,
            ..Options::default()
        };
        let extractor = Extractor::new(
            "run",
            checkpoint.for_answering(),
            Calibration::default(),
            examples.ontology.clone(),
            options,
        );
        let options = EvalOptions {
            data: self.data.clone(),
            images: examples.images.to_owned(),
            limit: self.evaluation.eval_records,
            blank_images: false,
            shuffle_text: false,
            batch_size: self.evaluation.eval_batch_size,
        };
        // The run's own line shows how far it is.
        let bar = ProgressBar::hidden();
        let scores = eval::over(&extractor, self.records.clone(), &options, &bar)?.scores;
        Ok(vec![
            (Metric::F1, scores.micro_f1),
            (Metric::Accuracy, scores.accuracy),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(early_stopping_patience: Option<usize>) -> Evaluation {
        Evaluation {
            eval_steps: 10,
            metric_for_best_model: Metric::F1,
            early_stopping_patience,
            eval_records: None,
            eval_batch_size: 8,
        }
    }

    /// Notes one evaluation after another; what was the best after each, and whether patience of two was exhausted.
    fn noted(metric: Metric, values: &[f64]) -> Vec<(Option<usize>, bool)> {
        let (mut standing, two) = (Standing::default(), evaluation(Some(2)));
        let note = |(place, &value): (usize, &f64)| {
            let step = (place + 1) * 10;
            let better = standing.note(Best {
                step,
                metric,
                value,
            });
            let best = standing.best.map(|best| best.step);
            assert_eq!(better, best == Some(step));
            (best, standing.exhausted(Some(&two)))
        };
        values.iter().enumerate().map(note).collect()
    }

    #[test]
    fn the_first_of_equals_is_the_best_and_patience_ends() {
        let (ten, thirty) = (Some(10), Some(30));
        assert_eq!(
            noted(Metric::F1, &[0.5, 0.5, 0.6, 0.1, 0.6]),
            [
                (ten, false),
                (ten, false),
                (thirty, false),
                (thirty, false),
                (thirty, true)
            ]
        );
        assert_eq!(
            noted(Metric::Loss, &[2.0, 3.0, 1.0]),
            [(ten, false), (ten, false), (thirty, false)]
        );
        assert_eq!(
            noted(Metric::Loss, &[f64::NAN, f64::INFINITY]),
            [(None, false), (None, true)],
            "what is no number is no best"
        );
    }

    #[test]
    fn without_patience_nothing_ends_early() {
        let standing = Standing {
            best: None,
            since_best: 1000,
        };
        assert!(!standing.exhausted(None) && !standing.exhausted(Some(&evaluation(None))));
    }
}
