//! How a request travels and how its answer is to: media types and `?format=`.

use axum::extract::{Query, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use serde::Deserialize;

use crate::app::AppState;
use crate::error::ApiError;
use crate::fields::{Asked, FieldError};
use crate::graph::Format;
use crate::http::{json, multipart};

/// How a question travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`
    Json,
    /// `multipart/form-data`
    Multipart,
}

impl Form {
    /// As the header says.
    ///
    /// # Errors
    /// None of those `taken`.
    pub fn of(request: &Request, taken: &'static [Self]) -> Result<Self, ApiError> {
        let header = request.headers().get(CONTENT_TYPE);
        let given = header
            .and_then(|value| value.to_str().ok())
            .unwrap_or("missing");
        let essence = given
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let form = taken.iter().find(|form| form.name() == essence);
        form.copied().ok_or_else(|| ApiError::UnsupportedMediaType {
            got: given.to_owned(),
            taken: taken.iter().map(|form| form.name()).collect(),
        })
    }

    /// The media type.
    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Multipart => "multipart/form-data",
        }
    }

    /// Reads the question.
    ///
    /// # Errors
    /// What is wrong with it is named.
    pub async fn read(
        self,
        parts: Parts,
        bytes: Vec<u8>,
        state: &AppState,
    ) -> Result<Asked, ApiError> {
        match self {
            // Parsing and base64 of twenty megabytes is work: not on a thread that serves sockets.
            Self::Json => state.pool().run(move || json::read(&bytes)).await?,
            Self::Multipart => multipart::read(parts, bytes).await,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    format: Option<String>,
}

/// The form in which a client wants its answer: `?format=` before the header `accept`.
///
/// # Errors
/// A form that does not exist, a header that takes none there is.
pub fn wanted(request: &Request) -> Result<Format, ApiError> {
    let asks = Query::<Asks>::try_from_uri(request.uri());
    let asks = asks.map_err(|error| FieldError::invalid("format", error.body_text()))?;
    if let Some(name) = &asks.format {
        let format = name.parse();
        return Ok(format.map_err(|reason: String| FieldError::invalid("format", reason))?);
    }
    let Some(header) = request.headers().get(ACCEPT) else {
        return Ok(Format::Json);
    };
    let header = header.to_str().unwrap_or_default();
    Format::accepted(header).ok_or_else(|| ApiError::NotAcceptable {
        got: header.to_owned(),
    })
}
