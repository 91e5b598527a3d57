//! The small invented world every synthetic record plays in: who exists, what they look like, what belongs to what.
//! Constants only, the same for every seed; nothing here draws, writes sentences or decides a label.

mod lists;
mod relation;

pub use lists::*;
pub use relation::Relation;

/// An object nobody has a name for; always of type `misc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// A golden cup on a foot.
    Trophy,
    /// Three white steps with figures.
    Podium,
    /// A long cloth with a wavy line.
    Banner,
    /// A black and white ball.
    Ball,
    /// A dark car seen from the side.
    Car,
    /// Somebody far out of focus, impossible to recognise.
    Figure,
}

impl Thing {
    /// Every thing.
    pub const ALL: [Self; 6] = [
        Self::Trophy,
        Self::Podium,
        Self::Banner,
        Self::Ball,
        Self::Car,
        Self::Figure,
    ];
}

/// Whatever a box of a scene can hold. The number is the place in the world's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depicted {
    /// A player of a team, in the team's colour, with a number on the chest.
    Athlete {
        /// Index into [`TEAMS`].
        team: usize,
        /// Index into [`NUMBERS`] and [`Team::athletes`].
        number: usize,
    },
    /// The coach of a team: dark suit, scarf in the team's colour.
    Coach(usize),
    /// A politician: long robe and tall hat in one of the six colours.
    Politician(usize),
    /// The emblem of a team on a white plate.
    Emblem(usize),
    /// A building of one city.
    Landmark(usize),
    /// The flag of a country.
    Flag(usize),
    /// Something without a name.
    Thing(Thing),
}

/// What an entity of a text can be; it decides the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Somebody with looks.
    Person,
    /// Somebody who is never depicted.
    Relative,
    /// Another name of a person.
    Nickname,
    /// A team, by its name.
    Team,
    /// Another name of a team.
    TeamNickname,
    /// What teams belong to.
    Federation,
    /// A city.
    City,
    /// A country.
    Country,
    /// A part of a city, or a building.
    District,
    /// A cup, a festival.
    Event,
    /// A prize.
    Award,
    /// A political camp.
    Party,
    /// The word for the citizens of a country.
    Nationality,
    /// What somebody can be president of.
    Body,
}

impl Class {
    /// The entity type in the words of the ontology.
    pub const fn entity_type(self) -> &'static str {
        match self {
            Self::Person | Self::Relative | Self::Nickname => "per",
            Self::Team | Self::TeamNickname | Self::Federation => "org",
            Self::City | Self::Country | Self::District => "loc",
            Self::Event | Self::Award | Self::Party | Self::Nationality | Self::Body => "misc",
        }
    }
}

/// Something a text can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity {
    /// Its one name, of one or two words.
    pub name: &'static str,
    /// What it is.
    pub class: Class,
}

/// Everything of the world that has a name and can be depicted, in a fixed order.
pub fn identities() -> Vec<Depicted> {
    let athletes = (0..TEAMS.len())
        .flat_map(|team| (0..NUMBERS.len()).map(move |number| Depicted::Athlete { team, number }));
    athletes
        .chain((0..TEAMS.len()).map(Depicted::Coach))
        .chain((0..POLITICIANS.len()).map(Depicted::Politician))
        .chain((0..TEAMS.len()).map(Depicted::Emblem))
        .chain((0..LANDMARKS.len()).map(Depicted::Landmark))
        .chain((0..COUNTRIES.len()).map(Depicted::Flag))
        .collect()
}

impl Depicted {
    /// The name that goes with the looks; things have none.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Athlete { team, number } => Some(TEAMS[team].athletes[number]),
            Self::Coach(team) => Some(TEAMS[team].coach),
            Self::Politician(index) => Some(POLITICIANS[index]),
            Self::Emblem(team) => Some(TEAMS[team].name),
            Self::Landmark(index) => Some(LANDMARKS[index].name),
            Self::Flag(index) => Some(COUNTRIES[index].name),
            Self::Thing(_) => None,
        }
    }

    /// The object's type in the words of the ontology.
    pub const fn object_type(self) -> &'static str {
        match self {
            Self::Athlete { .. } | Self::Coach(_) | Self::Politician(_) => "per",
            Self::Emblem(_) => "org",
            Self::Landmark(_) | Self::Flag(_) => "loc",
            Self::Thing(_) => "misc",
        }
    }

    /// Whether it is a person with a name.
    pub const fn is_person(self) -> bool {
        matches!(
            self,
            Self::Athlete { .. } | Self::Coach(_) | Self::Politician(_)
        )
    }

    /// What a text says when it names this object.
    pub fn entity(self) -> Option<Entity> {
        let class = match self {
            Self::Athlete { .. } | Self::Coach(_) | Self::Politician(_) => Class::Person,
            Self::Emblem(_) => Class::Team,
            Self::Landmark(_) => Class::District,
            Self::Flag(_) => Class::Country,
            Self::Thing(_) => return None,
        };
        self.name().map(|name| Entity { name, class })
    }

    /// Index of the person's country in [`COUNTRIES`]; the world fixes it so that every team is mixed.
    pub const fn country(self) -> Option<usize> {
        match self {
            Self::Athlete { team, number } => Some((team + number) % COUNTRIES.len()),
            Self::Coach(index) => Some((index + 1) % COUNTRIES.len()),
            Self::Politician(index) => Some((index + 2) % COUNTRIES.len()),
            _ => None,
        }
    }
}

/// The nationality of a person.
pub fn nationality(person: Depicted) -> Option<Entity> {
    person.country().map(|index| Entity {
        name: COUNTRIES[index].nationality,
        class: Class::Nationality,
    })
}

/// The relation the world itself holds between an object and an entity, whatever a text says.
pub fn tie(object: Depicted, entity: Entity) -> Option<Relation> {
    let named = |known: Entity| known == entity;
    match object {
        Depicted::Thing(_) => None,
        Depicted::Athlete { team, .. } if entity.class == Class::Team => {
            (TEAMS[team].name == entity.name).then_some(Relation::MemberOf)
        }
        Depicted::Coach(team) if entity.class == Class::Team => {
            (TEAMS[team].name == entity.name).then_some(Relation::LeaderOf)
        }
        Depicted::Athlete { .. } | Depicted::Coach(_) | Depicted::Politician(_) => {
            nationality(object)
                .is_some_and(named)
                .then_some(Relation::Nationality)
        }
        Depicted::Emblem(team) if named(CITIES[TEAMS[team].city]) => Some(Relation::LocateAt),
        Depicted::Emblem(team) => {
            named(FEDERATIONS[TEAMS[team].federation]).then_some(Relation::Subsidiary)
        }
        Depicted::Landmark(index) => {
            let city = LANDMARKS[index].city;
            let country = COUNTRIES[CITY_COUNTRY[city]].name;
            (named(CITIES[city]) || (entity.class == Class::Country && entity.name == country))
                .then_some(Relation::Contain)
        }
        Depicted::Flag(country) => CITIES
            .iter()
            .zip(CITY_COUNTRY)
            .any(|(city, of)| of == country && *city == entity)
            .then_some(Relation::Contain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let named: Vec<&str> = identities()
            .into_iter()
            .filter_map(Depicted::name)
            .collect();
        let distinct: HashSet<&str> = named.iter().copied().collect();
        assert_eq!(named.len(), 52);
        assert_eq!(distinct.len(), named.len());
    }

    #[test]
    fn relations_are_the_labels_of_the_ontology() {
        let labels: Vec<&str> = proto::Ontology::more().labels[1..]
            .iter()
            .map(|label| label.name.as_str())
            .collect();
        assert_eq!(Relation::ALL.map(Relation::label).to_vec(), labels);
    }

    #[test]
    fn ties_agree_with_types() {
        for object in identities() {
            for entity in CITIES
                .into_iter()
                .chain(FEDERATIONS)
                .chain(identities().into_iter().filter_map(Depicted::entity))
            {
                if let Some(relation) = tie(object, entity) {
                    let types =
                        format!("/{}/{}/", object.object_type(), entity.class.entity_type());
                    assert!(
                        relation.label().starts_with(&types),
                        "{object:?} {entity:?} {relation:?}"
                    );
                }
            }
        }
    }
}
