//! Progressive Sample-Mixing: which questions an epoch asks, and in which order. A function of seed and epoch alone, so that a resumed
//! run goes on exactly.

use proto::NONE;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::Record;

/// The questions of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixing {
    /// How many easy questions come to the hard ones.
    pub strategy: Strategy,
    /// Easy questions for each hard one in the first epoch.
    #[serde(default = "as_many")]
    pub ratio: f64,
    /// The ratio is multiplied by this after every epoch (`progressive`).
    #[serde(default = "half")]
    pub gamma: f64,
}

fn as_many() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

/// The paper's way and the three it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Fewer easy questions every epoch.
    Progressive,
    /// All easy questions in every epoch.
    Raw,
    /// As many in every epoch as in the first.
    #[serde(rename = "ratio-1")]
    Ratio1,
    /// None.
    HardOnly,
}

impl Mixing {
    /// How many easy questions epoch `epoch` (from 0) wants beside `hard` hard ones, of the `easy` that there are.
    pub(crate) fn easy(&self, hard: usize, easy: usize, epoch: usize) -> usize {
        let wanted = |ratio: f64| easy.min((hard as f64 * ratio).round() as usize);
        match self.strategy {
            Strategy::Progressive => wanted(self.ratio * self.gamma.powi(epoch as i32)),
            Strategy::Ratio1 => wanted(self.ratio),
            Strategy::HardOnly => 0,
            Strategy::Raw => easy,
        }
    }
}

/// Draws epochs.
#[derive(Debug)]
pub struct Mixer {
    mixing: Mixing,
    seed: u64,
    hard: usize,
    /// Places of easy questions whose answer is `none`, in the order in which they are drawn.
    none: Vec<usize>,
    /// Likewise of the others.
    other: Vec<usize>,
    /// Of all questions, hard and easy, the share whose answer is `none`.
    none_share: f64,
}

impl Mixer {
    /// Over `records`, of which the first `hard` are hard and the others easy.
    pub fn new(records: &[Record], hard: usize, mixing: Mixing, seed: u64) -> Self {
        let is_none = |record: &Record| record.relation == NONE;
        let nones = records.iter().filter(|record| is_none(record)).count();
        let (mut none, mut other): (Vec<usize>, Vec<usize>) =
            (hard..records.len()).partition(|&place| is_none(&records[place]));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        none.shuffle(&mut rng);
        other.shuffle(&mut rng);
        Self {
            mixing,
            seed,
            hard,
            none,
            other,
            none_share: nones as f64 / records.len().max(1) as f64,
        }
    }

    /// Whether `question` is one that Stage 1 answers wrong.
    pub fn is_hard(&self, question: usize) -> bool {
        question < self.hard
    }

    /// How many easy questions epoch `epoch` (from 0) asks: with the answer `none`, and others.
    fn counts(&self, epoch: usize) -> [usize; 2] {
        let (none, other) = (self.none.len(), self.other.len());
        if self.mixing.strategy == Strategy::Raw {
            return [none, other];
        }
        let count = self.mixing.easy(self.hard, usize::MAX, epoch);
        let nones = (count as f64 * self.none_share).round() as usize;
        [none.min(nones), other.min(count - nones)]
    }

    /// The questions of epoch `epoch` (from 0), in their order. Easy ones go on where the epoch before ended, and begin again when
    /// all were asked.
    pub fn epoch(&self, epoch: usize) -> Vec<usize> {
        let before = (0..epoch).map(|it| self.counts(it));
        let [skipped_none, skipped_other] =
            before.fold([0, 0], |sum, it| [sum[0] + it[0], sum[1] + it[1]]);
        let [nones, others] = self.counts(epoch);
        let drawn = |pool: &[usize], skipped: usize, count: usize| -> Vec<usize> {
            let begin = skipped % pool.len().max(1);
            pool.iter()
                .cycle()
                .skip(begin)
                .take(count)
                .copied()
                .collect()
        };
        let mut questions: Vec<usize> = (0..self.hard).collect();
        questions.extend(drawn(&self.none, skipped_none, nones));
        questions.extend(drawn(&self.other, skipped_other, others));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch as u64 + 1);
        questions.shuffle(&mut rng);
        questions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(relation: &str) -> Record {
        Record {
            relation: relation.to_owned(),
            ..Record::example()
        }
    }

    /// 40 hard questions, 10 of them `none`; 160 easy ones, 140 of them `none`: three of four in all.
    fn mixer(strategy: Strategy, seed: u64) -> Mixer {
        let relation = |place: usize| match place {
            0..10 | 40..180 => NONE,
            _ => "/per/per/partner",
        };
        let records: Vec<Record> = (0..200).map(|place| record(relation(place))).collect();
        let mixing = Mixing {
            strategy,
            ratio: 1.0,
            gamma: 0.5,
        };
        Mixer::new(&records, 40, mixing, seed)
    }

    /// Hard questions, easy ones with `none`, other easy ones.
    fn kinds(questions: &[usize]) -> [usize; 3] {
        let count = |places: std::ops::Range<usize>| {
            questions.iter().filter(|it| places.contains(it)).count()
        };
        [count(0..40), count(40..180), count(180..200)]
    }

    #[test]
    fn progressive_asks_all_hard_questions_and_fewer_easy_ones_every_epoch() {
        let mixer = mixer(Strategy::Progressive, 1);
        let epochs: Vec<_> = (0..4).map(|epoch| kinds(&mixer.epoch(epoch))).collect();
        assert_eq!(
            epochs,
            [[40, 30, 10], [40, 15, 5], [40, 8, 2], [40, 4, 1]],
            "1:1, then half as many each time, three of four none"
        );
    }

    #[test]
    fn the_variants_ask_what_the_paper_says() {
        for epoch in 0..3 {
            let of = |strategy| kinds(&mixer(strategy, 1).epoch(epoch));
            assert_eq!(of(Strategy::Raw), [40, 140, 20]);
            assert_eq!(of(Strategy::Ratio1), [40, 30, 10]);
            assert_eq!(of(Strategy::HardOnly), [40, 0, 0]);
        }
    }

    #[test]
    fn easy_questions_are_others_every_epoch_until_all_were_asked() {
        let mixer = mixer(Strategy::Ratio1, 1);
        let easy = |epoch| -> Vec<usize> {
            let questions = mixer.epoch(epoch);
            questions.into_iter().filter(|&it| it >= 40).collect()
        };
        let (first, second) = (easy(0), easy(1));
        assert!(first.iter().all(|it| !second.contains(it)));
        let third: Vec<usize> = easy(2).into_iter().filter(|&it| it >= 180).collect();
        assert_eq!(third.len(), 10, "the 20 others begin again");
    }

    #[test]
    fn nothing_is_asked_twice_in_an_epoch() {
        for strategy in [Strategy::Progressive, Strategy::Raw, Strategy::Ratio1] {
            let mut questions = mixer(strategy, 3).epoch(1);
            questions.sort_unstable();
            let all = questions.len();
            questions.dedup();
            assert_eq!(questions.len(), all);
        }
    }

    #[test]
    fn the_seed_and_the_epoch_decide() {
        let epoch = |seed, epoch| mixer(Strategy::Progressive, seed).epoch(epoch);
        assert_eq!(epoch(1, 2), epoch(1, 2));
        assert_ne!(epoch(1, 2), epoch(2, 2));
        assert_ne!(epoch(1, 0), epoch(1, 1));
    }
}
