//! The typed form of an answer: six steps, the types and candidates they state, the label. Reads answers of other
//! models too, so it forgives white space and titles; `grammar.rs` holds the exact form.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::candidates::candidates;
use crate::grammar::{ParseError, STEP_TITLES, Segment, expected, grammar, pieces, render};
use crate::ontology::{NONE, Ontology};
use crate::steps;
use crate::types::types;

/// An answer, read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The six steps, in order.
    pub steps: Vec<Step>,
    /// Type of the object, if step 4 states one.
    pub object_type: Option<String>,
    /// Type of the entity, if step 4 states one.
    pub entity_type: Option<String>,
    /// The labels named in step 5, in the order of their first mention.
    pub candidates: Vec<String>,
    /// The answer: the full name of a label of the ontology.
    pub label: String,
}

/// One step of the reasoning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// 1 to 6.
    #[schema(minimum = 1, maximum = 6, example = 1)]
    pub number: u8,
    /// Title as written; the standard title where the answer has none.
    #[schema(example = "Image and object analysis")]
    pub title: String,
    /// What the model says in this step, without title and surrounding white space.
    pub text: String,
}

/// Reads an answer. White space between its parts is free, titles may be missing or differ; the order of the parts,
/// the six steps and the one label are not negotiable.
///
/// # Errors
/// The first thing that is missing, out of order or unknown.
pub fn parse(ontology: &Ontology, response: &str) -> Result<Trace, ParseError> {
    let (steps, label) = if let Ok(pieces) = pieces(response) {
        exact(&pieces)
    } else {
        let (thought, label) = split_answer(response)?;
        (steps::split(response, thought)?, response[label].to_owned())
    };
    let name = label.trim_matches(|c: char| c.is_whitespace() || "'\"`*.".contains(c));
    let Some(known) = ontology.find(name) else {
        return Err(ParseError::UnknownLabel {
            label: label.trim().to_owned(),
        });
    };
    let (object_type, entity_type) = types(ontology, &statement(&steps[3]));
    Ok(Trace {
        object_type,
        entity_type,
        candidates: candidates(ontology, &statement(&steps[4])),
        label: known.name.clone(),
        steps,
    })
}

/// The steps that are complete in an answer still being written in the exact form.
pub fn steps_so_far(begun: &str) -> Vec<Step> {
    let forced: Vec<String> = grammar()
        .into_iter()
        .filter_map(|segment| match segment {
            Segment::Forced(text) => Some(text),
            Segment::Free | Segment::Label => None,
        })
        .collect();
    let mut steps = vec![];
    let mut rest = begun;
    for ((number, title), around) in (1..).zip(STEP_TITLES).zip(forced.windows(2)) {
        let Some(text) = rest.strip_prefix(&around[0]) else {
            break;
        };
        let Some(end) = text.find(&around[1]) else {
            break;
        };
        steps.push(Step {
            number,
            title: title.to_owned(),
            text: text[..end].trim().to_owned(),
        });
        rest = &text[end..];
    }
    steps
}

impl Trace {
    /// Whether the label agrees with what the trace itself states: it is among the stated candidates, it carries the
    /// stated types (`none` asks only that types are stated), and the candidates are exactly those of the types.
    pub fn consistent(&self, ontology: &Ontology) -> bool {
        let (Some(object_type), Some(entity_type)) = (&self.object_type, &self.entity_type) else {
            return false;
        };
        let Some(label) = ontology.find(&self.label) else {
            return false;
        };
        let typed = label.name == NONE
            || (label.object_type.as_ref() == Some(object_type)
                && label.entity_type.as_ref() == Some(entity_type));
        let stated: HashSet<&str> = self.candidates.iter().map(String::as_str).collect();
        let possible: HashSet<&str> = ontology
            .candidates(object_type, entity_type)
            .into_iter()
            .collect();
        typed && stated.contains(label.name.as_str()) && stated == possible
    }

    /// Writes the trace in the exact form of the grammar, under the standard titles.
    ///
    /// # Errors
    /// When it has not six steps, or a text would be taken for structure.
    pub fn render(&self) -> Result<String, ParseError> {
        let texts: Vec<&str> = self.steps.iter().map(|step| step.text.as_str()).collect();
        let texts: [&str; 6] =
            texts
                .try_into()
                .map_err(|texts: Vec<&str>| ParseError::MissingStep {
                    number: texts.len().min(6) as u8 + 1,
                })?;
        render(&texts, &self.label)
    }
}

/// Steps and label of an answer in the exact form.
fn exact(pieces: &[String]) -> (Vec<Step>, String) {
    let texts = pieces.iter().skip(1).step_by(2);
    let steps = (1..)
        .zip(STEP_TITLES)
        .zip(texts)
        .map(|((number, title), text)| Step {
            number,
            title: title.to_owned(),
            text: text.trim().to_owned(),
        });
    (steps.collect(), pieces[pieces.len() - 2].clone())
}

/// What a step states. A title of the model's own may be part of it, for where it ends is a guess.
fn statement(step: &Step) -> Cow<'_, str> {
    if STEP_TITLES
        .iter()
        .any(|title| title.eq_ignore_ascii_case(&step.title))
    {
        Cow::Borrowed(&step.text)
    } else {
        Cow::Owned(format!("{}\n{}", step.title, step.text))
    }
}

/// Where the reasoning and the label stand, both with the white space around them.
fn split_answer(response: &str) -> Result<(Range<usize>, Range<usize>), ParseError> {
    let mut at = 0;
    tag(response, &mut at, "<think>")?;
    let thought = until(response, &mut at, "</think>")?;
    tag(response, &mut at, "<answer>")?;
    let label = until(response, &mut at, "</answer>")?;
    if response[at..].trim().is_empty() {
        Ok((thought, label))
    } else {
        Err(expected(response, at, ""))
    }
}

/// Steps over white space and a tag.
fn tag(response: &str, at: &mut usize, tag: &str) -> Result<(), ParseError> {
    let start = response.len() - response[*at..].trim_start().len();
    if !response[start..].starts_with(tag) {
        return Err(expected(response, start, tag));
    }
    *at = start + tag.len();
    Ok(())
}

/// Where everything before a closing tag stands; steps over the tag.
fn until(response: &str, at: &mut usize, tag: &str) -> Result<Range<usize>, ParseError> {
    let start = *at;
    let length = response[start..]
        .find(tag)
        .ok_or_else(|| expected(response, response.len(), tag))?;
    *at = start + length + tag.len();
    Ok(start..start + length)
}
