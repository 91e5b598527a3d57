//! What `POST /extract` gives, and what the probes say. Shapes only: nothing here measures time or counts tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{NONE, Ontology, Problem, Step, Template, Trace};

/// The answer: the relation, how it was found, and what that took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExtractResponse {
    /// The relation found.
    pub relation: Relation,
    /// The entity that was asked about.
    pub entity: EntityReport,
    /// The reasoning that led to it.
    pub trace: TraceReport,
    /// The photo as it was seen.
    pub image: ImageReport,
    /// The object's region as it was cut out.
    pub crop: CropReport,
    /// What answered.
    pub model: ModelReport,
    /// Tokens spent.
    pub usage: Usage,
    /// Milliseconds spent.
    pub timings_ms: Timings,
    /// Why decoding ended.
    pub finish_reason: FinishReason,
    /// The probability of every label, the highest first; only if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<Vec<LabelScore>>,
    /// Whether the label was withheld for its low probability; only if `abstain_below` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstained: Option<bool>,
    /// How far answers drawn at random agree; only if `samples` were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<SamplesReport>,
}

impl ExtractResponse {
    /// The probability of the label, if the scores were asked for.
    pub fn probability(&self) -> Option<f64> {
        let mut scores = self.scores.iter().flatten();
        let score = scores.find(|score| score.label == self.relation.label)?;
        Some(score.probability)
    }
}

/// Answers drawn at random, each with a reasoning of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SamplesReport {
    /// How many were drawn.
    pub drawn: usize,
    /// The share of them whose label is that of the answer.
    #[schema(minimum = 0, maximum = 1)]
    pub agreement: f64,
    /// Their labels, the most frequent first.
    pub labels: Vec<LabelCount>,
}

/// How often a label was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelCount {
    /// Full name.
    #[schema(example = "/per/misc/present_in")]
    pub label: String,
    /// How often.
    pub count: usize,
}

/// How probable a label is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LabelScore {
    /// Full name.
    #[schema(example = "/per/misc/present_in")]
    pub label: String,
    /// After calibration; those of all labels sum to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub probability: f64,
}

/// A piece of an answer that is being written: the event `token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenEvent {
    /// What was added.
    pub text: String,
}

/// The relations a service answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OntologyReport {
    /// BLAKE3 of the relations, as answers repeat it.
    pub hash: String,
    /// The relations.
    pub ontology: Ontology,
}

/// One line of the answer to a batch; lines come as they are ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchLine {
    /// Which of the pairs or items, from 0.
    pub index: usize,
    /// Its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<ExtractResponse>,
    /// Why it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A relation with the types of its two ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Relation {
    /// Full name of the label.
    #[schema(example = "/per/misc/present_in")]
    pub label: String,
    /// Type of the object: the label's own, for `none` the one that step 4 states, if it does.
    #[schema(required, example = "per")]
    pub object_type: Option<String>,
    /// Type of the entity: the label's own, for `none` the one that step 4 states, if it does.
    #[schema(required, example = "misc")]
    pub entity_type: Option<String>,
}

/// The reasoning, read and raw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceReport {
    /// The six steps, in order.
    #[schema(min_items = 6, max_items = 6)]
    pub steps: Vec<Step>,
    /// The labels that step 5 names.
    pub candidates: Vec<String>,
    /// Whether the label agrees with the types and candidates that the trace itself states.
    pub consistent: bool,
    /// The answer as the model wrote it.
    pub raw: String,
}

/// The entity, and where the text names it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntityReport {
    /// As it was asked about.
    #[schema(example = "World Cup")]
    pub name: String,
    /// Characters of the text before it.
    pub start: usize,
    /// Characters of the text up to its end.
    pub end: usize,
}

/// The photo as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageReport {
    /// The photo's address: `source` if it was given, else `urn:blake3:` and the hash of the file.
    pub id: String,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// File format, such as `jpeg`.
    #[schema(example = "jpeg")]
    pub format: String,
    /// Patches in time, height and width after resizing.
    #[schema(value_type = Vec<usize>, min_items = 3, max_items = 3, example = json!([1, 16, 24]))]
    pub grid: [usize; 3],
    /// Tokens of the prompt that stand for the photo.
    pub tokens: usize,
}

/// The object's region as it was cut out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CropReport {
    /// Left, top, right, bottom in pixels of the upright photo; right and bottom are just outside.
    #[schema(value_type = Vec<u32>, min_items = 4, max_items = 4, example = json!([10, 20, 200, 300]))]
    pub r#box: [u32; 4],
    /// Whether a part of the requested box lay outside the photo and was cut off.
    pub clipped: bool,
    /// Width in pixels, before resizing.
    pub width: u32,
    /// Height in pixels, before resizing.
    pub height: u32,
    /// Patches in time, height and width after resizing.
    #[schema(value_type = Vec<usize>, min_items = 3, max_items = 3, example = json!([1, 8, 8]))]
    pub grid: [usize; 3],
    /// Tokens of the prompt that stand for the crop.
    pub tokens: usize,
}

/// What answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelReport {
    /// Name of the checkpoint.
    #[schema(example = "more-r1-mini")]
    pub id: String,
    /// Hash of its weights.
    pub hash: String,
    /// Number format it computes in.
    #[schema(example = "f32")]
    pub dtype: String,
    /// Order of the prompt.
    pub template: Template,
    /// Name of the ontology.
    #[schema(example = "more")]
    pub ontology: String,
    /// BLAKE3 of the ontology.
    pub ontology_hash: String,
}

/// Tokens spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt, image tokens included.
    pub prompt_tokens: usize,
    /// Those of them that stand for images.
    pub image_tokens: usize,
    /// Tokens of the answer, forced ones included.
    pub completion_tokens: usize,
    /// Those of them that the grammar forced.
    pub forced_tokens: usize,
    /// Those of the prompt that were not computed again, because an earlier request began the same way.
    #[serde(default)]
    pub cached_tokens: usize,
    /// Prompt and completion together.
    pub total_tokens: usize,
}

/// Milliseconds spent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timings {
    /// Waiting for the model.
    pub queue: f64,
    /// Decoding, cropping and resizing images.
    pub preprocess: f64,
    /// The vision tower.
    pub vision: f64,
    /// The prompt through the decoder.
    pub prefill: f64,
    /// The answer, token by token.
    pub decode: f64,
    /// Everything between the first and the last byte.
    pub total: f64,
}

/// Why decoding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The answer is complete.
    Stop,
    /// A limit on tokens cut a step short.
    Length,
}

/// What a probe says when all is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok` from `/healthz`, `ready` from `/readyz`.
    #[schema(example = "ok")]
    pub status: String,
}

impl Relation {
    /// The relation a trace ends in.
    pub fn new(ontology: &Ontology, trace: &Trace) -> Self {
        match ontology.find(&trace.label) {
            Some(label) if label.name != NONE => Self {
                label: label.name.clone(),
                object_type: label.object_type.clone(),
                entity_type: label.entity_type.clone(),
            },
            _ => Self {
                label: trace.label.clone(),
                object_type: trace.object_type.clone(),
                entity_type: trace.entity_type.clone(),
            },
        }
    }
}

impl TraceReport {
    /// The report on a trace that was read from `raw`.
    pub fn new(ontology: &Ontology, trace: &Trace, raw: &str) -> Self {
        Self {
            steps: trace.steps.clone(),
            candidates: trace.candidates.clone(),
            consistent: trace.consistent(ontology),
            raw: raw.to_owned(),
        }
    }
}
