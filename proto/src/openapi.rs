//! The `OpenAPI` document of the service, built from the wire types. Serves nothing: the functions here only carry the
//! attributes from which the document is made.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use crate::chat::{ChatRequest, ChatResponse, ModelList};
use crate::{
    BatchLine, BatchRequest, BoxFormatName, Enforce, ExtractRequest, ExtractResponse, Health,
    OntologyReport, PROBLEM_JSON, PairRequest, Problem, TokenEvent,
};

/// The `OpenAPI` document of every path that programs use.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "MORE-R1",
        description = "From a photo, a box and a text to a reasoned relation between the object in the box and an \
                       entity of the text."
    ),
    paths(
        extract, batch, ontology, chat_completions, models, labelstudio_health, labelstudio_setup, labelstudio_predict, reload,
        healthz, readyz, metrics, openapi_json
    ),
    components(schemas(PairRequest, Problem, TokenEvent)),
    modifiers(&Key),
    tags(
        (name = "extract", description = "The relation"),
        (name = "chat", description = "The bare model, for OpenAI's clients"),
        (name = "labelstudio", description = "A machine-learning backend for Label Studio"),
        (name = "probes", description = "The service itself")
    )
)]
struct Document;

/// Keys, for services that have some.
struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("Only where the service has `--api-keys`".to_owned());
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        document.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("key", Vec::<String>::new()),
        ]);
    }
}

/// How questions fail, one or many: status and meaning.
const PROBLEMS: [(u16, &str); 11] = [
    (400, "The body is not readable"),
    (401, "No key, where keys are needed"),
    (404, "A model that is not here"),
    (406, "The answer has no such form"),
    (408, "The body did not arrive in time"),
    (413, "The body or an image is too large"),
    (
        415,
        "A body of another type, or an image format nobody reads",
    ),
    (422, "A field is missing, unknown or unusable"),
    (429, "Too busy"),
    (500, "A failure of the server"),
    (503, "Not ready, or shutting down"),
];

/// What only one question alone can end in.
const LATE: (u16, &str) = (504, "No answer in time");

/// What everything that needs the model ends in without it.
const UNREADY: (u16, &str) = (503, "Not yet, or no longer");

fn problems(table: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let response = |&(status, meaning): &(u16, &str)| {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let mut response = ResponseBuilder::new()
            .description(meaning)
            .content(PROBLEM_JSON, content);
        if matches!(status, 429 | 503) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("Seconds"))
                .build();
            response = response.header("Retry-After", header);
        }
        (status.to_string(), response.build().into())
    };
    table.iter().map(response).collect()
}

/// How a batch fails as a whole.
struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&PROBLEMS)
    }
}

/// How one question fails.
struct ProblemsOfOne;

impl IntoResponses for ProblemsOfOne {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[PROBLEMS.as_slice(), &[LATE]].concat())
    }
}

/// Not ready.
struct Unready;

impl IntoResponses for Unready {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[UNREADY])
    }
}

/// Not for everybody.
struct Forbidden;

impl IntoResponses for Forbidden {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (401, "No key"),
            (403, "Not an admin's key"),
            (500, "A file is unusable"),
            UNREADY,
        ])
    }
}

/// The question as the parts of a form.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only its schema is used: the server reads the parts one by one"
)]
struct ExtractForm {
    /// The photo as a file part. PNG, JPEG, WebP, GIF or BMP; EXIF orientation is applied first.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// The object's box in the upright photo: four numbers between commas.
    #[schema(example = "10,20,200,300")]
    bbox: String,
    /// How to read `bbox`.
    #[serde(default)]
    #[schema(default = "xyxy")]
    box_format: BoxFormatName,
    /// The text that comes with the photo.
    #[schema(min_length = 1)]
    text: String,
    /// The entity, as the text spells it.
    #[schema(min_length = 1)]
    entity: String,
    /// What becomes of a label that the types stated in step 4 exclude.
    #[serde(default)]
    #[schema(default = "report")]
    enforce: Enforce,
    /// `true` for a probability of every label.
    #[serde(default)]
    scores: bool,
    /// A label less probable than this is withheld: the answer is `none`, and `abstained` says so.
    #[schema(minimum = 0, maximum = 1)]
    abstain_below: Option<f64>,
    /// The photo's own address (an IRI without fragment), by which written graphs name it; without it the hash of the file.
    source: Option<String>,
    /// So many further answers are drawn at random; `samples` then tells how far they agree. 0 draws none.
    #[serde(default)]
    #[schema(maximum = 16)]
    samples: usize,
    /// The relations to choose from, as JSON; without it those of the service (`GET /ontology`).
    ontology: Option<String>,
    /// `true` for server-sent events while the answer is written.
    #[serde(default)]
    stream: bool,
    /// `true` if these events are to hold every piece of text, not only whole steps.
    #[serde(default)]
    stream_tokens: bool,
}

/// Find the relation between an object in a photo and an entity in a text.
///
/// As JSON or as a form with the same fields. Unknown fields are refused.
#[utoipa::path(
    post,
    path = "/extract",
    tag = "extract",
    params(("format" = Option<String>, Query, description = "json, jsonld, turtle, cypher or csv; before the header `accept`")),
    request_body(
        content((ExtractRequest = "application/json"), (ExtractForm = "multipart/form-data")),
        description = "The photo, the object's box in it, the text and the entity"
    ),
    responses(
        (status = 200, content(
            (ExtractResponse = "application/json"),
            (Object = "application/ld+json"),
            (String = "text/turtle"),
            (String = "application/x-cypher-query"),
            (String = "text/csv"),
            (String = "text/event-stream", example = "event: step\ndata: {\"number\":1,…}\n\n")
        ), description = "The relation with the reasoning behind it; with `stream` the events `step` (six times), `token` \
                          (a TokenEvent, if asked for), `relation`, `done` (the whole answer) or `error` (a Problem)"),
        ProblemsOfOne
    )
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn extract() {}

/// Many questions at once: one photo and text with many pairs, or many whole questions.
///
/// Every question succeeds or fails alone; lines come as answers are ready, in any order.
#[utoipa::path(
    post,
    path = "/extract/batch",
    tag = "extract",
    params(("format" = Option<String>, Query, description = "json, jsonld, turtle, cypher or csv; before the header `accept`")),
    request_body = BatchRequest,
    responses(
        (status = 200, description = "One line of JSON for every question, with an answer or a problem", body = BatchLine,
            content_type = "application/x-ndjson"),
        Problems
    )
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn batch() {}

/// The relations questions without an ontology of their own are answered with.
#[utoipa::path(
    get,
    path = "/ontology",
    tag = "extract",
    responses(
        (status = 200, description = "The relations and their hash", body = OntologyReport),
        Unready
    )
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn ontology() {}

/// The next turn of a conversation.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "chat",
    request_body = ChatRequest,
    responses(
        (status = 200, content(
            (ChatResponse = "application/json"),
            (String = "text/event-stream", example = "data: {\"object\":\"chat.completion.chunk\",…}\n\ndata: [DONE]\n\n")
        ), description = "The turn; with `stream` in pieces"),
        ProblemsOfOne
    )
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn chat_completions() {}

/// The models there are: one.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "chat",
    responses((status = 200, description = "The model", body = ModelList), Unready)
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn models() {}

/// Does the backend answer?
#[utoipa::path(
    get,
    path = "/labelstudio/health",
    tag = "labelstudio",
    responses((status = 200, description = "It does", body = Object), Unready)
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn labelstudio_health() {}

/// Which model will predict.
#[utoipa::path(
    post,
    path = "/labelstudio/setup",
    tag = "labelstudio",
    request_body = Object,
    responses((status = 200, description = "The model's version", body = Object), Unready)
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn labelstudio_setup() {}

/// The relations between the boxes and spans of tasks, as Label Studio sends and takes them.
#[utoipa::path(
    post,
    path = "/labelstudio/predict",
    tag = "labelstudio",
    request_body = Object,
    responses((status = 200, description = "A prediction for every task", body = Object), Problems)
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn labelstudio_predict() {}

/// Read relations and keys again; needs an admin's key.
#[utoipa::path(
    post,
    path = "/admin/reload",
    tag = "probes",
    responses((status = 200, description = "What was read", body = Object), Forbidden)
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn reload() {}

/// Counts and times for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "probes",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"))
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn metrics() {}

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "probes",
    responses((status = 200, description = "It is", body = Health))
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn healthz() {}

/// Can the service answer questions?
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "probes",
    responses(
        (status = 200, description = "It can", body = Health),
        Unready
    )
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn readyz() {}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "probes",
    operation_id = "openapi",
    responses((status = 200, description = "The OpenAPI document", body = Object))
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn openapi_json() {}
