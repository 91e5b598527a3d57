//! Who is in a picture and what is asked about it: a subject among look-alikes, three refusals for every relation.
//! This is where the corpus is kept honest: neither the text nor the object alone may tell the label.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::Aim;
use super::claims::can_have;
use super::headline::{Headline, compose};
use super::rule::{Statement, is_held_out};
use super::world::{Class, Depicted, Entity, Relation, TEAMS, Thing, identities, tie};

/// A picture before it is drawn.
#[derive(Debug)]
pub struct Cast {
    /// The text.
    pub headline: Headline,
    /// Everything that gets a box.
    pub objects: Vec<Depicted>,
    /// What is asked.
    pub facts: Vec<Fact>,
}

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Index into [`Cast::objects`].
    pub object: usize,
    /// The entity.
    pub entity: Entity,
}

/// At most this many objects stand in front, so that each is wide enough to read its number.
const FRONT: usize = 5;
/// At most this many hang or stand behind.
const BEHIND: usize = 4;

/// Chooses text, objects and questions. In training, no pair of object and entity is a held-out one. A hard corpus asks one question
/// about a picture: what Stage 2 asks about, Stage 1 has never read.
pub fn choose(aim: Aim, rng: &mut ChaCha8Rng) -> Cast {
    let relation = if aim.hard {
        *Relation::ALL
            .choose_weighted(rng, |&relation| weight(relation))
            .expect("no weight is zero")
    } else {
        *Relation::ALL.choose(rng).expect("there are relations")
    };
    let headline = compose(relation, aim, rng);
    let objects = objects(&headline, aim.training, rng);
    let main = headline.story.statements[0].entity;
    let mut entities = vec![main];
    if rng.random_bool(0.3) {
        let others: Vec<Entity> = headline
            .mentions
            .iter()
            .map(|mention| mention.entity)
            .filter(|&entity| entity != main)
            .filter(|&entity| askable(&headline, entity))
            .collect();
        entities.extend(others.choose(rng));
    }
    let mut facts = Vec::new();
    for entity in entities {
        ask(&headline, &objects, entity, aim, &mut facts, rng);
    }
    facts.shuffle(rng);
    if aim.hard {
        facts.truncate(1);
    }
    Cast {
        headline,
        objects,
        facts,
    }
}

/// How often a hard corpus tells of a relation: those that the types leave open and the world decides (`rule::known`) four times as often as
/// others.
const fn weight(relation: Relation) -> u32 {
    match relation {
        Relation::OpposedTo
        | Relation::LeaderOf
        | Relation::MemberOf
        | Relation::Birth
        | Relation::Governance => 4,
        _ => 1,
    }
}

/// Whether an entity makes a question: the subject's own name only does when something is stated about it.
fn askable(headline: &Headline, entity: Entity) -> bool {
    let is_subject = headline.story.subject.name() == Some(entity.name);
    !is_subject || headline.story.about(entity).is_some()
}

/// The subject (nearly always), the others of the text (sometimes) and look-alikes.
fn objects(headline: &Headline, training: bool, rng: &mut ChaCha8Rng) -> Vec<Depicted> {
    let story = &headline.story;
    let main = &story.statements[0];
    let mut objects = Vec::new();
    if rng.random_bool(0.97) {
        objects.push(story.subject);
    }
    let named: Vec<Depicted> = story
        .sharers
        .iter()
        .copied()
        .chain(headline.bystander)
        .collect();
    objects.extend(named.into_iter().filter(|_| rng.random_bool(0.35)));
    let count = rng.random_range(4..=6_usize).max(objects.len());
    let everybody = identities();
    while objects.len() < count {
        let object = similar(main, &everybody, rng);
        let row = |behind: bool| {
            objects
                .iter()
                .filter(|&&other| is_behind(other) == behind)
                .count()
        };
        let room = if is_behind(object) {
            row(true) < BEHIND
        } else {
            row(false) < FRONT
        };
        let allowed = !(training && is_held_out(object, main.entity));
        if room && allowed && !objects.contains(&object) && !story.named.contains(&object) {
            objects.push(object);
        }
    }
    objects.shuffle(rng);
    objects
}

/// An object that could be taken for the subject, or for what the entity belongs to, or just any. Most of them could
/// have the relation: otherwise a fitting pair of object and entity would give the label away without any text.
fn similar(main: &Statement, everybody: &[Depicted], rng: &mut ChaCha8Rng) -> Depicted {
    let subject = main.subject;
    let alike: Vec<Depicted> = match rng.random_range(0..100) {
        0..44 => everybody
            .iter()
            .copied()
            .filter(|&other| same_kind(subject, other))
            .collect(),
        44..72 => everybody
            .iter()
            .copied()
            .filter(|&other| can_have(other, main.relation))
            .collect(),
        72..77 => everybody
            .iter()
            .copied()
            .filter(|&other| same_number(subject, other))
            .collect(),
        77..83 => everybody
            .iter()
            .copied()
            .filter(|&other| belongs(other, main.entity))
            .collect(),
        83..92 => Thing::ALL.map(Depicted::Thing).to_vec(),
        _ => everybody
            .iter()
            .copied()
            .filter(|other| !other.is_person())
            .collect(),
    };
    *alike
        .choose(rng)
        .unwrap_or_else(|| everybody.choose(rng).expect("the world is not empty"))
}

/// Teammates for athletes, colleagues for everybody else.
fn same_kind(a: Depicted, b: Depicted) -> bool {
    match (a, b) {
        (Depicted::Athlete { team: a, .. }, Depicted::Athlete { team: b, .. }) => a == b,
        _ => std::mem::discriminant(&a) == std::mem::discriminant(&b),
    }
}

/// The same number in another colour; for everybody else, a player in the same colour.
fn same_number(a: Depicted, b: Depicted) -> bool {
    let Depicted::Athlete { team, number } = b else {
        return false;
    };
    match a {
        Depicted::Athlete { number: other, .. } => other == number,
        Depicted::Coach(colour) | Depicted::Politician(colour) | Depicted::Emblem(colour) => {
            colour == team
        }
        _ => false,
    }
}

/// Whether the world ties the object to the entity, or the object wears the colours of the team that is the entity.
fn belongs(object: Depicted, entity: Entity) -> bool {
    let team = match object {
        Depicted::Athlete { team, .. } | Depicted::Coach(team) => Some(TEAMS[team].name),
        _ => None,
    };
    tie(object, entity).is_some() || (entity.class == Class::Team && team == Some(entity.name))
}

const fn is_behind(object: Depicted) -> bool {
    matches!(
        object,
        Depicted::Emblem(_)
            | Depicted::Landmark(_)
            | Depicted::Flag(_)
            | Depicted::Thing(Thing::Banner)
    )
}

/// One question that has an answer, if its object is depicted, and about three that have none; in a hard corpus about one, so that more of
/// its questions turn on words.
fn ask(
    headline: &Headline,
    objects: &[Depicted],
    entity: Entity,
    aim: Aim,
    facts: &mut Vec<Fact>,
    rng: &mut ChaCha8Rng,
) {
    let story = &headline.story;
    let (tied, untied): (Vec<usize>, Vec<usize>) = (0..objects.len())
        .filter(|&index| story.is_clear(objects[index], entity))
        .filter(|&index| !(aim.training && is_held_out(objects[index], entity)))
        .partition(|&index| story.relation(objects[index], entity).is_some());
    let refusals = match rng.random_range(0..100) {
        0..12 => 2,
        12..80 => 3,
        _ => 4,
    };
    let refusals = if aim.hard { refusals - 2 } else { refusals };
    let mut chosen = untied;
    chosen.shuffle(rng);
    chosen.truncate(refusals);
    chosen.extend(tied);
    facts.extend(chosen.into_iter().map(|object| Fact { object, entity }));
}
