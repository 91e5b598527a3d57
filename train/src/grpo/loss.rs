//! The objective of GRPO (arXiv 2402.03300, equation 3): the clipped surrogate and the distance from the reference, token by token.
//! Knows no network and no reward.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// How the tokens of a batch of answers are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossType {
    /// Every answer counts the same, its tokens share its weight (the paper's formula).
    #[default]
    Grpo,
    /// Every token of the batch counts the same.
    Bnpo,
    /// Every token counts as one of the longest possible answer (arXiv 2503.20783): long answers weigh more.
    DrGrpo,
}

impl LossType {
    /// What a token of an answer of `length` tokens counts, in a batch of `answers` answers and `tokens` tokens.
    pub fn weight(self, length: usize, answers: usize, tokens: usize, longest: usize) -> f64 {
        match self {
            Self::Grpo => 1.0 / (answers * length.max(1)) as f64,
            Self::Bnpo => 1.0 / tokens.max(1) as f64,
            Self::DrGrpo => 1.0 / (answers * longest) as f64,
        }
    }
}

/// What the tokens of some answers, one after another, are compared with. All of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fixed {
    /// Log-probabilities when the answers were drawn.
    pub old: Vec<f32>,
    /// Log-probabilities under the reference; none if it counts nothing.
    pub reference: Option<Vec<f32>>,
    /// Of the token's answer.
    pub advantages: Vec<f32>,
    /// What the token counts; 0 takes it out.
    pub weights: Vec<f32>,
}

/// The constants of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How far the ratio of probabilities may move from 1.
    pub epsilon: f64,
    /// What the distance from the reference counts.
    pub beta: f64,
}

/// What the objective comes to.
#[derive(Clone, Debug)]
pub struct Objective {
    /// To be minimised: the negative objective, `[1]`.
    pub loss: Tensor<1>,
    /// Sums over the tokens that count.
    pub told: Told,
}

/// Sums over tokens, each counted once whatever it weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// The distance from the reference, in nats.
    pub kl: f64,
    /// Tokens whose ratio is below the lower edge while their advantage is negative: their gradient is cut.
    pub clipped_low: f64,
    /// Tokens whose ratio is above the upper edge while their advantage is positive.
    pub clipped_high: f64,
}

impl Told {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.kl += other.kl;
        self.clipped_low += other.clipped_low;
        self.clipped_high += other.clipped_high;
    }
}

/// The objective for tokens whose log-probabilities are now `new`.
///
/// # Shapes
/// - `new`: `[tokens]`
///
/// # Panics
/// If `fixed` is of another length.
pub fn objective(new: Tensor<1>, fixed: &Fixed, terms: Terms) -> Objective {
    let [tokens] = new.dims();
    let plain = new.device().without_autodiff();
    let constant = |values: &[f32]| -> Tensor<1> {
        assert_eq!(values.len(), tokens, "a value for each of [{tokens}]");
        Tensor::from_data(TensorData::from(values), &plain)
    };
    let old = constant(&fixed.old);
    let advantages = constant(&fixed.advantages);
    let weights = constant(&fixed.weights);
    let ratio = (new.clone() - old).exp();
    let (low, high) = (1.0 - terms.epsilon, 1.0 + terms.epsilon);
    let clipped = ratio.clone().clamp(low, high);
    let mut loss = (ratio.clone() * advantages.clone())
        .min_pair(clipped * advantages)
        .neg();
    let mut kl = None;
    if let Some(reference) = &fixed.reference {
        let gap = constant(reference) - new;
        let distance = gap.clone().exp() - gap - 1.0; // k3, http://joschu.net/blog/kl-approx.html
        loss = loss + distance.clone() * terms.beta;
        kl = Some(distance);
    }
    Objective {
        loss: (loss * weights).sum(),
        told: told(
            fixed,
            &numbers(ratio),
            kl.map(numbers).as_deref(),
            low,
            high,
        ),
    }
}

/// The values of log-probabilities.
pub(super) fn numbers(tensor: Tensor<1>) -> Vec<f32> {
    let data = tensor.without_autodiff().to_data();
    data.try_into_vec().expect("log-probabilities are f32")
}

fn told(fixed: &Fixed, ratios: &[f32], kl: Option<&[f32]>, low: f64, high: f64) -> Told {
    let mut told = Told::default();
    for (place, &ratio) in ratios.iter().enumerate() {
        if fixed.weights[place] == 0.0 {
            continue;
        }
        let (ratio, advantage) = (f64::from(ratio), fixed.advantages[place]);
        told.kl += kl.map_or(0.0, |kl| f64::from(kl[place]));
        told.clipped_low += f64::from(ratio < low && advantage < 0.0);
        told.clipped_high += f64::from(ratio > high && advantage > 0.0);
    }
    told
}
