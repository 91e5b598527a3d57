//! The gradient of the objective over a batch of groups, question by question: all answers to a question are one pass that reads
//! their prompt once. A group that cannot move the network is not computed.

use model::{Checkpoint, Qwen};

use super::loss::{Fixed, Terms, Told, numbers, objective};
use crate::Error;
use crate::example::{Asked, Example};
use crate::loss::{chosen, response_scores, weights};
use crate::optim::Grads;
use crate::pass::{How, Pass};
use crate::workers::Workers;

/// A question and the answers drawn to it.
#[derive(Debug)]
pub struct Group {
    examples: Vec<Example>,
    /// One an answer.
    advantages: Vec<f64>,
}

impl Group {
    /// The answers to `asked` with what each of their tokens counts, and their advantages.
    pub fn new<'a>(
        asked: &Asked,
        answers: impl Iterator<Item = (&'a [u32], f64)>,
        advantages: Vec<f64>,
        checkpoint: &Checkpoint,
    ) -> Self {
        let example = |(ids, weight): (&[u32], f64)| {
            asked.answered(ids, vec![weight as f32; ids.len()], checkpoint)
        };
        Self {
            examples: answers.map(example).collect(),
            advantages,
        }
    }

    /// One an answer.
    pub fn advantages(&self) -> &[f64] {
        &self.advantages
    }

    /// Tokens that count.
    pub fn counted(&self) -> usize {
        let weights = self.examples.iter().flat_map(|it| &it.weights);
        weights.filter(|weight| **weight != 0.0).count()
    }

    /// Whether any answer was better than another.
    fn has_spread(&self) -> bool {
        self.advantages.iter().any(|&advantage| advantage != 0.0)
    }

    /// What its tokens, worth `old` when they were drawn and `reference` to the Stage-1 model, are compared with.
    fn fixed(&self, old: Vec<f32>, reference: Option<Vec<f32>>) -> Fixed {
        let answers = self.examples.iter().zip(&self.advantages);
        let advantages = answers.flat_map(|(example, &advantage)| {
            std::iter::repeat_n(advantage as f32, example.weights.len())
        });
        Fixed {
            old,
            reference,
            advantages: advantages.collect(),
            weights: weights(&self.examples),
        }
    }
}

/// What is trained, and against what.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// What is trained.
    pub checkpoint: &'a Checkpoint,
    /// What it is kept near, on each device; none if it is not.
    pub references: &'a [Qwen],
    /// Who computes.
    pub workers: &'a Workers,
    /// The constants of the objective.
    pub terms: Terms,
    /// At which the answers were drawn.
    pub temperature: f64,
    /// How passes are computed.
    pub how: How,
}

/// Sums over the updates of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Update {
    /// The objective's negative.
    pub loss: f64,
    /// Nats over all tokens when they were drawn: of the first update.
    pub entropy: f64,
    /// The tokens these are of.
    pub drawn: f64,
    /// Sums over the tokens of all updates.
    pub told: Told,
}

impl Update {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.entropy += other.entropy;
        self.drawn += other.drawn;
        self.told.add(&other.told);
    }
}

/// The updates that one batch makes.
#[derive(Debug)]
pub struct Updates<'a> {
    groups: Vec<&'a Group>,
    /// Of every group, known after the first update.
    fixed: Vec<Fixed>,
}

impl<'a> Updates<'a> {
    /// None made yet. Without a reference the gradient of a group without spread is zero, so it is left out.
    pub fn new(groups: &'a [Group], terms: Terms) -> Self {
        let teaches = |group: &&Group| terms.beta > 0.0 || group.has_spread();
        let mut teaching: Vec<&Group> = groups.iter().filter(teaches).collect();
        if teaching.is_empty() {
            teaching.extend(groups.first()); // the optimizer makes its step, with a gradient of zero
        }
        Self {
            groups: teaching,
            fixed: vec![],
        }
    }

    /// The gradient of update `iteration` (from 0) of batch `index`. The first notes what the answers' tokens were worth when they were drawn: the
    /// network has not moved since, so its ratio is 1. Adapters drop the same in all of them, so that ratios tell nothing but the change.
    ///
    /// # Errors
    /// None of its own.
    pub fn gradients(
        &mut self,
        policy: &Policy<'_>,
        index: usize,
        iteration: usize,
    ) -> Result<(Grads, Update), Error> {
        let share = self.groups.len().div_ceil(policy.workers.count()).max(1);
        let (groups, fixed) = (&self.groups, &self.fixed);
        let work = |network: &Qwen, worker: usize| {
            let reference = policy.references.get(policy.workers.seat(worker));
            let pair = Pair { network, reference };
            let (mut grads, mut sums, mut noted) = (Grads::default(), Update::default(), vec![]);
            let from = (worker * share).min(groups.len());
            let to = (from + share).min(groups.len());
            for place in from..to {
                let known = (iteration > 0).then(|| fixed[place].clone());
                let (part, update, fixed) = pass(pair, policy, groups[place], known);
                grads.add(part);
                sums.add(&update);
                noted.push(fixed);
            }
            Ok((grads, (sums, noted)))
        };
        let network = &policy.checkpoint.network;
        let (grads, parts) = policy.workers.gradients(network, index, work)?;
        let (mut sums, mut noted) = (Update::default(), vec![]);
        for (update, part) in parts {
            sums.add(&update);
            noted.extend(part);
        }
        self.fixed = noted;
        Ok((grads, sums))
    }
}

/// What is trained and what it is kept near, on one device.
#[derive(Clone, Copy)]
struct Pair<'a> {
    network: &'a Qwen,
    reference: Option<&'a Qwen>,
}

/// One pass over one group; what is not `known` yet is noted.
fn pass(
    Pair { network, reference }: Pair<'_>,
    policy: &Policy<'_>,
    group: &Group,
    known: Option<Fixed>,
) -> (Grads, Update, Fixed) {
    let examples = &group.examples;
    let temperature = Some(policy.temperature);
    let pass = Pass {
        network,
        examples,
        temperature,
        how: policy.how,
    };
    let (grads, (update, fixed)) = pass.gradient(|scores| {
        let (mut entropy, mut drawn) = (0.0, 0.0);
        let fixed = known.unwrap_or_else(|| {
            let plain = scores.clone().without_autodiff();
            let nats = (plain.clone().exp() * plain.clone()).sum().neg();
            entropy = f64::from(nats.into_scalar::<f32>());
            drawn = plain.dims()[0] as f64;
            let reference = reference.map(|reference| {
                let scores = response_scores(reference, examples, temperature);
                numbers(chosen(scores, examples))
            });
            group.fixed(numbers(chosen(plain, examples)), reference)
        });
        let made = objective(chosen(scores, examples), &fixed, policy.terms);
        let update = Update {
            loss: f64::from(made.loss.clone().into_scalar::<f32>()),
            entropy,
            drawn,
            told: made.told,
        };
        (made.loss, (update, fixed))
    });
    (grads, update, fixed)
}
