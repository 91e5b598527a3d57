//! The question put to the model: which words, in which order, around which images. Knows no chat template and no
//! token; the model crate wraps these parts and refuses special tokens in what the caller wrote.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Form, Ontology, Wording};

/// The order of the parts of a prompt. Both say the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Template {
    /// The paper's order: both images, then task, text, entity, labels, types.
    Paper,
    /// Everything that never changes first, so that prompts share their beginning; then photo, text, crop, entity.
    #[default]
    Prefix,
}

/// One part of the user's message. The first image is the photo, the second the crop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words, inserted as they are.
    Text(String),
    /// The place of the next image.
    Image,
}

/// A template name nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown template {0:?}, expected \"paper\" or \"prefix\"")]
pub struct TemplateError(pub String);

/// The content of the user's message; a [`Template`] alone asks for a trace. `text` and `entity` are inserted raw.
pub fn prompt(
    wording: impl Into<Wording>,
    ontology: &Ontology,
    text: &str,
    entity: &str,
) -> Vec<Part> {
    let wording: Wording = wording.into();
    let lists = lists(ontology, wording.form);
    match wording.template {
        Template::Paper => vec![
            Part::Image,
            Part::Image,
            Part::Text(format!(
                "Complete cross-modal object-entity relation extraction. The second image is a local detail of the \
                 first. Given the text '{text}', identify the relation between the object in the second image and \
                 the entity '{entity}'. {lists}"
            )),
        ],
        Template::Prefix => vec![
            Part::Text(format!(
                "Complete cross-modal object-entity relation extraction. The second image is a local detail of the \
                 first. Identify the relation between the object in the second image and the entity of the text. \
                 {lists}"
            )),
            Part::Image,
            Part::Text(format!("Text: '{text}'")),
            Part::Image,
            Part::Text(format!("Entity: '{entity}'")),
        ],
    }
}

/// The half of the question that is the same for every record; who answers with the label alone is not told to think.
fn lists(ontology: &Ontology, form: Form) -> String {
    let labels: Vec<&str> = ontology
        .labels
        .iter()
        .map(|label| label.name.as_str())
        .collect();
    let types: Vec<String> = ontology
        .types
        .iter()
        .map(|kind| format!("{} ({})", kind.name, kind.description))
        .collect();
    let ending = match form {
        Form::Trace => "Think inside <think></think>, answer inside <answer></answer>.",
        Form::Label => "Answer inside <answer></answer>.",
    };
    format!(
        "Possible relation types: {}. Possible entity types: {}. {ending}",
        labels.join(", "),
        types.join(", ")
    )
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "paper" => Ok(Self::Paper),
            "prefix" => Ok(Self::Prefix),
            other => Err(TemplateError(other.to_owned())),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Paper => "paper",
            Self::Prefix => "prefix",
        })
    }
}
