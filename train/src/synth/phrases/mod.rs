//! The words of headlines, as tables: how each relation is put, and what surrounds it. `{}` stands for the entity
//! (or a bystander), `@` for the subject. No table is consulted for a label: the tables are filed under it.

mod rare;
mod tables;

use super::world::{Class, Depicted, Relation};
pub use rare::{ASIDES, GOSSIP, idioms};
use tables::table;

/// Where a phrase stands in the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// Between the subject and its verb, between commas.
    Apposition,
    /// The verb and what it governs.
    Verb,
    /// Behind the verb phrase.
    Tail,
    /// A whole clause with the entity in front.
    Whole,
    /// Before the subject's name.
    Role,
}

/// One way to put a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Its place.
    pub slot: Slot,
    /// Its words.
    pub words: &'static str,
    /// Whether the words only mention the entity, so that the world has to hold the relation.
    pub implied: bool,
}

/// Every way to put a relation of the subject.
pub fn forms(relation: Relation, subject: Depicted) -> Vec<Form> {
    let table = table(relation, subject);
    let slots = [
        (Slot::Apposition, table.apposition, false),
        (Slot::Verb, table.verb, false),
        (Slot::Whole, table.whole, false),
        (Slot::Verb, table.implied, true),
    ];
    let mut forms: Vec<Form> = slots
        .into_iter()
        .flat_map(|(slot, words, implied)| {
            words.iter().map(move |words| Form {
                slot,
                words,
                implied,
            })
        })
        .collect();
    let special: &[(Slot, &str)] = match relation {
        Relation::Nationality => &[
            (Slot::Role, "the {} star"),
            (Slot::Role, "the {} champion"),
            (Slot::Role, "the {} guest"),
        ],
        Relation::PresentIn | Relation::OrgPresentIn => &[
            (Slot::Tail, "at the {}"),
            (Slot::Tail, "during the {}"),
            (Slot::Tail, "on stage at the {}"),
        ],
        _ => &[],
    };
    forms.extend(special.iter().map(|&(slot, words)| Form {
        slot,
        words,
        implied: false,
    }));
    forms
}

/// Verb phrases that say nothing about anybody else.
pub const PERSON_FILLERS: [&str; 14] = [
    "waves to the crowd",
    "smiles for the cameras",
    "speaks to reporters",
    "answers many questions",
    "looks happy and rested",
    "signs shirts for young fans",
    "takes a long break",
    "walks through the rain",
    "prepares for a busy week",
    "gives a short speech",
    "laughs about an old joke",
    "raises both arms",
    "poses for a photo",
    "promises a better year",
];
/// The same for teams, buildings and countries.
pub const PLACE_FILLERS: [&str; 8] = [
    "makes the front page",
    "sells more tickets than ever",
    "gets a fresh coat of paint",
    "plans a quiet summer",
    "is the talk of the week",
    "looks back on a busy year",
    "starts a new chapter",
    "draws long queues",
];
/// In front of everything.
pub const LEADS: [&str; 10] = [
    "Breaking :",
    "Photo of the day :",
    "Live :",
    "Watch :",
    "Report :",
    "Morning news :",
    "Picture story :",
    "Latest :",
    "Sunday review :",
    "Just in :",
];
/// In front of the subject.
pub const OPENERS: [&str; 10] = [
    "after a long night ,",
    "on a rainy evening ,",
    "before a full house ,",
    "under bright lights ,",
    "against all odds ,",
    "for the first time ,",
    "to loud applause ,",
    "despite heavy rain ,",
    "late on Friday ,",
    "without any warning ,",
];
/// Behind everything the subject does.
pub const TAILS: [&str; 14] = [
    "after a long night",
    "on a rainy evening",
    "before a full house",
    "under bright lights",
    "against all odds",
    "for the first time in years",
    "to loud applause",
    "despite heavy rain",
    "with a broad smile",
    "as cameras flash",
    "late on Friday",
    "once again this season",
    "on live television",
    "to the surprise of many",
];
/// Between subject and verb.
pub const ADVERBS: [&str; 8] = [
    "finally",
    "proudly",
    "quietly",
    "suddenly",
    "once more",
    "again",
    "today",
    "happily",
];
/// A bystander, at the end.
pub const BYSTANDERS: [&str; 6] = [
    "while {} watches from the side",
    "as {} looks on",
    "while {} rests on the bench",
    "as {} stays silent",
    "while {} sits in the crowd",
    "as {} checks the clock",
];
/// A bystander, in front.
pub const FRONT_BYSTANDERS: [&str; 3] = [
    "as {} looks on ,",
    "while {} sits in the crowd ,",
    "as {} stays silent ,",
];

/// Clauses that mention an entity and tie nobody to it.
pub const fn mentions(class: Class) -> &'static [&'static str] {
    match class {
        Class::City | Class::District | Class::Country => &[
            "while rain falls over {}",
            "as shops close early in {}",
            "while traffic stops in {}",
            "as lights go out across {}",
        ],
        Class::Team | Class::Federation | Class::TeamNickname => &[
            "while fans of {} stay at home",
            "as old shirts of {} sell well",
            "while lawyers of {} say nothing",
        ],
        Class::Event => &[
            "while tickets for the {} sell out",
            "as plans for the {} are delayed",
            "while posters for the {} are printed",
        ],
        Class::Award => &[
            "while judges discuss the {}",
            "as the {} waits in a glass box",
        ],
        Class::Party => &[
            "while the {} counts its money",
            "as the {} paints its office",
        ],
        Class::Nationality => &["while {} farmers fear the frost", "as {} markets fall"],
        Class::Body => &[
            "while the {} closes for summer",
            "as the {} paints its office",
        ],
        Class::Person | Class::Relative | Class::Nickname => &[
            "while friends of {} stay at home",
            "as a letter from {} is found",
        ],
    }
}
