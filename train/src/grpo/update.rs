//! The gradient of the objective over a batch of groups, question by question: all answers to a question are one pass that reads
//! their prompt once.

use burn::tensor::Tensor;
use model::{Checkpoint, Qwen};

use super::loss::{Fixed, Terms, Told, objective};
use crate::Error;
use crate::example::{Asked, Example};
use crate::loss::{chosen, response_scores};
use crate::optim::Grads;
use crate::workers::Workers;

/// A question and the answers drawn to it.
#[derive(Debug)]
pub struct Group {
    examples: Vec<Example>,
    /// One an answer.
    advantages: Vec<f64>,
    /// What a token of each answer counts.
    weights: Vec<f64>,
}

impl Group {
    /// The answers to `asked`: tokens, advantage, and what each of the tokens counts.
    pub fn new<'a>(
        asked: &Asked,
        answers: impl Iterator<Item = (&'a [u32], f64, f64)>,
        checkpoint: &Checkpoint,
    ) -> Self {
        let mut group = Self {
            examples: vec![],
            advantages: vec![],
            weights: vec![],
        };
        for (ids, advantage, weight) in answers {
            let example = asked.answered(ids, vec![1.0; ids.len()], checkpoint);
            group.examples.push(example);
            group.advantages.push(advantage);
            group.weights.push(weight);
        }
        group
    }

    /// One an answer.
    pub fn advantages(&self) -> &[f64] {
        &self.advantages
    }

    /// `values`, one an answer, for each of its tokens.
    fn spread(&self, values: &[f64]) -> Vec<f32> {
        let answers = self.examples.iter().zip(values);
        let tokens = answers.flat_map(|(example, &value)| {
            let length = example.ids.len() - example.response;
            std::iter::repeat_n(value as f32, length)
        });
        tokens.collect()
    }
}

/// What is trained, and against what.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// What is trained.
    pub checkpoint: &'a Checkpoint,
    /// What it is kept near, if it is.
    pub reference: Option<&'a Qwen>,
    /// Who computes.
    pub workers: &'a Workers,
    /// The constants of the objective.
    pub terms: Terms,
    /// At which the answers were drawn.
    pub temperature: f64,
}

/// Sums over the updates of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Update {
    /// The objective's negative.
    pub loss: f64,
    /// Nats over all tokens, of the first update.
    pub entropy: f64,
    /// Sums over the tokens of all updates.
    pub told: Told,
}

impl Update {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.entropy += other.entropy;
        self.told.add(&other.told);
    }
}

/// The updates that one batch makes.
#[derive(Debug)]
pub struct Updates<'a> {
    groups: &'a [Group],
    /// Of every group, known after the first update.
    fixed: Vec<Fixed>,
}

impl<'a> Updates<'a> {
    /// None made yet.
    pub fn new(groups: &'a [Group]) -> Self {
        Self {
            groups,
            fixed: vec![],
        }
    }

    /// The gradient of update `iteration` (from 0). The first notes what the answers' tokens were worth when they were drawn: the
    /// network has not moved since, so its ratio is 1.
    ///
    /// # Errors
    /// None of its own.
    pub fn gradients(
        &mut self,
        policy: &Policy<'_>,
        iteration: usize,
    ) -> Result<(Grads, Update), Error> {
        let share = self.groups.len().div_ceil(policy.workers.count()).max(1);
        let (groups, fixed) = (self.groups, &self.fixed);
        let work = |network: &Qwen, worker: usize| {
            let (mut grads, mut sums, mut noted) = (Grads::default(), Update::default(), vec![]);
            let from = (worker * share).min(groups.len());
            let to = (from + share).min(groups.len());
            for place in from..to {
                let known = (iteration > 0).then(|| fixed[place].clone());
                let (part, update, fixed) = pass(network, policy, &groups[place], known);
                grads.add(part);
                sums.add(&update);
                noted.push(fixed);
            }
            Ok((grads, (sums, noted)))
        };
        let (grads, parts) = policy.workers.gradients(&policy.checkpoint.network, work)?;
        let (mut sums, mut noted) = (Update::default(), vec![]);
        for (update, part) in parts {
            sums.add(&update);
            noted.extend(part);
        }
        if iteration > 0 {
            sums.entropy = 0.0;
        } else {
            self.fixed = noted;
        }
        Ok((grads, sums))
    }
}

/// One pass over one group; what is not `known` yet is noted.
fn pass(
    network: &Qwen,
    policy: &Policy<'_>,
    group: &Group,
    known: Option<Fixed>,
) -> (Grads, Update, Fixed) {
    let scores = response_scores(network, &group.examples, Some(policy.temperature));
    let plain = scores.clone().without_autodiff();
    let entropy = (plain.clone().exp() * plain.clone()).sum().neg();
    let fixed = known.unwrap_or_else(|| Fixed {
        old: numbers(&chosen(plain, &group.examples)),
        reference: policy.reference.map(|reference| {
            let scores = response_scores(reference, &group.examples, Some(policy.temperature));
            numbers(&chosen(scores, &group.examples))
        }),
        advantages: group.spread(&group.advantages),
        weights: group.spread(&group.weights),
    });
    let made = objective(chosen(scores, &group.examples), &fixed, policy.terms);
    let update = Update {
        loss: f64::from(made.loss.clone().into_scalar::<f32>()),
        entropy: f64::from(entropy.into_scalar::<f32>()),
        told: made.told,
    };
    (Grads::take(network, made.loss.backward()), update, fixed)
}

fn numbers(tensor: &Tensor<1>) -> Vec<f32> {
    let data = tensor.to_data();
    data.try_into_vec().expect("log-probabilities are f32")
}
