//! What can be said: which relation fits which subject, with which entities, in which form. Puts no sentence together.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::Aim;
use super::phrases::{Form, GOSSIP, Slot, forms, idioms};
use super::rule::{is_held_out, known};
use super::world::{
    AWARDS, BODIES, CITIES, COUNTRIES, Class, DISTRICTS, Depicted, EVENTS, Entity, FEDERATIONS,
    NICKNAMES, PARTIES, RELATIVES, Relation, TEAM_NICKNAMES, TEAMS, identities, nationality, tie,
};

/// A statement and the form it takes.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// The relation to the subject.
    pub relation: Relation,
    /// The other end.
    pub entity: Entity,
    /// The words around it.
    pub form: Form,
}

/// Chooses entity and form for a relation of the subject, or nothing when what is already said leaves no room.
pub fn say(
    subject: Depicted,
    relation: Relation,
    aim: Aim,
    before: &[Said],
    rng: &mut ChaCha8Rng,
) -> Option<Said> {
    let pool: Vec<Entity> = pool(subject, relation, aim, rng)
        .into_iter()
        .filter(|&entity| !(aim.training && is_held_out(subject, entity)))
        .filter(|entity| before.iter().all(|said| said.entity != *entity))
        .collect();
    let entity = *pool.choose(rng)?;
    if aim.hard
        && before.iter().all(|said| fit(said.form.slot, Slot::Verb))
        && let Some(form) = rare_form(subject, relation, entity, rng)
    {
        return Some(Said {
            relation,
            entity,
            form,
        });
    }
    let world = tie(subject, entity) == Some(relation);
    let forms: Vec<Form> = forms(relation, subject)
        .into_iter()
        .filter(|form| {
            (world || !form.implied) && before.iter().all(|said| fit(said.form.slot, form.slot))
        })
        .collect();
    // First the slot, then the words: a slot with few forms would be rare otherwise.
    let mut slots: Vec<Slot> = forms.iter().map(|form| form.slot).collect();
    slots.dedup();
    let slot = *slots.choose(rng)?;
    let forms: Vec<Form> = forms.into_iter().filter(|form| form.slot == slot).collect();
    Some(Said {
        relation,
        entity,
        form: *forms.choose(rng)?,
    })
}

/// Words of a hard corpus, for nine statements in ten: gossip for most that the world knows, else an idiom.
fn rare_form(
    subject: Depicted,
    relation: Relation,
    entity: Entity,
    rng: &mut ChaCha8Rng,
) -> Option<Form> {
    if rng.random_bool(0.1) {
        return None;
    }
    let implied = known(subject, entity) == Some(relation)
        && !is_held_out(subject, entity)
        && rng.random_bool(0.9);
    let words = if implied {
        *GOSSIP.choose(rng)?
    } else {
        // The second is half as frequent as the first, the third a third.
        let idioms = idioms(relation, subject);
        let ranked: Vec<(usize, &'static str)> = idioms.iter().copied().enumerate().collect();
        let drawn = ranked.choose_weighted(rng, |&(rank, _)| 1.0 / (rank + 1) as f64);
        drawn.ok()?.1
    };
    Some(Form {
        slot: Slot::Verb,
        words,
        implied,
    })
}

/// Whether two slots can be filled in one sentence.
fn fit(a: Slot, b: Slot) -> bool {
    let main = |slot| matches!(slot, Slot::Verb | Slot::Whole);
    let beside = |slot| matches!(slot, Slot::Apposition | Slot::Role);
    // "… welcomes new resident the Arvenian star …" is no English.
    let clash = matches!(
        (a, b),
        (Slot::Role, Slot::Whole) | (Slot::Whole, Slot::Role)
    );
    let taken = a == b || (main(a) && main(b)) || (beside(a) && beside(b));
    !taken && !clash
}

/// Whether the relation holds in both directions. One such statement a headline, so that at most one thing is tied to
/// the subject's own name.
pub const fn is_mutual(relation: Relation) -> bool {
    matches!(relation, Relation::Opponent | Relation::Partner)
}

/// Whether the relation makes sense for the object.
pub fn can_have(object: Depicted, relation: Relation) -> bool {
    match relation {
        Relation::MemberOf => matches!(object, Depicted::Athlete { .. }),
        Relation::LeaderOf => matches!(object, Depicted::Coach(_) | Depicted::Politician(_)),
        Relation::Governance | Relation::Party | Relation::President => {
            matches!(object, Depicted::Politician(_))
        }
        Relation::OrgAlias | Relation::Subsidiary | Relation::LocateAt | Relation::OrgPresentIn => {
            matches!(object, Depicted::Emblem(_))
        }
        Relation::Contain => matches!(object, Depicted::Landmark(_) | Depicted::Flag(_)),
        _ => object.is_person(),
    }
}

/// The entities a relation of the subject may have; what the world holds and what it does not take turns by lot; in hard corpora
/// what it knows comes three times in four.
fn pool(subject: Depicted, relation: Relation, aim: Aim, rng: &mut ChaCha8Rng) -> Vec<Entity> {
    let everything: Vec<Entity> = match relation {
        Relation::Opponent | Relation::Partner => identities()
            .into_iter()
            .filter(|&other| other.is_person() && other != subject)
            .filter_map(Depicted::entity)
            .collect(),
        Relation::Relatives => RELATIVES.to_vec(),
        Relation::Alias => NICKNAMES.to_vec(),
        Relation::OpposedTo => organisations()
            .into_iter()
            .filter(|&entity| tie(subject, entity).is_none())
            .collect(),
        Relation::LeaderOf => organisations(),
        Relation::MemberOf => organisations()
            .into_iter()
            .filter(|entity| entity.class == Class::Team)
            .collect(),
        Relation::Birth | Relation::Residence | Relation::Governance | Relation::LocateAt => {
            places()
        }
        Relation::PresentIn | Relation::OrgPresentIn => EVENTS.to_vec(),
        Relation::Awarded => AWARDS.to_vec(),
        Relation::Party => PARTIES.to_vec(),
        Relation::Nationality => nationality(subject).into_iter().collect(),
        Relation::President => BODIES.to_vec(),
        Relation::OrgAlias => TEAM_NICKNAMES.to_vec(),
        Relation::Subsidiary => FEDERATIONS.to_vec(),
        Relation::Contain => places()
            .into_iter()
            .filter(|&place| tie(subject, place).is_some())
            .chain(DISTRICTS)
            .collect(),
    };
    let (held, free): (Vec<Entity>, Vec<Entity>) = everything.into_iter().partition(|&entity| {
        tie(subject, entity) == Some(relation)
            || (aim.hard && known(subject, entity) == Some(relation))
    });
    let share = if aim.hard { 0.75 } else { 0.45 };
    if free.is_empty() || (!held.is_empty() && rng.random_bool(share)) {
        held
    } else {
        free
    }
}

/// Every team and federation.
pub fn organisations() -> Vec<Entity> {
    let teams = (0..TEAMS.len()).filter_map(|team| Depicted::Emblem(team).entity());
    teams.chain(FEDERATIONS).collect()
}

/// Every city and country.
pub fn places() -> Vec<Entity> {
    let countries = (0..COUNTRIES.len()).filter_map(|country| Depicted::Flag(country).entity());
    CITIES.into_iter().chain(countries).collect()
}
