//! The two forms of an answer: the whole trace, or the label alone, which is the baseline that the paper compares reasoning with. Knows
//! no token; the words around the label are `grammar.rs`'s.

use serde::{Deserialize, Serialize};

use crate::Ontology;
use crate::grammar::{CLOSE_ANSWER, ParseError, Segment, grammar, label_of};
use crate::prompt::Template;
use crate::trace::{Trace, parse};

/// What is forced before a label that stands alone.
const OPEN_LABEL: &str = "<answer>";

/// What an answer consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Six steps, then the label.
    #[default]
    Trace,
    /// The label alone.
    Label,
}

/// How a question is worded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wording {
    /// The order of its parts.
    pub template: Template,
    /// What it asks for.
    pub form: Form,
}

impl From<Template> for Wording {
    /// Asks for a trace, as everybody but the baseline does.
    fn from(template: Template) -> Self {
        Self {
            template,
            form: Form::Trace,
        }
    }
}

impl Form {
    /// The stretches of such an answer, in order.
    pub fn segments(self) -> Vec<Segment> {
        match self {
            Self::Trace => grammar(),
            Self::Label => vec![
                Segment::Forced(OPEN_LABEL.to_owned()),
                Segment::Label,
                Segment::Forced(CLOSE_ANSWER.to_owned()),
            ],
        }
    }

    /// Reads an answer. Of a label alone nothing is forgiven, and its trace has no steps, states no types and names no candidates.
    ///
    /// # Errors
    /// The first thing that is missing, out of order or unknown.
    pub fn parse(self, ontology: &Ontology, response: &str) -> Result<Trace, ParseError> {
        if self == Self::Trace {
            return parse(ontology, response);
        }
        Ok(Trace {
            steps: vec![],
            object_type: None,
            entity_type: None,
            candidates: vec![],
            label: label_of(&self.segments(), ontology, response)?,
        })
    }

    /// Whether an answer has exactly this form, with a label of the ontology.
    pub fn is_valid(self, ontology: &Ontology, response: &str) -> bool {
        label_of(&self.segments(), ontology, response).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NONE;

    #[test]
    fn a_label_alone_is_read_and_nothing_is_forgiven() {
        let more = Ontology::more();
        let trace = Form::Label
            .parse(more, "<answer>/per/org/member_of</answer>")
            .expect("the exact form");
        assert_eq!(trace.label, "/per/org/member_of");
        assert!(trace.steps.is_empty() && trace.candidates.is_empty());
        for wrong in [
            "",
            "none",
            "<answer> none</answer>",
            "<answer>none</answer> ",
            "<answer>per/org/member_of</answer>",
            "<answer>/per/org/friend_of</answer>",
            "<think> </think> <answer>none</answer>",
        ] {
            assert!(!Form::Label.is_valid(more, wrong), "{wrong}");
        }
        assert!(Form::Label.is_valid(more, &format!("<answer>{NONE}</answer>")));
    }

    #[test]
    fn forms_are_written_in_small_letters() {
        for (form, name) in [(Form::Trace, "\"trace\""), (Form::Label, "\"label\"")] {
            assert_eq!(serde_json::to_string(&form).expect("a string"), name);
        }
    }
}
