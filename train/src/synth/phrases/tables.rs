//! How each relation is put into words. `{}` stands for the entity, `@` for the subject.

use crate::synth::world::{Depicted, Relation};

/// The forms of one relation, by their place in the sentence; implied ones only mention the entity, as verbs do.
#[derive(Debug)]
pub struct Forms {
    /// Between the subject and its verb.
    pub apposition: &'static [&'static str],
    /// The verb and what it governs.
    pub verb: &'static [&'static str],
    /// A whole clause with the entity in front.
    pub whole: &'static [&'static str],
    /// Verbs that leave the relation to the world.
    pub implied: &'static [&'static str],
}

/// The table for a relation of the subject.
pub const fn table(relation: Relation, subject: Depicted) -> &'static Forms {
    if matches!(subject, Depicted::Flag(_)) {
        return &COUNTRY;
    }
    match relation {
        Relation::Opponent => &OPPONENT,
        Relation::Partner => &PARTNER,
        Relation::Relatives => &RELATIVES,
        Relation::Alias | Relation::OrgAlias => &ALIAS,
        Relation::OpposedTo => &OPPOSED_TO,
        Relation::LeaderOf => &LEADER_OF,
        Relation::MemberOf => &MEMBER_OF,
        Relation::Birth => &BIRTH,
        Relation::Residence => &RESIDENCE,
        Relation::Governance => &GOVERNANCE,
        Relation::PresentIn => &PRESENT_IN,
        Relation::Awarded => &AWARDED,
        Relation::Party => &PARTY,
        Relation::Nationality => &NATIONALITY,
        Relation::President => &PRESIDENT,
        Relation::Subsidiary => &SUBSIDIARY,
        Relation::LocateAt => &LOCATE_AT,
        Relation::OrgPresentIn => &ORG_PRESENT_IN,
        Relation::Contain => &CONTAIN,
    }
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

const OPPONENT: Forms = Forms {
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
};

const PARTNER: Forms = Forms {
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
};

const RELATIVES: Forms = Forms {
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
};

const ALIAS: Forms = Forms {
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
};

const OPPOSED_TO: Forms = Forms {
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
};

const LEADER_OF: Forms = Forms {
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
};

const MEMBER_OF: Forms = Forms {
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
};

const BIRTH: Forms = Forms {
    apposition: &["born in {}", "a native of {}", "a child of {}"],
    verb: &[
        "was born in {}",
        "visits the birthplace {}",
        "talks about birth in {}",
    ],
    whole: &["{} is the birthplace of @", "{} honours its native @"],
    implied: &[],
};

const RESIDENCE: Forms = Forms {
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
};

const GOVERNANCE: Forms = Forms {
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
};

const PRESENT_IN: Forms = Forms {
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
};

const AWARDED: Forms = Forms {
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
};

const PARTY: Forms = Forms {
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
};

const NATIONALITY: Forms = Forms {
    apposition: &["a proud {} citizen", "holder of a {} passport"],
    verb: &[
        "sings the {} anthem",
        "receives a {} passport",
        "speaks as a proud {} citizen",
    ],
    whole: &[],
    implied: &[],
};

const PRESIDENT: Forms = Forms {
    apposition: &["president of the {}", "the new president of the {}"],
    verb: &[
        "becomes president of the {}",
        "is elected president of the {}",
        "stays president of the {}",
        "serves as president of the {}",
    ],
    whole: &["the {} elects president @", "the {} thanks president @"],
    implied: &[],
};

const SUBSIDIARY: Forms = Forms {
    apposition: &["part of the {}", "a branch of the {}", "owned by the {}"],
    verb: &[
        "becomes part of the {}",
        "is bought by the {}",
        "signs up as a branch of the {}",
        "enters the {}",
    ],
    whole: &["the {} buys @", "the {} gains the branch @"],
    implied: &["talks about the {}", "praises the {}"],
};

const LOCATE_AT: Forms = Forms {
    apposition: &["based in {}", "located in {}", "now at home in {}"],
    verb: &[
        "opens an office in {}",
        "moves to {}",
        "builds a stadium in {}",
        "settles in {}",
    ],
    whole: &["{} is the new home of @", "{} gives land to @"],
    implied: &["talks about {}", "praises {}"],
};

const ORG_PRESENT_IN: Forms = Forms {
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
};

const CONTAIN: Forms = Forms {
    apposition: &["in the heart of {}", "located in {}"],
    verb: &[
        "stands in {}",
        "opens its doors in {}",
        "is the pride of {}",
        "rises above {}",
    ],
    whole: &["{} is the home of @", "{} surrounds @"],
    implied: &["brings light to {}", "has good news for {}"],
};
