//! Gold answers: six steps from what is seen and read to the label, in a few plain wordings. Every deciding fact is
//! stated before it is needed, because a model that writes from left to right can only build on what it wrote.

use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::draw::Setting;
use super::rule::Story;
use super::world::{
    COLOURS, COUNTRIES, Depicted, Entity, LANDMARKS, NUMBERS, Relation, TEAMS, Thing,
};

/// What a trace is written about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What the box holds.
    pub object: Depicted,
    /// What is asked about.
    pub entity: Entity,
    /// The meaning of the text.
    pub story: &'a Story,
    /// Where the picture was taken.
    pub setting: Setting,
    /// Whether sentences have several wordings. In a hard corpus they have one: answers that are drawn there differ in what they
    /// decide, and that is what their rewards are about.
    pub varied: bool,
}

/// Writes the whole answer.
///
/// # Panics
/// When a sentence breaks the grammar, which would be a bug here.
pub fn write(question: &Question<'_>, rng: &mut ChaCha8Rng) -> String {
    let label = question.story.relation(question.object, question.entity);
    let steps = [
        see(question, rng),
        read(question, rng),
        align(question, label, rng),
        types(question, rng),
        filter(question, rng),
        decide(question, label, rng),
    ];
    proto::render(&steps, label.map_or("none", Relation::label))
        .expect("the sentences hold no structure")
}

/// Step 1: what the pixels show, before any name.
fn see(question: &Question<'_>, rng: &mut ChaCha8Rng) -> String {
    let looks = looks(question.object);
    let place = question.setting.word();
    let role = match question.object {
        Depicted::Thing(Thing::Figure) => "too blurred to be recognised, a minor detail",
        Depicted::Thing(_) => "an ordinary thing, a minor detail",
        Depicted::Emblem(_) => "the sign of an organization, an important part",
        Depicted::Landmark(_) | Depicted::Flag(_) => "the sign of a location, an important part",
        _ => "a person, an important part",
    };
    let first = one(
        question,
        rng,
        [
            "The object shows",
            "The second image shows",
            "The marked object shows",
        ],
    );
    let third = one(
        question,
        rng,
        [
            "clearly visible details",
            "clearly visible colours",
            "clearly visible features",
        ],
    );
    match question.object {
        Depicted::Thing(Thing::Figure) => {
            format!("{first} {looks}. It is {role} of the {place} photograph without {third}.")
        }
        _ => format!("{first} {looks}. It is {role} of the {place} photograph with {third}."),
    }
}

/// Step 2: what the text ties to the entity, and whether the picture can belong to it.
fn read(question: &Question<'_>, rng: &mut ChaCha8Rng) -> String {
    let entity = question.entity.name;
    let says = match question.story.about(question.entity) {
        Some(statement) => {
            let name = statement.subject.name().expect("subjects have names");
            let claim = claim(statement.relation);
            format!(
                "The entity '{entity}' is connected with {name}, because the headline indicates that {name} {claim} '{entity}'."
            )
        }
        None => format!(
            "The entity '{entity}' is connected with nobody, because the headline only mentions '{entity}' in passing."
        ),
    };
    let fits = one(
        question,
        rng,
        [
            "photograph can illustrate this headline",
            "photograph is compatible with this headline",
            "photograph can belong to this headline",
        ],
    );
    format!("{says} The {} {fits}.", question.setting.word())
}

/// Step 3: who the object is, and whether it is the one the text ties to the entity.
fn align(question: &Question<'_>, label: Option<Relation>, rng: &mut ChaCha8Rng) -> String {
    let entity = question.entity.name;
    let tied = question
        .story
        .about(question.entity)
        .and_then(|statement| statement.subject.name())
        .unwrap_or("nobody");
    let looks = capital(looks(question.object));
    let name = match question.object {
        Depicted::Thing(Thing::Figure) => "an unknown person without importance".to_owned(),
        Depicted::Thing(_) => "an unnamed thing without importance".to_owned(),
        Depicted::Athlete { team, .. } | Depicted::Coach(team) => {
            format!("{} of {}", short(question.object), TEAMS[team].name)
        }
        _ => short(question.object).to_owned(),
    };
    let compared = short(question.object);
    let verdict = match label {
        Some(relation) => format!(
            "Comparing {compared} with {tied} shows the same name, therefore the object {} '{entity}'.",
            claim(relation)
        ),
        None => format!(
            "Comparing {compared} with {tied} shows a difference, therefore the headline does not connect the object \
             with '{entity}'."
        ),
    };
    let is = one(question, rng, ["is", "is obviously"]);
    format!("{looks} {is} {name}. {verdict}")
}

/// Step 4: both types.
fn types(question: &Question<'_>, rng: &mut ChaCha8Rng) -> String {
    let entity = question.entity.name;
    let (object_type, entity_type) = pair(question);
    let why = one(
        question,
        rng,
        [
            "These types determine the possible relations",
            "Both types together limit the possible relations",
            "Both types restrict the possible relations",
        ],
    );
    format!(
        "The object is of type {object_type} and the entity '{entity}' is of type {entity_type}. {why}."
    )
}

/// Step 5: the labels left for the pair of types.
fn filter(question: &Question<'_>, rng: &mut ChaCha8Rng) -> String {
    let (object_type, entity_type) = pair(question);
    let candidates = proto::Ontology::more()
        .candidates(object_type, entity_type)
        .join(", ");
    let rest = one(
        question,
        rng,
        [
            "All other relations require different types",
            "All other relations demand different types",
            "All other relations belong to different types",
        ],
    );
    if candidates == "none" {
        format!(
            "The only candidate relation between {object_type} and {entity_type} is none, without any alternative. {rest}."
        )
    } else {
        format!(
            "The candidate relations between {object_type} and {entity_type} are {candidates}. {rest}."
        )
    }
}

/// Step 6: the reason once more, and the label.
fn decide(question: &Question<'_>, label: Option<Relation>, rng: &mut ChaCha8Rng) -> String {
    let entity = question.entity.name;
    let name = capital(short(question.object).to_owned());
    let Some(relation) = label else {
        let end = one(
            question,
            rng,
            [
                "the headline states no relation between both",
                "the headline shows no relation between both",
            ],
        );
        return format!(
            "{name} is not connected with '{entity}', therefore the correct relation is none, and {end}."
        );
    };
    let end = one(
        question,
        rng,
        [
            "photograph and headline agree",
            "photograph and headline confirm this",
        ],
    );
    format!(
        "{name} {} '{entity}', therefore the correct relation is {}, and {end}.",
        claim(relation),
        relation.label()
    )
}

fn pair(question: &Question<'_>) -> (&'static str, &'static str) {
    (
        question.object.object_type(),
        question.entity.class.entity_type(),
    )
}

/// The object as pixels show it.
fn looks(object: Depicted) -> String {
    match object {
        Depicted::Athlete { team, number } => {
            format!(
                "an athlete in a {} shirt with number {}",
                TEAMS[team].colour, NUMBERS[number]
            )
        }
        Depicted::Coach(team) => {
            format!("a coach in a dark suit with a {} scarf", TEAMS[team].colour)
        }
        Depicted::Politician(index) => format!("a politician in a long {} robe", COLOURS[index]),
        Depicted::Emblem(team) => format!(
            "an emblem with a {} {}",
            TEAMS[team].colour, TEAMS[team].emblem
        ),
        Depicted::Landmark(index) => format!(
            "a stone building in the shape of a {}",
            LANDMARKS[index].shape
        ),
        Depicted::Flag(index) => format!("a flag with {}", COUNTRIES[index].flag),
        Depicted::Thing(thing) => match thing {
            Thing::Trophy => "a golden trophy",
            Thing::Podium => "an empty podium",
            Thing::Banner => "a long banner",
            Thing::Ball => "a leather ball",
            Thing::Car => "a parked car",
            Thing::Figure => "a blurred figure",
        }
        .to_owned(),
    }
}

/// The name of the object, or what stands for one.
fn short(object: Depicted) -> &'static str {
    match object {
        Depicted::Thing(Thing::Figure) => "an unknown person",
        Depicted::Thing(_) => "an unnamed thing",
        _ => object.name().expect("everything but things has a name"),
    }
}

/// What a relation means, as a verb phrase in front of the entity; one wording each, because it decides the label.
const fn claim(relation: Relation) -> &'static str {
    match relation {
        Relation::Opponent => "competes against the person",
        Relation::Partner => "cooperates with the person",
        Relation::Relatives => "belongs to the family of",
        Relation::Alias => "is the same person as",
        Relation::OpposedTo => "competes against the organization",
        Relation::LeaderOf => "leads the organization",
        Relation::MemberOf => "is a member of the organization",
        Relation::Birth => "was born in the location",
        Relation::Residence => "lives in or came to the location",
        Relation::Governance => "governs the location",
        Relation::PresentIn => "takes part as a person in",
        Relation::Awarded => "received the award",
        Relation::Party => "belongs to the political camp",
        Relation::Nationality => "has the nationality",
        Relation::President => "is the president of",
        Relation::OrgAlias => "is the same organization as",
        Relation::Subsidiary => "is a branch of the organization",
        Relation::LocateAt => "has its home in the location",
        Relation::OrgPresentIn => "takes part as an organization in",
        Relation::Contain => "contains or is contained in the location",
    }
}

fn one<const N: usize>(
    question: &Question<'_>,
    rng: &mut ChaCha8Rng,
    wordings: [&'static str; N],
) -> &'static str {
    if !question.varied {
        return wordings[0];
    }
    wordings.choose(rng).expect("every sentence has a wording")
}

fn capital(mut sentence: String) -> String {
    let first = sentence[..1].to_ascii_uppercase();
    sentence.replace_range(..1, &first);
    sentence
}
