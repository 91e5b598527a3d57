//! The `OpenAPI` document of the service, built from the wire types. Serves nothing: the functions here only carry the
//! attributes from which the document is made.

use utoipa::{OpenApi, ToSchema};

use crate::{
    BatchLine, BatchRequest, BoxFormatName, ExtractRequest, ExtractResponse, Health, PairRequest,
    Problem,
};

/// The `OpenAPI` document of `POST /extract`, `POST /extract/batch`, `GET /healthz`, `GET /readyz` and `GET /openapi.json`.
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
    paths(extract, batch, healthz, readyz, openapi_json),
    components(schemas(PairRequest)),
    tags((name = "extract", description = "The relation"), (name = "probes", description = "The service itself"))
)]
struct Document;

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
}

/// Find the relation between an object in a photo and an entity in a text.
///
/// As JSON or as a form with the same fields. Unknown fields are refused.
#[utoipa::path(
    post,
    path = "/extract",
    tag = "extract",
    request_body(
        content((ExtractRequest = "application/json"), (ExtractForm = "multipart/form-data")),
        description = "The photo, the object's box in it, the text and the entity"
    ),
    responses(
        (status = 200, description = "The relation with the reasoning behind it", body = ExtractResponse),
        (status = 400, description = "The body is not readable", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body or the image is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "Neither JSON nor a form, or an image format nobody reads", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is missing, unknown or unusable", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too busy", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 500, description = "A failure of the server", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not ready, or shutting down", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 504, description = "No answer in time", body = Problem,
            content_type = "application/problem+json")
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
    request_body = BatchRequest,
    responses(
        (status = 200, description = "One line of JSON for every question, with an answer or a problem", body = BatchLine,
            content_type = "application/x-ndjson"),
        (status = 400, description = "The body is not readable", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body or the shared image is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an image format nobody reads", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field of the batch is missing, unknown or unusable", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too busy", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds"))),
        (status = 500, description = "A failure of the server", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "Not ready, or shutting down", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u64, description = "Seconds")))
    )
)]
#[expect(dead_code, reason = "only its attributes are used")]
fn batch() {}

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
        (status = 503, description = "Not yet, or no longer", body = Problem,
            content_type = "application/problem+json")
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
