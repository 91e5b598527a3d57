//! The rule that decides labels: a relation needs a text that names the depicted object, and a tie between that object
//! and the entity, stated by the text or held by the world. Also which pairs training never sees. Reads no pixels and
//! no words: stories are already structured here.

use super::world::{Class, Depicted, Entity, Relation, tie};

/// "`subject` has `relation` to `entity`", stated by a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Who or what the text says it about.
    pub subject: Depicted,
    /// The relation.
    pub relation: Relation,
    /// The other end.
    pub entity: Entity,
    /// Whether the words stand right behind the subject, so that nobody else in the text can share them.
    pub apposed: bool,
}

/// The meaning of a text: what it states, and all it names.
#[derive(Debug, Clone)]
pub struct Story {
    /// What the headline is about.
    pub subject: Depicted,
    /// Everything stated, at most once for an entity.
    pub statements: Vec<Statement>,
    /// Persons who share the action with the subject (opponent, partner).
    pub sharers: Vec<Depicted>,
    /// Everything with looks that is named, the subject included.
    pub named: Vec<Depicted>,
}

/// One pair in so many of the text-determined ones is kept from training.
const HELD_OUT_OF: u32 = 6;

impl Story {
    /// The statement about an entity, if the text ties anything to it.
    pub fn about(&self, entity: Entity) -> Option<&Statement> {
        self.statements
            .iter()
            .find(|statement| statement.entity == entity)
    }

    /// The relation between an object and an entity; nothing is `none`.
    pub fn relation(&self, object: Depicted, entity: Entity) -> Option<Relation> {
        let stated = self
            .statements
            .iter()
            .find(|statement| statement.subject == object && statement.entity == entity)
            .map(|statement| statement.relation);
        stated.or_else(|| {
            self.named
                .contains(&object)
                .then(|| tie(object, entity))
                .flatten()
        })
    }

    /// Whether every reader would agree on the pair. An object is not asked against its own name; one that the text
    /// names in passing is asked only against what clearly belongs to somebody else.
    pub fn is_clear(&self, object: Depicted, entity: Entity) -> bool {
        if object.name() == Some(entity.name) {
            return false;
        }
        let Some(statement) = self.about(entity) else {
            // The entity is only mentioned: nothing ties it, unless the world does.
            return !self.named.contains(&object) || tie(object, entity).is_none();
        };
        if statement.subject == object {
            return true;
        }
        if !self.named.contains(&object) {
            return true;
        }
        let private = if self.sharers.contains(&object) || self.sharers.contains(&statement.subject)
        {
            statement.apposed
        } else {
            is_private(statement.relation)
        };
        private && tie(object, entity).is_none()
    }
}

/// What lies between a person and an entity where a text only hints at something (`phrases::GOSSIP`, in hard corpora). Politicians
/// govern places, everybody else was born there; one's own team is a tie of the world, others are opposed, and politicians lead federations.
pub fn known(subject: Depicted, entity: Entity) -> Option<Relation> {
    let governs = matches!(subject, Depicted::Politician(_));
    match entity.class {
        _ if !subject.is_person() => None,
        Class::City | Class::Country if governs => Some(Relation::Governance),
        Class::City | Class::Country => Some(Relation::Birth),
        Class::Federation if governs => Some(Relation::LeaderOf),
        Class::Team => tie(subject, entity).or(Some(Relation::OpposedTo)),
        _ => None,
    }
}

/// Whether a bystander named in the same text clearly has no part in the relation. Who looks on at a festival is at
/// the festival too, and who looks on as somebody lands in a town is in that town.
const fn is_private(relation: Relation) -> bool {
    !matches!(
        relation,
        Relation::PresentIn
            | Relation::OrgPresentIn
            | Relation::Residence
            | Relation::Partner
            | Relation::Contain
            | Relation::LocateAt
    )
}

/// Whether a pair is kept from training. Pairs the world ties are not: they have to be learned. The rule is a hash of
/// the two names, independent of the seed.
pub fn is_held_out(object: Depicted, entity: Entity) -> bool {
    if entity.class == Class::Nationality || tie(object, entity).is_some() {
        return false; // nationalities are the world's: each person has exactly one
    }
    object.name().is_some_and(|name| {
        // FNV-1a, because the standard hasher promises no stable values. Its low bits alone are weak: fold them.
        let bytes = name.bytes().chain([b'|']).chain(entity.name.bytes());
        let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        (hash ^ (hash >> 16)).is_multiple_of(HELD_OUT_OF)
    })
}
