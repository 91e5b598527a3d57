//! The order in which a run sees its records, group by group. A function of seed and index alone, so that a resumed run goes on
//! exactly.

use proto::Template;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::Shorten;

/// Which record comes when: a fresh shuffle of the groups every epoch, a function of seed and index alone.
#[derive(Debug)]
pub struct Order {
    groups: Vec<Vec<usize>>,
    records: usize,
    seed: u64,
    epoch: Option<usize>,
    shuffled: Vec<usize>,
}

/// One record of a batch and how it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Index of the record.
    pub record: usize,
    /// The order of its prompt.
    pub template: Template,
    /// How many steps of its trace are learned, all if none is said.
    pub steps: Option<usize>,
}

impl Order {
    /// An order over records in groups; the records of a group come one after another.
    pub fn new(groups: Vec<Vec<usize>>, seed: u64) -> Self {
        Self {
            records: groups.iter().map(Vec::len).sum(),
            groups,
            seed,
            epoch: None,
            shuffled: vec![],
        }
    }

    /// What the run sees as its `index`-th example, asked in one of the `templates`, cut if `shorten` says so.
    pub fn draw(&mut self, index: usize, templates: &[Template], shorten: Option<Shorten>) -> Draw {
        let epoch = index / self.records;
        if self.epoch != Some(epoch) {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(epoch as u64 + 1);
            let mut groups: Vec<&[usize]> = self.groups.iter().map(Vec::as_slice).collect();
            groups.shuffle(&mut rng);
            self.shuffled = groups.concat();
            self.epoch = Some(epoch);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ index as u64);
        let template = templates[rng.random_range(0..templates.len())];
        Draw {
            record: self.shuffled[index % self.records],
            template,
            steps: shorten.filter(|it| it.takes(index)).map(|it| it.steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(records: usize, seed: u64) -> Order {
        Order::new((0..records).map(|record| vec![record]).collect(), seed)
    }

    #[test]
    fn groups_stay_together() {
        let mut order = Order::new(vec![vec![0, 1, 2], vec![3], vec![4, 5]], 2);
        let seen: Vec<usize> = (0..6)
            .map(|i| order.draw(i, &[Template::Prefix], None).record)
            .collect();
        let at = |record| seen.iter().position(|&it| it == record);
        assert_eq!(at(1), at(0).map(|i| i + 1), "{seen:?}");
        assert_eq!(at(2), at(0).map(|i| i + 2), "{seen:?}");
        assert_eq!(at(5), at(4).map(|i| i + 1), "{seen:?}");
    }

    #[test]
    fn every_epoch_sees_every_record_once_in_another_order() {
        let epoch = |order: &mut Order, epoch: usize| -> Vec<usize> {
            (0..50)
                .map(|i| order.draw(epoch * 50 + i, &[Template::Prefix], None).record)
                .collect()
        };
        let mut order = single(50, 3);
        let (first, second) = (epoch(&mut order, 0), epoch(&mut order, 1));
        assert_ne!(first, second);
        for mut seen in [first.clone(), second] {
            seen.sort_unstable();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
        assert_eq!(
            epoch(&mut single(50, 3), 0),
            first,
            "the same seed gives the same order"
        );
        assert_ne!(epoch(&mut single(50, 4), 0), first);
    }

    #[test]
    fn a_draw_does_not_depend_on_the_draws_before() {
        let templates = [Template::Prefix, Template::Paper];
        let mut order = single(7, 1);
        let all: Vec<Draw> = (0..30).map(|i| order.draw(i, &templates, None)).collect();
        assert_eq!(single(7, 1).draw(23, &templates, None), all[23]);
    }

    #[test]
    fn the_share_that_is_cut_is_spread_evenly() {
        let shorten = Shorten {
            steps: 2,
            share: 0.75,
        };
        let mut order = single(40, 1);
        let cut: Vec<bool> = (0..40)
            .map(|i| order.draw(i, &[Template::Prefix], Some(shorten)).steps == Some(2))
            .collect();
        for four in cut.chunks(4) {
            assert_eq!(four.iter().filter(|&&it| it).count(), 3, "{cut:?}");
        }
    }
}
