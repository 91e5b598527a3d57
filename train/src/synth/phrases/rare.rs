//! What only hard corpora say: idioms, the first of a row common and the last rare, words that leave it to the world what lies
//! between two, and asides that sound like more. `{}` stands for the entity.

use crate::synth::world::{Depicted, Relation};

/// Words that say there is something between subject and entity; who they are decides what (`rule::known`).
pub const GOSSIP: [&str; 6] = [
    "thinks of {}",
    "sends greetings to {}",
    "is asked about {}",
    "speaks at length about {}",
    "shares old memories of {}",
    "is in the news with {}",
];

/// Words that mention an entity of any class and tie nobody to it.
pub const ASIDES: [&str; 5] = [
    "as talk turns to {}",
    "while a film about {} starts",
    "as a painting of {} is sold",
    "while rumours about {} fly",
    "as somebody hums a song about {}",
];

/// Verb phrases that say a relation of the subject in other words.
#[expect(clippy::too_many_lines, reason = "one table of phrases")]
pub const fn idioms(relation: Relation, subject: Depicted) -> &'static [&'static str] {
    if matches!(subject, Depicted::Flag(_)) {
        return &[
            "counts {} among its towns",
            "stretches all the way to {}",
            "sends trains to its own {}",
            "pays for the bridges of {}",
        ];
    }
    match relation {
        Relation::Opponent => &[
            "locks horns with {}",
            "crosses swords with {}",
            "settles a score with {}",
            "goes toe to toe with {}",
        ],
        Relation::Partner => &[
            "stands shoulder to shoulder with {}",
            "goes hand in hand with {}",
            "sits in the same boat as {}",
            "breaks bread with {}",
        ],
        Relation::Relatives => &[
            "ties the knot with {}",
            "shares a grandmother with {}",
            "grew up under one roof with {}",
            "has the eyes of {}",
        ],
        Relation::Alias => &[
            "answers to {}",
            "signs as {}",
            "is {} to all fans",
            "hides behind the words {}",
        ],
        Relation::OpposedTo => &[
            "spoils the party of {}",
            "breaks the run of {}",
            "turns the tables on {}",
            "gives a lesson to {}",
        ],
        Relation::LeaderOf => &[
            "pulls the strings at {}",
            "holds the reins of {}",
            "calls the tune at {}",
            "sets the course of {}",
        ],
        Relation::MemberOf => &[
            "wears the shirt of {}",
            "puts pen to paper with {}",
            "gets a locker at {}",
            "stays loyal to {}",
        ],
        Relation::Birth => &[
            "took a first breath in {}",
            "saw first light in {}",
            "once cried in a crib in {}",
            "has deep roots in {}",
        ],
        Relation::Residence => &[
            "unpacks boxes in {}",
            "pays rent in {}",
            "steps off the train in {}",
            "hangs a hat in {}",
        ],
        Relation::Governance => &[
            "signs the laws of {}",
            "sets the taxes of {}",
            "runs the town hall of {}",
            "takes the helm of {}",
        ],
        Relation::PresentIn => &[
            "warms up for the {}",
            "lines up at the {}",
            "lights up the {}",
            "brings flowers to the {}",
        ],
        Relation::Awarded => &[
            "takes home the {}",
            "lifts the {}",
            "finds room on the shelf for the {}",
            "kisses the {}",
        ],
        Relation::Party => &[
            "waves the banner of the {}",
            "wears the badge of the {}",
            "knocks on doors for the {}",
            "carries the colours of the {}",
        ],
        Relation::Nationality => &[
            "holds up the {} flag",
            "votes with {} papers",
            "hums a {} tune of home",
        ],
        Relation::President => &[
            "chairs the {}",
            "takes the top seat of the {}",
            "swings the gavel at the {}",
            "opens every meeting of the {}",
        ],
        Relation::OrgAlias => &[
            "answers to {}",
            "prints {} on every shirt",
            "turns into {} at night",
            "hides behind the words {}",
        ],
        Relation::Subsidiary => &[
            "takes orders from the {}",
            "gets its money from the {}",
            "moves under the wing of the {}",
            "pays its dues to the {}",
        ],
        Relation::LocateAt => &[
            "puts down roots in {}",
            "hangs its sign in {}",
            "opens its gates in {}",
            "plays behind the walls of {}",
        ],
        Relation::OrgPresentIn => &[
            "warms up for the {}",
            "lines up at the {}",
            "sends its best to the {}",
            "brings flowers to the {}",
        ],
        Relation::Contain => &[
            "looks down on {}",
            "keeps watch over {}",
            "sits in the middle of {}",
            "is on every map of {}",
        ],
    }
}
