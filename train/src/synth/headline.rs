//! Composes headlines: picks what is stated about whom, puts it into the words of `phrases`, and keeps the meaning
//! beside the words. Knows nothing of pictures.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::Aim;
use super::claims::{Said, can_have, is_mutual, organisations, places, say};
use super::phrases::{
    ADVERBS, ASIDES, BYSTANDERS, FRONT_BYSTANDERS, LEADS, OPENERS, PERSON_FILLERS, PLACE_FILLERS,
    Slot, TAILS, mentions,
};
use super::rule::{Statement, Story};
use super::world::{
    AWARDS, BODIES, COUNTRIES, Class, Depicted, EVENTS, Entity, PARTIES, RELATIVES, Relation,
    identities, tie,
};

/// An entity in the words of a headline.
#[derive(Debug, Clone, Copy)]
pub struct Mention {
    /// Which.
    pub entity: Entity,
    /// First token and the one behind the last.
    pub span: [usize; 2],
}

/// A text and its meaning.
#[derive(Debug, Clone)]
pub struct Headline {
    /// Words and punctuation marks.
    pub tokens: Vec<String>,
    /// What it says.
    pub story: Story,
    /// The person in passing, if there is one.
    pub bystander: Option<Depicted>,
    /// All it names, in order.
    pub mentions: Vec<Mention>,
}

/// Fewest and most words of a headline; punctuation does not count.
const LENGTH: std::ops::RangeInclusive<usize> = 10..=25;

impl Headline {
    /// The text as people write it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for token in &self.tokens {
            if !text.is_empty() && !is_mark(token) {
                text.push(' ');
            }
            text.push_str(token);
        }
        text
    }

    /// The mention of an entity.
    pub fn mention(&self, entity: Entity) -> Option<&Mention> {
        self.mentions
            .iter()
            .find(|mention| mention.entity == entity)
    }
}

/// Composes a headline whose main statement has the relation. In training, no statement is a held-out pair.
pub fn compose(relation: Relation, aim: Aim, rng: &mut ChaCha8Rng) -> Headline {
    loop {
        if let Some(headline) = attempt(relation, aim, rng) {
            return headline;
        }
    }
}

/// How often the words of one meaning are drawn: a few meanings have no words of a fitting length at all.
const DRAWS: usize = 1000;

/// Draws a meaning and words for it; nothing when the words never fit.
fn attempt(relation: Relation, aim: Aim, rng: &mut ChaCha8Rng) -> Option<Headline> {
    let (subject, main) = loop {
        let candidates: Vec<Depicted> = identities()
            .into_iter()
            .filter(|&object| can_have(object, relation))
            .collect();
        let subject = *candidates.choose(rng).expect("every relation has subjects");
        if let Some(said) = say(subject, relation, aim, &[], rng) {
            break (subject, said);
        }
    };
    let mut said = vec![main];
    if rng.random_bool(0.45) {
        let others: Vec<Relation> = Relation::ALL
            .into_iter()
            .filter(|&other| other != relation && can_have(subject, other))
            .filter(|&other| !(is_mutual(other) && is_mutual(relation)))
            .collect();
        // Buildings and countries have one relation only.
        if let Some(&other) = others.choose(rng) {
            said.extend(say(subject, other, aim, &said, rng));
        }
    }
    // One extra clause at most: with two, the longest statements would not fit the length.
    let (bystander, aside) = match rng.random_range(0..100) {
        0..30 => (bystander(subject, &said, rng), None),
        30..52 => (None, aside(subject, &said, rng)),
        _ => (None, None),
    };
    for _ in 0..DRAWS {
        let words = assemble(subject, &said, bystander, aside, aim.hard, rng);
        if LENGTH.contains(&words.tokens.iter().filter(|token| !is_mark(token)).count()) {
            return Some(words.finish(subject, &said, bystander));
        }
    }
    None
}

/// A person to name in passing.
fn bystander(subject: Depicted, said: &[Said], rng: &mut ChaCha8Rng) -> Option<Depicted> {
    let persons: Vec<Depicted> = identities()
        .into_iter()
        .filter(|&person| person.is_person() && person != subject)
        .filter(|&person| said.iter().all(|said| Some(said.entity) != person.entity()))
        .collect();
    persons.choose(rng).copied()
}

/// An entity to mention without a tie to anybody the text names.
fn aside(subject: Depicted, said: &[Said], rng: &mut ChaCha8Rng) -> Option<Entity> {
    let pools: [&[Entity]; 8] = [
        &places(),
        &organisations(),
        &EVENTS,
        &AWARDS,
        &PARTIES,
        &BODIES,
        &RELATIVES,
        &COUNTRIES.each_ref().map(|country| Entity {
            name: country.nationality,
            class: Class::Nationality,
        }),
    ];
    let pool: Vec<Entity> = pools
        .choose(rng)?
        .iter()
        .copied()
        .filter(|&entity| said.iter().all(|said| said.entity != entity))
        .filter(|&entity| tie(subject, entity).is_none())
        .filter(|entity| subject.name() != Some(entity.name))
        .collect();
    pool.choose(rng).copied()
}

/// Words under construction.
#[derive(Default)]
struct Words {
    tokens: Vec<String>,
    mentions: Vec<Mention>,
}

fn assemble(
    subject: Depicted,
    said: &[Said],
    bystander: Option<Depicted>,
    aside: Option<Entity>,
    hard: bool,
    rng: &mut ChaCha8Rng,
) -> Words {
    let mut words = Words::default();
    let slot = |slot: Slot| said.iter().find(|said| said.form.slot == slot);
    let front = rng.random_bool(0.3);
    if rng.random_bool(0.35) {
        words.put(pick(&LEADS, rng), None);
    }
    if rng.random_bool(0.25) {
        words.put(pick(&OPENERS, rng), None);
    } else if front && let Some(person) = bystander {
        words.put(pick(&FRONT_BYSTANDERS, rng), person.entity());
    }
    let fronted = !words.mentions.is_empty();
    let whole = slot(Slot::Whole);
    if let Some(said) = whole {
        let (before, _) = said
            .form
            .words
            .split_once('@')
            .expect("whole clauses hold the subject");
        words.put(before.trim_end(), Some(said.entity));
    }
    if let Some(said) = slot(Slot::Role) {
        words.put(said.form.words, Some(said.entity));
    }
    words.put("{}", subject.entity());
    if let Some(said) = slot(Slot::Apposition) {
        words.put(",", None);
        words.put(said.form.words, Some(said.entity));
        words.put(",", None);
    }
    if let Some(said) = whole {
        let (_, after) = said
            .form
            .words
            .split_once('@')
            .expect("whole clauses hold the subject");
        words.put(after.trim_start(), None);
    } else {
        if rng.random_bool(0.25) {
            words.put(pick(&ADVERBS, rng), None);
        }
        match slot(Slot::Verb) {
            Some(said) => words.put(said.form.words, Some(said.entity)),
            None if subject.is_person() => words.put(pick(&PERSON_FILLERS, rng), None),
            None => words.put(pick(&PLACE_FILLERS, rng), None),
        }
    }
    if let Some(said) = slot(Slot::Tail) {
        words.put(said.form.words, Some(said.entity));
    }
    if rng.random_bool(0.6) {
        words.put(pick(&TAILS, rng), None);
    }
    if !fronted && let Some(person) = bystander {
        words.put(pick(&BYSTANDERS, rng), person.entity());
    }
    if let Some(entity) = aside {
        let name = entity.class != Class::Nationality; // which is an adjective
        let asides = if hard && name && rng.random_bool(0.6) {
            &ASIDES[..]
        } else {
            mentions(entity.class)
        };
        words.put(pick(asides, rng), Some(entity));
    }
    words
}

impl Words {
    /// Appends a phrase, with the entity in the place of `{}`.
    fn put(&mut self, phrase: &str, entity: Option<Entity>) {
        for word in phrase.split_whitespace() {
            if let (true, Some(entity)) = (word == "{}", entity) {
                let start = self.tokens.len();
                self.tokens
                    .extend(entity.name.split(' ').map(str::to_owned));
                let span = [start, self.tokens.len()];
                self.mentions.push(Mention { entity, span });
            } else {
                self.tokens.push(word.to_owned());
            }
        }
    }

    /// Tidies the words up and adds their meaning.
    fn finish(mut self, subject: Depicted, said: &[Said], bystander: Option<Depicted>) -> Headline {
        if self.tokens.last().is_some_and(|token| token == ",") {
            self.tokens.pop();
        }
        if let Some(first) = self.tokens.first_mut() {
            let capital = first[..1].to_ascii_uppercase();
            first.replace_range(..1, &capital);
        }
        let mut statements = Vec::new();
        let mut sharers = Vec::new();
        for said in said {
            let apposed = matches!(said.form.slot, Slot::Apposition | Slot::Role);
            let statement = Statement {
                subject,
                relation: said.relation,
                entity: said.entity,
                apposed,
            };
            statements.push(statement);
            if is_mutual(said.relation)
                && let Some(own) = subject.entity()
            {
                let other = identities()
                    .into_iter()
                    .find(|other| other.name() == Some(said.entity.name))
                    .expect("opponents and partners have looks");
                sharers.push(other);
                statements.push(Statement {
                    subject: other,
                    entity: own,
                    ..statement
                });
            }
        }
        let named = identities()
            .into_iter()
            .filter(|object| {
                self.mentions
                    .iter()
                    .any(|mention| object.name() == Some(mention.entity.name))
            })
            .collect();
        Headline {
            tokens: self.tokens,
            story: Story {
                subject,
                statements,
                sharers,
                named,
            },
            bystander,
            mentions: self.mentions,
        }
    }
}

fn pick(table: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    table.choose(rng).expect("no table of phrases is empty")
}

fn is_mark(token: &str) -> bool {
    matches!(token, "," | ":")
}
