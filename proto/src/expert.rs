//! The question put to an expert model that writes traces to learn from: the student's question, how to reason, and the gold answer
//! to be derived. Sends nothing and judges no answer; the student never sees these words.

use crate::grammar::{Segment, grammar};
use crate::prompt::{Part, Template, prompt};
use crate::{Label, NONE, Ontology};

/// What each step is to do, behind the headings of the form; section "Stepwise reasoning instruction" of the paper.
const GUIDANCE: [&str; 6] = [
    "Say what the photo shows and what part the object of the second image plays in it. A blurred object or a minor detail speaks \
     for 'none'.",
    "Judge whether the photo is about what the text tells. If it is not, that speaks for 'none'.",
    "Say which name in the text, if any, the object stands for, and what in the photo shows it.",
    "Conclude the type of the object and the type of the entity, in these words: 'The object is of type X and the entity is of \
     type Y.'",
    "Name every relation type that is possible between these two types, by its full label; 'none' is always among them.",
    "Weigh these candidates by what was found before, and decide for one.",
];

/// The type of an object that nobody can recognise, where an ontology has it.
const UNRECOGNISED: &str = "misc";

/// The content of the user's message to the expert: the first image is the photo, the second the crop. What never changes comes
/// first, so that an expert can keep what it computed of it; the gold answer comes last, as in the paper.
pub fn expert_prompt(ontology: &Ontology, text: &str, entity: &str, gold: &Label) -> Vec<Part> {
    let mut parts = prompt(Template::Prefix, ontology, text, entity);
    if let Some(Part::Text(task)) = parts.first_mut() {
        *task = format!("{task}\n\n{}", instruction(ontology));
    }
    if let Some(Part::Text(entity)) = parts.last_mut() {
        *entity = format!("{entity}\n\n{}", answer(ontology, gold));
    }
    parts
}

/// How to reason, and in which form.
fn instruction(ontology: &Ontology) -> String {
    let mut lines =
        vec!["Reason in six steps, each in two to four sentences of your own:".to_owned()];
    for (number, guidance) in (1..).zip(GUIDANCE) {
        lines.push(format!("{number}. {guidance}"));
    }
    if ontology.types.iter().any(|kind| kind.name == UNRECOGNISED) {
        let fourth = &mut lines[4]; // behind the first line
        *fourth =
            format!("{fourth} An object that cannot be recognised is of type {UNRECOGNISED}.");
    }
    let form: String = grammar()
        .into_iter()
        .map(|segment| match segment {
            Segment::Forced(text) => text,
            Segment::Free => " ...".to_owned(),
            Segment::Label => "LABEL".to_owned(),
        })
        .collect();
    lines.push(format!(
        "Write exactly in this form, with nothing before or behind it: {form}"
    ));
    lines.push(
        "Inside the steps use single quotes only, no Markdown, no line breaks and no '<'."
            .to_owned(),
    );
    lines.join("\n")
}

/// The answer to arrive at.
fn answer(ontology: &Ontology, gold: &Label) -> String {
    let typed = |name: &str| {
        let known = ontology.types.iter().find(|kind| kind.name == name);
        known.map_or_else(
            || name.to_owned(),
            |kind| format!("{} ({})", kind.name, kind.description),
        )
    };
    let fact = match (&gold.object_type, &gold.entity_type) {
        (Some(object), Some(entity)) => format!(
            "the object is of type {}, the entity is of type {}, and the relation between them is '{}': {}",
            typed(object),
            typed(entity),
            gold.name,
            gold.definition
        ),
        _ => format!(
            "there is no relation between the object and the entity, so that the answer is '{NONE}'"
        ),
    };
    format!(
        "For you alone: {fact}. Derive this from the photo, the crop and the text, as somebody who does not know it yet. \
         Never mention or hint that you knew it."
    )
}
