//! The words of headlines, as tables: how each relation is put, and what surrounds it. `{}` stands for the entity
//! (or a bystander), `@` for the subject. No table is consulted for a label: the tables are filed under it.

use super::world::{Class, Depicted, Relation};

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

/// The forms of one relation, by slot; implied ones are verbs.
struct Forms {
    apposition: &'static [&'static str],
    verb: &'static [&'static str],
    whole: &'static [&'static str],
    implied: &'static [&'static str],
}

/// Every way to put a relation of the subject.
pub fn forms(relation: Relation, subject: Depicted) -> Vec<Form> {
    let table = match subject {
        Depicted::Flag(_) => COUNTRY,
        _ => table(relation),
    };
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

/// A country contains; everything else that stands somewhere is contained.
const COUNTRY: Forms = Forms {
    apposition: &["home of {}", "the land around {}"],
    verb: &[
        "includes {}",
        "builds a road through {}",
        "holds elections in {}",
        "spends money on its town {}",
    ],
    whole: &["{} belongs to @", "{} is a part of @"],
    implied: &["talks about {}", "praises {}"],
};

fn table(relation: Relation) -> Forms {
    match relation {
        Relation::Opponent => Forms {
            apposition: &["rival of {}", "an old enemy of {}"],
            verb: &[
                "beats {}",
                "defeats {}",
                "faces {} in a hard duel",
                "challenges {}",
                "argues with {}",
                "loses a duel against {}",
                "competes against {}",
            ],
            whole: &["{} loses to @", "{} fears a duel with @"],
            implied: &[],
        },
        Relation::Partner => Forms {
            apposition: &["partner of {}", "a close friend of {}"],
            verb: &[
                "celebrates with {}",
                "teams up with {}",
                "works with {}",
                "joins forces with {}",
                "shares the stage with {}",
                "trains beside {}",
                "signs a joint plan with {}",
            ],
            whole: &["{} teams up with @", "{} shares the stage with @"],
            implied: &[],
        },
        Relation::Relatives => Forms {
            apposition: &[
                "brother of {}",
                "married to {}",
                "child of {}",
                "cousin of {}",
            ],
            verb: &[
                "hugs mother {}",
                "thanks father {}",
                "walks with sister {}",
                "marries {}",
                "visits uncle {}",
                "dances with cousin {}",
            ],
            whole: &["{} is a proud parent of @", "{} marries @"],
            implied: &[],
        },
        Relation::Alias => Forms {
            apposition: &[
                "known as {}",
                "also called {}",
                "nicknamed {}",
                "better known as {}",
            ],
            verb: &[
                "earns the nickname {}",
                "goes by the name {}",
                "takes the stage name {}",
                "is also called {}",
            ],
            whole: &["{} is the new nickname of @", "{} is the stage name of @"],
            implied: &[],
        },
        Relation::OpposedTo => Forms {
            apposition: &["rival of {}", "an old enemy of {}"],
            verb: &[
                "beats {}",
                "defeats {}",
                "scores twice against {}",
                "stuns {}",
                "criticises {}",
                "knocks out {}",
                "competes against {}",
            ],
            whole: &["{} loses to @", "{} fears a duel with @"],
            implied: &[],
        },
        Relation::LeaderOf => Forms {
            apposition: &["head of {}", "leader of {}", "boss of {}"],
            verb: &[
                "leads {}",
                "takes charge of {}",
                "becomes head of {}",
                "directs {}",
                "stays on as boss of {}",
            ],
            whole: &["{} names @ as new head", "{} follows leader @"],
            implied: &["talks about {}", "praises {}"],
        },
        Relation::MemberOf => Forms {
            apposition: &["a member of {}", "the new face of {}", "a regular of {}"],
            verb: &[
                "joins {}",
                "signs for {}",
                "plays for {}",
                "moves to {}",
                "stays with {}",
            ],
            whole: &["{} signs @", "{} presents new member @"],
            implied: &["talks about {}", "praises {}"],
        },
        Relation::Birth => Forms {
            apposition: &["born in {}", "a native of {}", "a child of {}"],
            verb: &[
                "was born in {}",
                "visits the birthplace {}",
                "talks about birth in {}",
            ],
            whole: &["{} is the birthplace of @", "{} honours its native @"],
            implied: &[],
        },
        Relation::Residence => Forms {
            apposition: &["living in {}", "a resident of {}", "now at home in {}"],
            verb: &[
                "lives in {}",
                "arrives in {}",
                "moves to {}",
                "lands in {}",
                "buys a house in {}",
                "settles in {}",
            ],
            whole: &["{} welcomes new resident @", "{} is the new home of @"],
            implied: &[],
        },
        Relation::Governance => Forms {
            apposition: &["mayor of {}", "governor of {}"],
            verb: &[
                "governs {}",
                "rules {}",
                "takes office as mayor of {}",
                "wins the vote to govern {}",
                "becomes governor of {}",
            ],
            whole: &["{} elects @ as mayor", "{} follows governor @"],
            implied: &[],
        },
        Relation::PresentIn => Forms {
            apposition: &["a guest of the {}"],
            verb: &[
                "competes at the {}",
                "appears at the {}",
                "shines at the {}",
                "attends the {}",
                "takes part in the {}",
            ],
            whole: &["the {} opens with @", "the {} cheers for @"],
            implied: &[],
        },
        Relation::Awarded => Forms {
            apposition: &["winner of the {}", "holder of the {}"],
            verb: &[
                "wins the {}",
                "receives the {}",
                "collects the {}",
                "is honoured with the {}",
                "accepts the {}",
            ],
            whole: &["the {} goes to @", "the {} is handed to @"],
            implied: &[],
        },
        Relation::Party => Forms {
            apposition: &[
                "a candidate of the {}",
                "loyal to the {}",
                "a voice of the {}",
            ],
            verb: &[
                "joins the {}",
                "speaks for the {}",
                "campaigns for the {}",
                "runs for the {}",
            ],
            whole: &["the {} nominates @", "the {} sends candidate @"],
            implied: &[],
        },
        Relation::Nationality => Forms {
            apposition: &["a proud {} citizen", "holder of a {} passport"],
            verb: &[
                "sings the {} anthem",
                "receives a {} passport",
                "speaks as a proud {} citizen",
            ],
            whole: &[],
            implied: &[],
        },
        Relation::President => Forms {
            apposition: &["president of the {}", "the new president of the {}"],
            verb: &[
                "becomes president of the {}",
                "is elected president of the {}",
                "stays president of the {}",
                "serves as president of the {}",
            ],
            whole: &["the {} elects president @", "the {} thanks president @"],
            implied: &[],
        },
        Relation::OrgAlias => Forms {
            apposition: &[
                "known as {}",
                "also called {}",
                "nicknamed {}",
                "better known as {}",
            ],
            verb: &[
                "earns the nickname {}",
                "goes by the name {}",
                "takes the stage name {}",
                "is also called {}",
            ],
            whole: &["{} is the new nickname of @", "{} is the stage name of @"],
            implied: &[],
        },
        Relation::Subsidiary => Forms {
            apposition: &["part of the {}", "a branch of the {}", "owned by the {}"],
            verb: &[
                "becomes part of the {}",
                "is bought by the {}",
                "signs up as a branch of the {}",
                "enters the {}",
            ],
            whole: &["the {} buys @", "the {} gains the branch @"],
            implied: &["talks about the {}", "praises the {}"],
        },
        Relation::LocateAt => Forms {
            apposition: &["based in {}", "located in {}", "now at home in {}"],
            verb: &[
                "opens an office in {}",
                "moves to {}",
                "builds a stadium in {}",
                "settles in {}",
            ],
            whole: &["{} is the new home of @", "{} gives land to @"],
            implied: &["talks about {}", "praises {}"],
        },
        Relation::OrgPresentIn => Forms {
            apposition: &["a guest of the {}"],
            verb: &[
                "plays at the {}",
                "appears at the {}",
                "shines at the {}",
                "attends the {}",
                "takes part in the {}",
            ],
            whole: &["the {} opens with @", "the {} cheers for @"],
            implied: &[],
        },
        Relation::Contain => Forms {
            apposition: &["in the heart of {}", "located in {}"],
            verb: &[
                "stands in {}",
                "opens its doors in {}",
                "is the pride of {}",
                "rises above {}",
            ],
            whole: &["{} is the home of @", "{} surrounds @"],
            implied: &["brings light to {}", "has good news for {}"],
        },
    }
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
