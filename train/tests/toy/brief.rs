//! A reward of another task than the paper's, which a toy can earn.

use std::collections::HashSet;

use train::grpo::reward::{Judged, Reward, Rewards};

/// Few different letters. It has some spread whatever a toy writes.
struct Brief;

impl Reward for Brief {
    fn name(&self) -> &'static str {
        "brief"
    }

    fn score(&self, judged: &Judged<'_>) -> f64 {
        let letters: HashSet<char> = judged.response.chars().collect();
        -(letters.len() as f64) / 10.0
    }
}

/// The paper's rules and `brief`.
pub fn rewards() -> Rewards {
    Rewards::paper(1024).with(Box::new(Brief))
}
