//! From scores to the next token: penalty, mask, temperature, top-k, top-p, in the order of transformers.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::cpu::peak_and_total;
use crate::{Error, Files};

/// How tokens are chosen; names are the keys of `generation_config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the best token always.
    pub temperature: f32,
    /// The smallest set of tokens with this probability mass is kept; 1 keeps all.
    pub top_p: f32,
    /// This many best tokens are kept; 0 keeps all.
    pub top_k: usize,
    /// Scores of ids seen in prompt or answer are divided (or, if negative, multiplied) by this; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Starts the random stream.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// What `generation_config.json` says.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationConfig {
    /// Any of these ends an answer.
    pub eos_token_id: Vec<u32>,
    /// The checkpoint's own way of choosing tokens.
    pub sampling: Sampling,
}

impl GenerationConfig {
    /// Reads `generation_config.json`; without one the end token comes from `config.json`.
    ///
    /// # Errors
    /// Broken JSON, or nothing that ends an answer.
    pub fn open(files: &Files) -> Result<Self, Error> {
        let file = "generation_config.json";
        let value = files.json(file)?.unwrap_or_default();
        let root = files.json("config.json")?.unwrap_or_default();
        let eos = [
            &value["eos_token_id"],
            &root["eos_token_id"],
            &root["text_config"]["eos_token_id"],
        ]
        .into_iter()
        .find(|eos| !eos.is_null())
        .map(|eos| match eos {
            Value::Array(ids) => ids
                .iter()
                .filter_map(Value::as_u64)
                .map(|id| id as u32)
                .collect(),
            other => other
                .as_u64()
                .map(|id| id as u32)
                .into_iter()
                .collect::<Vec<u32>>(),
        })
        .unwrap_or_default();
        if eos.is_empty() {
            return Err(Error::bad(file, "needs eos_token_id"));
        }
        let float = |key: &str, otherwise: f32| value[key].as_f64().map_or(otherwise, |v| v as f32);
        // A file that samples with a vanishing temperature means greedy: the published checkpoints do so.
        let samples =
            value["do_sample"].as_bool().unwrap_or(false) && float("temperature", 1.0) > 1e-5;
        let sampling = Sampling {
            temperature: if samples {
                float("temperature", 1.0)
            } else {
                0.0
            },
            top_p: float("top_p", 1.0),
            top_k: value["top_k"].as_u64().unwrap_or(0) as usize,
            repetition_penalty: float("repetition_penalty", 1.0),
            seed: 0,
        };
        Ok(Self {
            eos_token_id: eos,
            sampling,
        })
    }
}

/// Chooses the tokens of one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A sampler at the start of its random stream.
    pub fn new(sampling: &Sampling) -> Self {
        Self {
            sampling: sampling.clone(),
            rng: ChaCha8Rng::seed_from_u64(sampling.seed),
        }
    }

    /// The next token among those `allowed`, given the `seen` ids of prompt and answer.
    ///
    /// # Panics
    /// If no token is allowed.
    pub fn choose(&mut self, logits: &[f32], seen: &[u32], allowed: impl Fn(u32) -> bool) -> u32 {
        let mut scores = logits.to_vec();
        let penalty = self.sampling.repetition_penalty;
        if (penalty - 1.0).abs() > f32::EPSILON {
            let mut done = vec![false; scores.len()];
            for &id in seen {
                if !std::mem::replace(&mut done[id as usize], true) {
                    let score = &mut scores[id as usize];
                    *score = if *score < 0.0 {
                        *score * penalty
                    } else {
                        *score / penalty
                    };
                }
            }
        }
        if self.sampling.temperature <= 0.0 {
            return best(&scores, allowed).expect("some token must be allowed");
        }
        let mut kept: Vec<(u32, f32)> = (0..).zip(scores).filter(|&(id, _)| allowed(id)).collect();
        assert!(!kept.is_empty(), "some token must be allowed");
        let cut = self.sampling.top_k > 0 || self.sampling.top_p < 1.0;
        if cut {
            kept.sort_by(|a, b| b.1.total_cmp(&a.1)); // what is not cut needs no order, and vocabularies are long
        }
        if self.sampling.top_k > 0 {
            let least = kept[self.sampling.top_k.min(kept.len()) - 1].1;
            kept.retain(|&(_, score)| score >= least);
        }
        let top = kept.iter().map(|it| it.1).fold(f32::MIN, f32::max);
        for (_, score) in &mut kept {
            *score = ((*score - top) / self.sampling.temperature).exp();
        }
        let mut total: f32 = kept.iter().map(|&(_, weight)| weight).sum();
        if cut {
            let mut mass = 0.0;
            let enough = kept.iter().position(|&(_, weight)| {
                mass += weight / total;
                mass >= self.sampling.top_p
            });
            kept.truncate(enough.map_or(kept.len(), |last| last + 1));
            total = kept.iter().map(|&(_, weight)| weight).sum();
        }
        let mut point = self.rng.random::<f32>() * total;
        for &(id, weight) in &kept {
            point -= weight;
            if point < 0.0 {
                return id;
            }
        }
        kept[kept.len() - 1].0
    }
}

/// The first of the highest of `scores` among those `allowed`, like `torch.argmax`. Asks only about those higher than all before.
fn best(scores: &[f32], allowed: impl Fn(u32) -> bool) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, &score) in (0..).zip(scores) {
        if best.is_none_or(|(_, highest)| score > highest) && allowed(id) {
            best = Some((id, score));
        }
    }
    best.map(|(id, _)| id)
}

/// `log softmax(logits)[id]`
pub fn log_probability(logits: &[f32], id: u32) -> f32 {
    log_probabilities(logits)(id)
}

/// `log softmax(logits)`, id by id.
fn log_probabilities(logits: &[f32]) -> impl Fn(u32) -> f32 {
    let (top, total) = peak_and_total(logits);
    let total = total.ln();
    move |id| (f64::from(logits[id as usize] - top) - total) as f32
}

/// The `count` most probable ids with their log-probabilities, the most probable first; of equals the first.
pub fn top_log_probabilities(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |a: &u32, b: &u32| {
        let score = |id: u32| logits[id as usize];
        score(*b).total_cmp(&score(*a)).then(a.cmp(b))
    };
    let count = count.min(ids.len());
    if count < ids.len() {
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    let probability = log_probabilities(logits);
    ids.into_iter().map(|id| (id, probability(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equals_among_the_allowed() {
        let mut greedy = Sampler::new(&Sampling::default());
        assert_eq!(greedy.choose(&[1.0, 3.0, 3.0], &[], |_| true), 1);
        assert_eq!(greedy.choose(&[1.0, 3.0, 3.0], &[], |id| id != 1), 2);
    }

    #[test]
    fn the_penalty_counts_an_id_once_and_pushes_negative_scores_down() {
        let mut greedy = Sampler::new(&Sampling {
            repetition_penalty: 2.0,
            ..Sampling::default()
        });
        assert_eq!(greedy.choose(&[4.0, 1.5], &[0, 0], |_| true), 0); // 2.0 > 1.5: halved once, not twice
        assert_eq!(greedy.choose(&[-1.0, -1.5], &[0], |_| true), 1); // -2.0 < -1.5
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        for (sampling, most) in [
            (
                Sampling {
                    temperature: 1.0,
                    top_k: 2,
                    ..Sampling::default()
                },
                1,
            ),
            (
                Sampling {
                    temperature: 1.0,
                    top_p: 0.5,
                    ..Sampling::default()
                },
                0,
            ),
        ] {
            let mut random = Sampler::new(&sampling);
            assert!((0..200).all(|_| random.choose(&logits, &[], |_| true) <= most));
        }
    }

    /// With and without an order: a `top_k` of 3 sorts and cuts nothing here.
    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0, 2.0, 1.0];
        for top_k in [0, 3] {
            let mut random = Sampler::new(&Sampling {
                temperature: 2.0,
                top_k,
                ..Sampling::default()
            });
            let mut drawn = [0.0; 3];
            for _ in 0..20_000 {
                drawn[random.choose(&logits, &[], |_| true) as usize] += 1.0 / 20_000.0;
            }
            let weights = logits.map(|it: f32| f64::from(it / 2.0).exp());
            let total: f64 = weights.iter().sum();
            for (share, weight) in drawn.into_iter().zip(weights) {
                let expected = weight / total;
                assert!((share - expected).abs() < 0.015, "{share} {expected}"); // four standard deviations
            }
        }
    }

    #[test]
    fn the_most_probable_come_first() {
        let top = top_log_probabilities(&[0.0, 2.0, 1.0, 2.0], 3);
        assert_eq!(top.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 3, 2]);
        assert!((top[0].1 - log_probability(&[0.0, 2.0, 1.0, 2.0], 1)).abs() < 1e-9);
        assert_eq!(top_log_probabilities(&[0.0, 1.0], 9).len(), 2);
    }

    #[test]
    fn one_seed_gives_one_stream() {
        let sampling = Sampling {
            temperature: 1.0,
            seed: 7,
            ..Sampling::default()
        };
        let draw = || {
            let mut random = Sampler::new(&sampling);
            (0..50)
                .map(|_| random.choose(&[0.0; 9], &[], |_| true))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
