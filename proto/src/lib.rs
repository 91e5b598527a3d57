//! The vocabulary of MORE-R1: which relations exist, how the model is asked, how its six-step answer is read,
//! and what crosses the wire. Holds no tensor, opens no socket and reads no file beyond the data embedded in it.
//!
//! The task is published as MORE-R1 (arXiv 2603.09478): between one object in a photo and one entity in a text,
//! name the relation out of a closed list, after reasoning in six numbered steps.

mod candidates;
pub mod chat;
mod expert;
mod form;
mod grammar;
mod ontology;
mod openapi;
mod phrases;
mod problem;
mod prompt;
mod request;
mod response;
mod steps;
mod trace;
mod types;
mod words;

pub use expert::expert_prompt;
pub use form::{Form, Wording};
pub use grammar::{
    CLOSE_ANSWER, ParseError, STEP_TITLES, Segment, check, grammar, is_valid, lower_step_words,
    pieces, render,
};
pub use ontology::{EntityType, Label, NONE, Ontology, OntologyError};
pub use openapi::openapi;
pub use problem::{PROBLEM_JSON, Problem};
pub use prompt::{Part, Template, TemplateError, prompt};
pub use request::{
    BatchRequest, BboxError, BoxFormatError, BoxFormatName, Enforce, EnforceError, ExtractRequest,
    PairRequest, parse_bbox,
};
pub use response::{
    BatchLine, CropReport, EntityReport, ExtractResponse, FinishReason, Health, ImageReport,
    LabelCount, LabelScore, ModelReport, OntologyReport, Relation, SamplesReport, Timings,
    TokenEvent, TraceReport, Usage,
};
pub use trace::{Step, Trace, parse, steps_so_far};
pub use types::types as stated_types;
