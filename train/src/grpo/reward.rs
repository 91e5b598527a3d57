//! What an answer is worth: rules by name. Other tasks add their own; none of them asks a model.

use std::fmt;

use proto::{Ontology, is_valid, parse};

/// An answer and what it should have been.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// As generated, without the end token.
    pub response: &'a str,
    /// The gold label.
    pub relation: &'a str,
    /// The labels there are.
    pub ontology: &'a Ontology,
}

/// A rule.
pub trait Reward: Send + Sync {
    /// As configurations and metrics write it.
    fn name(&self) -> &str;

    /// What the answer gets.
    fn score(&self, judged: &Judged<'_>) -> f64;
}

/// 1 for exactly the six steps and a known label.
struct Format;

impl Reward for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn score(&self, judged: &Judged<'_>) -> f64 {
        f64::from(is_valid(judged.ontology, judged.response))
    }
}

/// 1 for more than so many characters. (The paper says 1,024 and cuts answers at as many tokens, so it cannot mean tokens.)
struct Length {
    characters: usize,
}

impl Reward for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn score(&self, judged: &Judged<'_>) -> f64 {
        f64::from(judged.response.chars().nth(self.characters).is_some())
    }
}

/// 1 for the gold label, whatever else is wrong with the form.
struct Answer;

impl Reward for Answer {
    fn name(&self) -> &'static str {
        "answer"
    }

    fn score(&self, judged: &Judged<'_>) -> f64 {
        let said = parse(judged.ontology, judged.response);
        f64::from(said.is_ok_and(|trace| trace.label == judged.relation))
    }
}

/// The rules that a configuration can name.
pub struct Rewards(Vec<Box<dyn Reward>>);

impl fmt::Debug for Rewards {
    /// The names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Rewards {
    /// The paper's three; an answer is long with more than `characters`.
    pub fn paper(characters: usize) -> Self {
        Self(vec![
            Box::new(Format),
            Box::new(Length { characters }),
            Box::new(Answer),
        ])
    }

    /// One more, in place of another of the same name.
    #[must_use]
    pub fn with(mut self, reward: Box<dyn Reward>) -> Self {
        self.0.retain(|held| held.name() != reward.name());
        self.0.push(reward);
        self
    }

    /// Those of `names`, in that order.
    ///
    /// # Errors
    /// The first name that nobody has.
    pub fn named(mut self, names: &[String]) -> Result<Self, String> {
        let mut taken = vec![];
        for name in names {
            let place = self.0.iter().position(|it| it.name() == name);
            taken.push(self.0.remove(place.ok_or_else(|| name.clone())?));
        }
        Ok(Self(taken))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.name())
    }

    /// What each of them gives.
    pub fn score(&self, judged: &Judged<'_>) -> Vec<f64> {
        self.0.iter().map(|it| it.score(judged)).collect()
    }
}
