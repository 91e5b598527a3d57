//! Every way a request fails, and the only table of status codes; each slug is one problem type in `docs/protocol.md`.
//!
//! Details of 5xx answers never leave the house: `observe.rs` logs them under the request's id.

use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use proto::{PROBLEM_JSON, Problem};
use vision::BoxError;

use crate::engine::EngineError;
use crate::fields::FieldError;
use crate::pool::Panicked;

/// Seconds after which a client that found no place may come again: a few answers of the mini.
const RETRY_AFTER_SECONDS: u32 = 2;

/// Longest detail sent: decoders quote what they were given, which may be a whole image.
const DETAIL_CHARACTERS: usize = 300;

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No such path.
    #[error("there is no such path; GET /openapi.json and the page /docs list those there are")]
    NotFound,
    /// The path exists, the method does not.
    #[error("this path does not answer {method}; the header `allow` lists what it does")]
    MethodNotAllowed {
        /// What was tried.
        method: String,
    },
    /// A body of a type this path does not read.
    #[error("content-type is {got}; send {}", taken.join(" or "))]
    UnsupportedMediaType {
        /// What was sent.
        got: String,
        /// What is read.
        taken: Vec<&'static str>,
    },
    /// An answer in no form there is.
    #[error(
        "accept is {got}; answers come as application/json, application/ld+json, text/turtle, application/x-cypher-query or text/csv"
    )]
    NotAcceptable {
        /// What would be taken.
        got: String,
    },
    /// A model that is not here.
    #[error("there is no model {got:?} here; there is {there:?}")]
    UnknownModel {
        /// What was asked for.
        got: String,
        /// What there is.
        there: String,
    },
    /// No key, or none that is known.
    #[error("send a key of the service: authorization: Bearer KEY")]
    Unauthorized,
    /// A key that may not do this.
    #[error("this needs a key with the right `admin`")]
    Forbidden,
    /// The body is longer than is read.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body took too long to arrive.
    #[error("the body did not arrive within {seconds} s")]
    BodyTooSlow {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The body ended early or its frame is broken.
    #[error("the body cannot be read: {reason}")]
    BodyBroken {
        /// What the reader said.
        reason: String,
    },
    /// The body is no JSON.
    #[error("the body is not valid JSON: {reason}")]
    JsonSyntax {
        /// The field being read, when there is one.
        field: Option<String>,
        /// What the parser said, with line and column.
        reason: String,
    },
    /// The body is JSON but no object.
    #[error("the body has to be a JSON object; GET /openapi.json has its fields")]
    NotAnObject,
    /// A field is missing, unknown, twice there or unusable.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The model refused the question.
    #[error(
        "the prompt has {got} tokens, the limit is {limit}: send a shorter text, smaller images or fewer relations"
    )]
    PromptTooLong {
        /// Tokens of this question.
        got: usize,
        /// The configured limit.
        limit: usize,
        /// What takes most of them: `text`, `image` or `ontology`.
        field: &'static str,
    },
    /// The model is still being loaded.
    #[error("the model is still being loaded; GET /readyz tells when it is there")]
    NotReady,
    /// The engine gave up after several panics.
    #[error("the model has stopped; the service has to be started again")]
    Broken,
    /// The service is about to end.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// Every place is taken.
    #[error("all {places} places are taken; the header `retry-after` says when to come again")]
    Overloaded {
        /// How many requests may be in the house.
        places: usize,
    },
    /// The answer was not ready in time.
    #[error("there was no answer within {seconds} s; the question was given up")]
    TooLate {
        /// The limit in seconds.
        seconds: u64,
    },
    /// Our fault. The text is for the log.
    #[error("{0}")]
    Internal(String),
}

/// Status and slug: what stays the same for every problem of a type.
struct Kind(StatusCode, &'static str);

/// Every slug, for the documentation's test.
pub const SLUGS: [&str; 28] = [
    "not-found",
    "method-not-allowed",
    "unsupported-media-type",
    "not-acceptable",
    "unknown-model",
    "unauthorized",
    "forbidden",
    "body-too-large",
    "body-too-slow",
    "body-broken",
    "json-syntax",
    "not-an-object",
    "missing-field",
    "unknown-field",
    "duplicate-field",
    "invalid-field",
    "entity-not-in-text",
    "invalid-image",
    "image-too-large",
    "unsupported-image",
    "unreachable-image",
    "invalid-box",
    "prompt-too-long",
    "not-ready",
    "shutting-down",
    "overloaded",
    "too-late",
    "internal",
];

impl ApiError {
    /// The only table of status codes. No `_` arm: a new variant has to choose.
    fn kind(&self) -> Kind {
        use StatusCode as S;
        match self {
            Self::NotFound => Kind(S::NOT_FOUND, "not-found"),
            Self::MethodNotAllowed { .. } => Kind(S::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::UnsupportedMediaType { .. } => {
                Kind(S::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type")
            }
            Self::NotAcceptable { .. } => Kind(S::NOT_ACCEPTABLE, "not-acceptable"),
            Self::UnknownModel { .. } => Kind(S::NOT_FOUND, "unknown-model"),
            Self::Unauthorized => Kind(S::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden => Kind(S::FORBIDDEN, "forbidden"),
            Self::BodyTooLarge { .. } => Kind(S::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::BodyTooSlow { .. } => Kind(S::REQUEST_TIMEOUT, "body-too-slow"),
            Self::BodyBroken { .. } => Kind(S::BAD_REQUEST, "body-broken"),
            Self::JsonSyntax { .. } => Kind(S::BAD_REQUEST, "json-syntax"),
            Self::NotAnObject => Kind(S::UNPROCESSABLE_ENTITY, "not-an-object"),
            Self::Field(error) => field_kind(error),
            Self::PromptTooLong { .. } => Kind(S::UNPROCESSABLE_ENTITY, "prompt-too-long"),
            Self::NotReady | Self::Broken => Kind(S::SERVICE_UNAVAILABLE, "not-ready"),
            Self::ShuttingDown => Kind(S::SERVICE_UNAVAILABLE, "shutting-down"),
            Self::Overloaded { .. } => Kind(S::TOO_MANY_REQUESTS, "overloaded"),
            Self::TooLate { .. } => Kind(S::GATEWAY_TIMEOUT, "too-late"),
            Self::Internal(_) => Kind(S::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Blames a long prompt on the images when they take most of it, else on the question's own relations when it has some.
    #[must_use]
    pub fn blaming(self, image_tokens: usize, own_ontology: bool) -> Self {
        match self {
            Self::PromptTooLong { got, limit, .. } => Self::PromptTooLong {
                got,
                limit,
                field: if 2 * image_tokens > got {
                    "image"
                } else if own_ontology {
                    "ontology"
                } else {
                    "text"
                },
            },
            other => other,
        }
    }

    /// The slug of the problem's type.
    pub fn slug(&self) -> &'static str {
        self.kind().1
    }

    /// The request field at fault.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field(error) => Some(error.field()),
            Self::JsonSyntax { field, .. } => field.as_deref(),
            Self::PromptTooLong { field, .. } => Some(field),
            Self::UnknownModel { .. } => Some("model"),
            _ => None,
        }
    }

    /// The limit that was broken, where it is a number.
    fn limit(&self) -> Option<u64> {
        match self {
            Self::BodyTooLarge { limit } | Self::PromptTooLong { limit, .. } => Some(*limit as u64),
            Self::BodyTooSlow { seconds } | Self::TooLate { seconds } => Some(*seconds),
            Self::Overloaded { places } => Some(*places as u64),
            Self::Field(error) => error.limit(),
            _ => None,
        }
    }

    /// The problem document as it is sent.
    pub fn problem(&self) -> Problem {
        let Kind(status, slug) = self.kind();
        let detail = match self {
            Self::Internal(_) => {
                "The service failed; its log says why, under the id in the header x-request-id."
                    .to_owned()
            }
            other => shorten(&other.to_string()),
        };
        let mut problem = Problem::new(status.as_u16(), slug, Some(detail));
        problem.field = self.field().map(shorten);
        problem.limit = self.limit();
        problem
    }
}

fn field_kind(error: &FieldError) -> Kind {
    use StatusCode as S;
    let unprocessable = S::UNPROCESSABLE_ENTITY;
    match error {
        FieldError::Missing { .. } => Kind(unprocessable, "missing-field"),
        FieldError::Unknown { .. } => Kind(unprocessable, "unknown-field"),
        FieldError::Duplicate { .. } => Kind(unprocessable, "duplicate-field"),
        FieldError::Invalid { .. }
        | FieldError::Empty { .. }
        | FieldError::TooLong { .. }
        | FieldError::TooMany { .. }
        | FieldError::Box(BoxError::UnknownFormat { .. }) => Kind(unprocessable, "invalid-field"),
        FieldError::Unreachable { .. } => Kind(unprocessable, "unreachable-image"),
        FieldError::EntityNotInText => Kind(unprocessable, "entity-not-in-text"),
        FieldError::Box(_) => Kind(unprocessable, "invalid-box"),
        FieldError::Image { source, .. } => match source {
            vision::Error::TooManyBytes { .. }
            | vision::Error::SideTooLong { .. }
            | vision::Error::TooManyPixels { .. } => Kind(S::PAYLOAD_TOO_LARGE, "image-too-large"),
            vision::Error::UnsupportedFormat { .. } => {
                Kind(S::UNSUPPORTED_MEDIA_TYPE, "unsupported-image")
            }
            _ => Kind(unprocessable, "invalid-image"),
        },
    }
}

/// Cuts a text that may quote the client's own data to a length worth sending back.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<Panicked> for ApiError {
    fn from(panic: Panicked) -> Self {
        Self::Internal(panic.to_string())
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full { places } => Self::Overloaded { places },
            EngineError::Model(error) => error.into(),
            error @ (EngineError::Panicked(_) | EngineError::Stopped) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<model::Error> for ApiError {
    fn from(error: model::Error) -> Self {
        match error {
            model::Error::Input { field, reason } => FieldError::Invalid {
                field: field.into(),
                reason,
            }
            .into(),
            model::Error::PromptTooLong { got, limit } => Self::PromptTooLong {
                got,
                limit,
                field: "text",
            },
            // Sizes and ratios were checked before the engine: what is left is our fault.
            other => Self::Internal(other.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let status = self.kind().0;
        let body = serde_json::to_vec(&problem).expect("a problem is plain strings and numbers");
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if matches!(status.as_u16(), 429 | 503) {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        // One layer logs it, inside the request's span.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
