//! The exact form of an answer: what is forced, what is free, and how to cut a string along those seams. Does not
//! interpret the free text (`trace.rs` does) and forgives nothing.

use crate::Ontology;

/// Titles of the six steps, in order; section "The six steps" of the paper.
pub const STEP_TITLES: [&str; 6] = [
    "Image and object analysis",
    "Cross-modal relevance",
    "Cross-modal alignment",
    "Entity types",
    "Preliminary filter",
    "Precise decision",
];

const OPEN_ANSWER: &str = " </think> <answer>";
/// What is forced behind the label.
pub const CLOSE_ANSWER: &str = "</answer>";

/// One stretch of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Text the decoder writes without asking the model.
    Forced(String),
    /// The model's own words: they start with a space and hold no `<`, no line break and no word ` Step`.
    Free,
    /// Exactly one label of the ontology.
    Label,
}

/// Every way an answer can miss the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Something the form requires is not where it should be.
    #[error("expected {expected:?} at byte {at}, found {found:?}")]
    Expected {
        /// What should stand there.
        expected: String,
        /// Byte offset in the answer.
        at: usize,
        /// The beginning of what does.
        found: String,
    },
    /// Steps are missing, repeated, out of order or too many.
    #[error("expected step {expected}, found step {found}")]
    StepOrder {
        /// The number whose turn it was.
        expected: u8,
        /// The number that came.
        found: u32,
    },
    /// The reasoning ends early.
    #[error("step {number} is missing")]
    MissingStep {
        /// The first step that is not there.
        number: u8,
    },
    /// A step says nothing.
    #[error("step {number} has no text")]
    EmptyStep {
        /// Its number.
        number: u8,
    },
    /// The text of a step does not start with a space.
    #[error("the text of step {number} does not start with a space")]
    NoSpace {
        /// Its number.
        number: u8,
    },
    /// The text of a step holds what would be taken for structure.
    #[error("the text of step {number} holds {what:?}")]
    Forbidden {
        /// Its number.
        number: u8,
        /// What was found in it.
        what: &'static str,
    },
    /// The answer is none of the labels.
    #[error("{label:?} is not a label of the ontology")]
    UnknownLabel {
        /// The answer as given.
        label: String,
    },
}

/// The form of an answer: six forced headings with free text behind each, then the label between forced tags.
pub fn grammar() -> Vec<Segment> {
    let mut segments = Vec::with_capacity(15);
    for (index, title) in STEP_TITLES.iter().enumerate() {
        let before = if index == 0 { "<think>" } else { "" };
        segments.push(Segment::Forced(format!(
            "{before} Step {}: {title}.",
            index + 1
        )));
        segments.push(Segment::Free);
    }
    segments.push(Segment::Forced(OPEN_ANSWER.to_owned()));
    segments.push(Segment::Label);
    segments.push(Segment::Forced(CLOSE_ANSWER.to_owned()));
    segments
}

/// Cuts an answer into strings aligned one to one with [`grammar`]; joined they give the answer back exactly.
///
/// The label is checked for its form only, since the ontology is not known here; see [`check`].
///
/// # Errors
/// When the answer differs from the grammar in a single byte.
///
/// # Panics
/// Never: forced text follows every free text of the grammar.
pub fn pieces(response: &str) -> Result<Vec<String>, ParseError> {
    cut(&grammar(), response)
}

/// Cuts an answer into strings aligned one to one with `segments`.
fn cut(segments: &[Segment], response: &str) -> Result<Vec<String>, ParseError> {
    let mut pieces = Vec::with_capacity(segments.len());
    let mut at = 0;
    let mut step = 0;
    for (index, segment) in segments.iter().enumerate() {
        let rest = &response[at..];
        let length = match segment {
            Segment::Forced(text) if rest.starts_with(text.as_str()) => text.len(),
            Segment::Forced(text) => return Err(expected(response, at, text)),
            Segment::Free => {
                step += 1;
                let Some(Segment::Forced(next)) = segments.get(index + 1) else {
                    unreachable!("forced text follows every free text")
                };
                let Some(length) = rest.find(next.as_str()) else {
                    return Err(expected(response, response.len(), next));
                };
                check_free(step, &rest[..length])?;
                length
            }
            Segment::Label => rest.find(['<', '\n', ' ']).unwrap_or(rest.len()),
        };
        pieces.push(rest[..length].to_owned());
        at += length;
    }
    if at == response.len() {
        Ok(pieces)
    } else {
        Err(expected(response, at, ""))
    }
}

/// Writes an answer in the exact form from the text of its six steps (without titles) and a label.
///
/// # Errors
/// When a text is empty or would be taken for structure; white space around a text is dropped.
///
/// # Panics
/// Never: the grammar has as many free texts as steps.
pub fn render<S: AsRef<str>>(texts: &[S; 6], label: &str) -> Result<String, ParseError> {
    let mut response = String::new();
    let mut steps = (1..).zip(texts);
    for segment in grammar() {
        match segment {
            Segment::Forced(text) => response.push_str(&text),
            Segment::Free => {
                let (number, text) = steps.next().expect("the grammar has six free texts");
                let text = format!(" {}", text.as_ref().trim());
                check_free(number, &text)?;
                response.push_str(&text);
            }
            Segment::Label => response.push_str(label),
        }
    }
    Ok(response)
}

/// Checks that an answer is exactly the grammar, with a label of the ontology.
///
/// # Errors
/// The first difference.
pub fn check(ontology: &Ontology, response: &str) -> Result<(), ParseError> {
    label_of(&grammar(), ontology, response).map(drop)
}

/// The label of an answer that is exactly `segments`; nothing of its name is forgiven.
pub(crate) fn label_of(
    segments: &[Segment],
    ontology: &Ontology,
    response: &str,
) -> Result<String, ParseError> {
    let pieces = cut(segments, response)?;
    let label = pieces.into_iter().rev().nth(1); // before the closing tag
    let label = label.expect("every form ends with a label and its tag");
    if ontology.labels.iter().any(|known| known.name == label) {
        Ok(label)
    } else {
        Err(ParseError::UnknownLabel { label })
    }
}

/// Whether an answer is exactly the grammar, with a label of the ontology: the format reward of Stage 2.
pub fn is_valid(ontology: &Ontology, response: &str) -> bool {
    check(ontology, response).is_ok()
}

/// The error for `wanted` missing at byte `at`.
pub(crate) fn expected(response: &str, at: usize, wanted: &str) -> ParseError {
    let wanted = if wanted.is_empty() { "the end" } else { wanted };
    ParseError::Expected {
        expected: wanted.to_owned(),
        at,
        found: response[at..].chars().take(24).collect(), // enough to recognise the place in a message
    }
}

fn check_free(number: u8, text: &str) -> Result<(), ParseError> {
    if text.trim().is_empty() {
        return Err(ParseError::EmptyStep { number });
    }
    if !text.starts_with(' ') {
        return Err(ParseError::NoSpace { number });
    }
    let forbidden = if text.contains('<') {
        Some("<")
    } else if text.contains(['\n', '\r']) {
        Some("\n")
    } else if has_step_word(text) {
        Some(" Step")
    } else {
        None
    };
    forbidden.map_or(Ok(()), |what| Err(ParseError::Forbidden { number, what }))
}

/// Whether ` Step` stands in the text as a whole word; ` Stephen` may.
fn has_step_word(text: &str) -> bool {
    step_words(text).next().is_some()
}

/// Where it does.
fn step_words(text: &str) -> impl Iterator<Item = usize> {
    const WORD: &str = " Step";
    let found = text.match_indices(WORD).map(|(at, _)| at);
    found.filter(|at| {
        !text[at + WORD.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// The text of a step with a small letter wherever it says `Step`, which would be taken for the next heading.
pub fn lower_step_words(text: &str) -> String {
    let mut text = format!(" {text}"); // as it stands behind its heading
    for at in step_words(&text).collect::<Vec<_>>() {
        text.replace_range(at + 1..at + 2, "s");
    }
    text.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_answers_are_valid_and_cut_back() {
        let answer = render(&["a", "b", "c", "d", "e", "f"], "none").expect("plain texts");
        assert!(is_valid(Ontology::more(), &answer));
        assert_eq!(pieces(&answer).expect("valid").concat(), answer);
    }
}
