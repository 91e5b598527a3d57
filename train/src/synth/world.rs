//! The small invented world every synthetic record plays in: who exists, what they look like, what belongs to what.
//! Constants only, the same for every seed; nothing here draws, writes sentences or decides a label.

/// A relation of the MORE ontology that is not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Two persons compete.
    Opponent,
    /// Two persons cooperate.
    Partner,
    /// Two persons are family.
    Relatives,
    /// A person and a nickname.
    Alias,
    /// A person competes with an organisation.
    OpposedTo,
    LeaderOf,
    MemberOf,
    Birth,
    Residence,
    Governance,
    PresentIn,
    Awarded,
    Party,
    Nationality,
    President,
    OrgAlias,
    Subsidiary,
    LocateAt,
    OrgPresentIn,
    Contain,
}

impl Relation {
    /// Every relation, in the order of the ontology.
    pub const ALL: [Self; 20] = [
        Self::Opponent,
        Self::Partner,
        Self::Relatives,
        Self::Alias,
        Self::OpposedTo,
        Self::LeaderOf,
        Self::MemberOf,
        Self::Birth,
        Self::Residence,
        Self::Governance,
        Self::PresentIn,
        Self::Awarded,
        Self::Party,
        Self::Nationality,
        Self::President,
        Self::OrgAlias,
        Self::Subsidiary,
        Self::LocateAt,
        Self::OrgPresentIn,
        Self::Contain,
    ];

    /// The label as the ontology writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Opponent => "/per/per/opponent",
            Self::Partner => "/per/per/partner",
            Self::Relatives => "/per/per/relatives",
            Self::Alias => "/per/per/alternate_names",
            Self::OpposedTo => "/per/org/opposed_to",
            Self::LeaderOf => "/per/org/leader_of",
            Self::MemberOf => "/per/org/member_of",
            Self::Birth => "/per/loc/place_of_birth",
            Self::Residence => "/per/loc/place_of_residence",
            Self::Governance => "/per/loc/place_of_governance",
            Self::PresentIn => "/per/misc/present_in",
            Self::Awarded => "/per/misc/awarded",
            Self::Party => "/per/misc/party",
            Self::Nationality => "/per/misc/nationality",
            Self::President => "/per/misc/president",
            Self::OrgAlias => "/org/org/alternate_names",
            Self::Subsidiary => "/org/org/subsidiary",
            Self::LocateAt => "/org/loc/locate_at",
            Self::OrgPresentIn => "/org/misc/present_in",
            Self::Contain => "/loc/loc/contain",
        }
    }
}

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
    Person,
    Relative,
    Nickname,
    Team,
    TeamNickname,
    Federation,
    City,
    Country,
    District,
    Event,
    Award,
    Party,
    Nationality,
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

/// A team and everybody in it.
#[derive(Debug)]
pub struct Team {
    /// Name of the organisation.
    pub name: &'static str,
    /// Colour of kit, scarf and emblem, a word of [`COLOURS`].
    pub colour: &'static str,
    /// Shape of the emblem.
    pub emblem: &'static str,
    /// Index into [`CITIES`].
    pub city: usize,
    /// Index into [`FEDERATIONS`].
    pub federation: usize,
    /// Players with number 1, 4, 7 and 8.
    pub athletes: [&'static str; 4],
    /// The coach.
    pub coach: &'static str,
}

/// A building that stands for its city.
#[derive(Debug)]
pub struct Landmark {
    /// Name of the building.
    pub name: &'static str,
    /// What the silhouette shows.
    pub shape: &'static str,
    /// Index into [`CITIES`].
    pub city: usize,
}

/// A country and its flag.
#[derive(Debug)]
pub struct Country {
    /// Name of the country.
    pub name: &'static str,
    /// The word for its citizens.
    pub nationality: &'static str,
    /// What the flag shows.
    pub flag: &'static str,
}

/// The numbers players wear: the four digits that differ most when they are twenty pixels high.
pub const NUMBERS: [u8; 4] = [1, 4, 7, 8];

/// The six colours of the world, those of the teams in their order; politicians wear them in the same order.
pub const COLOURS: [&str; 6] = ["red", "blue", "green", "yellow", "purple", "orange"];

/// The teams.
pub const TEAMS: [Team; 6] = [
    Team {
        name: "Torvale Rovers",
        colour: COLOURS[0],
        emblem: "star",
        city: 0,
        federation: 0,
        athletes: ["Mara Voss", "Lena Orr", "Tomas Hale", "Iris Bloom"],
        coach: "Anton Berg",
    },
    Team {
        name: "Kelden United",
        colour: COLOURS[1],
        emblem: "ring",
        city: 1,
        federation: 0,
        athletes: ["Nadia Frost", "Pavel Stone", "Greta Lind", "Oscar Wren"],
        coach: "Berta Holm",
    },
    Team {
        name: "Mossby Rangers",
        colour: COLOURS[2],
        emblem: "diamond",
        city: 2,
        federation: 1,
        athletes: ["Bruno Falk", "Selma Quist", "Viktor Ames", "Hanna Reed"],
        coach: "Carlo Nash",
    },
    Team {
        name: "Sandor Flyers",
        colour: COLOURS[3],
        emblem: "triangle",
        city: 3,
        federation: 1,
        athletes: ["Dario Penn", "Elsa Marsh", "Felix Crane", "Judit Rowe"],
        coach: "Diana Lowe",
    },
    Team {
        name: "Vintor Kings",
        colour: COLOURS[4],
        emblem: "cross",
        city: 4,
        federation: 2,
        athletes: ["Kasper Dune", "Livia Thorn", "Milan Pike", "Rosa Vance"],
        coach: "Edgar Swan",
    },
    Team {
        name: "Harlow Tigers",
        colour: COLOURS[5],
        emblem: "crescent",
        city: 5,
        federation: 2,
        athletes: ["Simon Beck", "Tilda Shaw", "Ursula Kent", "Walter Finch"],
        coach: "Fiona Rusk",
    },
];

/// The politicians, in the order of [`COLOURS`].
pub const POLITICIANS: [&str; 6] = [
    "Gustav Hart",
    "Helga Stern",
    "Igor Plum",
    "Jonas Webb",
    "Klara Boyd",
    "Ludwig Carr",
];

/// The buildings.
pub const LANDMARKS: [Landmark; 6] = [
    Landmark {
        name: "Alder Hall",
        shape: "dome",
        city: 0,
    },
    Landmark {
        name: "Basil House",
        shape: "tower",
        city: 1,
    },
    Landmark {
        name: "Cobalt Court",
        shape: "gate",
        city: 2,
    },
    Landmark {
        name: "Dorian Palace",
        shape: "pyramid",
        city: 3,
    },
    Landmark {
        name: "Elmwood Keep",
        shape: "castle",
        city: 4,
    },
    Landmark {
        name: "Falcon Lodge",
        shape: "windmill",
        city: 5,
    },
];

/// The countries.
pub const COUNTRIES: [Country; 4] = [
    Country {
        name: "Arvenia",
        nationality: "Arvenian",
        flag: "green and white stripes",
    },
    Country {
        name: "Belmark",
        nationality: "Belmarkish",
        flag: "a white cross on blue",
    },
    Country {
        name: "Corland",
        nationality: "Corlandic",
        flag: "a red circle on white",
    },
    Country {
        name: "Duvania",
        nationality: "Duvanian",
        flag: "black and yellow halves",
    },
];

/// Country of each city, an index into [`COUNTRIES`].
pub const CITY_COUNTRY: [usize; 6] = [0, 0, 1, 1, 2, 3];

/// The cities.
pub const CITIES: [Entity; 6] = list(
    Class::City,
    ["Brask", "Lumen", "Ostra", "Pavik", "Sorrel", "Tindal"],
);
/// The federations teams belong to.
pub const FEDERATIONS: [Entity; 3] = list(
    Class::Federation,
    ["Northern League", "Coastal Union", "Royal Circuit"],
);
/// Parts of a city.
pub const DISTRICTS: [Entity; 5] = list(
    Class::District,
    [
        "Linden Park",
        "Market Quarter",
        "Harbor District",
        "Temple Hill",
        "Garden Row",
    ],
);
/// Cups, games and festivals.
pub const EVENTS: [Entity; 8] = list(
    Class::Event,
    [
        "Harvest Cup",
        "Lantern Festival",
        "Winter Games",
        "Maple Open",
        "Crystal Final",
        "Ocean Marathon",
        "Spring Gala",
        "Founders Day",
    ],
);
/// What a person can be given.
pub const AWARDS: [Entity; 6] = list(
    Class::Award,
    [
        "Golden Boot",
        "Silver Lamp",
        "Amber Medal",
        "Crown Prize",
        "Laurel Ribbon",
        "Phoenix Award",
    ],
);
/// Political camps.
pub const PARTIES: [Entity; 5] = list(
    Class::Party,
    [
        "Dawn Party",
        "River Party",
        "Liberty Front",
        "Reform Circle",
        "People Alliance",
    ],
);
/// What a politician can be president of.
pub const BODIES: [Entity; 5] = list(
    Class::Body,
    [
        "Trade Council",
        "Arts Academy",
        "Chess Society",
        "Health Board",
        "Rescue Fund",
    ],
);
/// Nicknames of persons; a headline says whose.
pub const NICKNAMES: [Entity; 8] = list(
    Class::Nickname,
    [
        "Quick Arrow",
        "Silent Storm",
        "Little Hammer",
        "Iron Heart",
        "Lucky Spark",
        "Mighty Oak",
        "Clever Raven",
        "Brave Comet",
    ],
);
/// Nicknames of teams; a headline says whose.
pub const TEAM_NICKNAMES: [Entity; 6] = list(
    Class::TeamNickname,
    [
        "Night Wolves",
        "Stone Bears",
        "River Hawks",
        "Steel Bulls",
        "Silver Foxes",
        "Thunder Owls",
    ],
);
/// Persons who are never depicted; a headline says whose family they are.
pub const RELATIVES: [Entity; 8] = list(
    Class::Relative,
    [
        "Amelia Dorn",
        "Boris Kane",
        "Cecil Tate",
        "Dora Flint",
        "Emil Sands",
        "Frida Locke",
        "Gwen Yates",
        "Hugo Marr",
    ],
);

/// The entities of one class.
const fn list<const N: usize>(class: Class, names: [&'static str; N]) -> [Entity; N] {
    let mut entities = [Entity { name: "", class }; N];
    let mut index = 0;
    while index < N {
        entities[index].name = names[index];
        index += 1;
    }
    entities
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
