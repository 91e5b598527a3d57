//! What an expert costs: spent, promised to requests under way, and whether the budget bears one more. Bookkeeping without a clock.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Tokens of one answer, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of what was asked, images included.
    pub prompt_tokens: u64,
    /// Of what was answered.
    pub completion_tokens: u64,
}

impl AddAssign for Usage {
    /// What is too much to count stays too much: a journal that holds it can still be read.
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self
            .completion_tokens
            .saturating_add(other.completion_tokens);
    }
}

/// What a million tokens cost; in which currency is the user's to know.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prices {
    /// Of a question.
    pub input: f64,
    /// Of an answer.
    pub output: f64,
}

impl Prices {
    /// What these tokens cost.
    pub fn cost(&self, usage: Usage) -> f64 {
        (usage.prompt_tokens as f64 * self.input + usage.completion_tokens as f64 * self.output)
            / 1e6
    }
}

/// What is set aside for a request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is set aside is given back by `Ledger::release`"]
pub struct Reservation(Usage);

impl Reservation {
    /// In tokens.
    pub fn usage(&self) -> Usage {
        self.0
    }
}

/// Whether a request may be made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It may; this much is set aside for it.
    Go(Reservation),
    /// Only once others have ended and cost less than what was set aside for them.
    Wait,
    /// Not within this budget.
    Over,
}

/// The account of an expert.
#[derive(Debug, Clone)]
pub struct Ledger {
    prices: Prices,
    budget: Option<f64>,
    spent: Usage,
    reserved: f64,
    under_way: usize,
    /// Nothing is known before the first answer.
    factors: Option<Factors>,
}

/// How many times the guess a request took at most, never less than once.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Factors {
    prompt: f64,
    completion: f64,
}

impl Factors {
    const NONE: Self = Self {
        prompt: 1.0,
        completion: 1.0,
    };
}

impl Ledger {
    /// An account with what earlier runs have `spent`.
    pub fn new(prices: Prices, budget: Option<f64>, spent: Usage) -> Self {
        Self {
            prices,
            budget,
            spent,
            reserved: 0.0,
            under_way: 0,
            factors: None,
        }
    }

    /// Tokens spent.
    pub fn spent(&self) -> Usage {
        self.spent
    }

    /// What they cost.
    pub fn cost(&self) -> f64 {
        self.prices.cost(self.spent)
    }

    /// Sets aside what a request may cost at most: `guess` has the tokens it is guessed to ask with, and the most it may be answered
    /// with. How far guesses fall short is learned from answers, so under a budget the first request goes alone.
    pub fn reserve(&mut self, guess: Usage) -> Verdict {
        let set_aside = self.assumed(guess);
        let most = self.prices.cost(set_aside);
        if let Some(budget) = self.budget {
            if self.cost() + most > budget {
                return Verdict::Over;
            }
            let full = self.cost() + self.reserved + most > budget;
            if self.under_way > 0 && (full || self.factors.is_none()) {
                return Verdict::Wait;
            }
        }
        self.reserved += most;
        self.under_way += 1;
        Verdict::Go(Reservation(set_aside))
    }

    /// The request has ended. Returns what was set aside for it: what it counts as where nobody says what it took.
    pub fn release(&mut self, Reservation(set_aside): Reservation) -> Usage {
        self.under_way -= 1;
        // Sums of floats leave dust; without requests nothing is set aside.
        self.reserved = if self.under_way == 0 {
            0.0
        } else {
            self.reserved - self.prices.cost(set_aside)
        };
        set_aside
    }

    /// Counts what a request has taken.
    pub fn pay(&mut self, usage: Usage) {
        self.spent += usage;
    }

    /// Learns from what an expert says that a request took which was guessed to take `guess`.
    pub fn learn(&mut self, guess: Usage, usage: Usage) {
        let times = |took: u64, guess: u64| took as f64 / guess.max(1) as f64;
        let known = self.factors.unwrap_or(Factors::NONE);
        let prompt = times(usage.prompt_tokens, guess.prompt_tokens);
        let completion = times(usage.completion_tokens, guess.completion_tokens);
        self.factors = Some(Factors {
            prompt: known.prompt.max(prompt),
            completion: known.completion.max(completion),
        });
    }

    /// What a request takes at most, by all that is known.
    fn assumed(&self, guess: Usage) -> Usage {
        let Factors { prompt, completion } = self.factors.unwrap_or(Factors::NONE);
        Usage {
            prompt_tokens: (guess.prompt_tokens as f64 * prompt).ceil() as u64,
            completion_tokens: (guess.completion_tokens as f64 * completion).ceil() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices {
        input: 1.0,
        output: 10.0,
    };
    const GUESS: Usage = Usage {
        prompt_tokens: 500_000,
        completion_tokens: 50_000,
    }; // costs 1

    fn go(ledger: &mut Ledger) -> Reservation {
        match ledger.reserve(GUESS) {
            Verdict::Go(reservation) => reservation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_under_way_counts_as_spent() {
        let mut ledger = Ledger::new(PRICES, Some(3.5), Usage::default());
        let first = go(&mut ledger);
        assert_eq!(ledger.reserve(GUESS), Verdict::Wait, "the first goes alone");
        ledger.release(first);
        ledger.pay(GUESS);
        ledger.learn(GUESS, GUESS);
        let (second, third) = (go(&mut ledger), go(&mut ledger));
        assert_eq!(ledger.reserve(GUESS), Verdict::Wait);
        ledger.release(second);
        ledger.pay(Usage::default()); // it was cheaper than expected
        let fourth = go(&mut ledger);
        for reservation in [third, fourth] {
            ledger.release(reservation);
            ledger.pay(GUESS);
        }
        assert_eq!(ledger.reserve(GUESS), Verdict::Over);
        assert!((ledger.cost() - 3.0).abs() < 1e-9, "{}", ledger.cost());
    }

    #[test]
    fn what_was_set_aside_does_not_grow_while_a_request_is_under_way() {
        let mut ledger = Ledger::new(PRICES, None, Usage::default());
        let early = go(&mut ledger);
        let twice = Usage {
            prompt_tokens: 1_000_000,
            ..GUESS
        };
        ledger.learn(GUESS, twice);
        let late = go(&mut ledger);
        assert_eq!(
            (ledger.release(early), ledger.release(late)),
            (GUESS, twice)
        );
    }

    #[test]
    fn guesses_grow_with_what_was_seen() {
        let mut ledger = Ledger::new(PRICES, Some(10.0), Usage::default());
        let twice = Usage {
            prompt_tokens: 1_000_000,
            ..GUESS
        };
        ledger.learn(GUESS, twice);
        assert_eq!(ledger.assumed(GUESS), twice);
        ledger.learn(GUESS, Usage::default());
        assert_eq!(ledger.assumed(GUESS), twice, "the most counts");
        let longer = Usage {
            completion_tokens: 150_000,
            ..GUESS
        };
        ledger.learn(GUESS, longer); // more than it was allowed to write
        let both = Usage {
            prompt_tokens: 1_000_000,
            completion_tokens: 150_000,
        };
        assert_eq!(ledger.assumed(GUESS), both);
    }

    #[test]
    fn too_much_to_count_stays_too_much() {
        let most = Usage {
            prompt_tokens: u64::MAX,
            completion_tokens: u64::MAX,
        };
        let mut ledger = Ledger::new(PRICES, Some(1.0), most);
        ledger.pay(most);
        assert_eq!(ledger.spent(), most);
        ledger.learn(GUESS, most);
        assert_eq!(ledger.reserve(GUESS), Verdict::Over);
    }

    #[test]
    fn without_a_budget_everything_goes() {
        let mut ledger = Ledger::new(PRICES, None, GUESS);
        let all: Vec<_> = (0..9).map(|_| go(&mut ledger)).collect();
        for reservation in all {
            ledger.release(reservation);
        }
        assert!((ledger.cost() - 1.0).abs() < 1e-9);
    }
}
