//! The names of the world. Invented, of one or two plain words each, so that a small vocabulary holds them.

use super::{Class, Entity};

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
