//! The vocabulary of MORE-R1: which relations exist, how the model is asked, how its six-step answer is read,
//! and what crosses the wire. Holds no tensor, opens no socket and reads no file beyond the data embedded in it.
//!
//! The task is published as MORE-R1 (arXiv 2603.09478): between one object in a photo and one entity in a text,
//! name the relation out of a closed list, after reasoning in six numbered steps.

mod grammar;
mod ontology;
mod prompt;
mod reading;
mod trace;

pub use grammar::{ParseError, STEP_TITLES, Segment, check, grammar, is_valid, pieces, render};
pub use ontology::{EntityType, Label, NONE, Ontology, OntologyError};
pub use prompt::{Part, Template, TemplateError, prompt};
pub use trace::{Step, Trace, parse};
