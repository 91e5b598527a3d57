//! A question as `multipart/form-data`: the same fields, the image as a file part, the box as `a,b,c,d`.

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::request::Parts;
use proto::{Enforce, EnforceError};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use vision::BoxFormat;

use crate::error::ApiError;
use crate::fields::{Asked, FieldError, Image, NAMES, Wishes, bbox_from_text};

/// Reads the body of a multipart request.
///
/// # Errors
/// When the frame is broken, or a field is missing, unknown, doubled or unusable.
pub async fn read(parts: Parts, body: Vec<u8>) -> Result<Asked, ApiError> {
    let request = Request::from_parts(parts, Body::from(body));
    let broken = |reason: String| ApiError::BodyBroken { reason };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| broken(error.body_text()))?;
    let mut seen: [Option<Vec<u8>>; NAMES.len()] = Default::default();
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| broken(error.body_text()))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        let Some(place) = NAMES.iter().position(|known| *known == name) else {
            let known = NAMES.join(", ");
            return Err(FieldError::Unknown { field: name, known }.into());
        };
        if seen[place].is_some() {
            return Err(FieldError::Duplicate { field: name }.into());
        }
        let bytes = field
            .bytes()
            .await
            .map_err(|error| broken(error.body_text()))?;
        seen[place] = Some(bytes.to_vec());
    }
    let [image, bbox, format, text, entity, rest @ ..] = seen;
    let missing = |name: &'static str| FieldError::Missing { field: name.into() };
    Ok(Asked {
        image: Image::File(image.ok_or_else(|| missing("image"))?),
        bbox: bbox_from_text(&utf8("bbox", bbox.ok_or_else(|| missing("bbox"))?)?)?,
        format: match format {
            None => BoxFormat::default(),
            Some(name) => utf8("box_format", name)?
                .parse::<BoxFormat>()
                .map_err(FieldError::Box)?,
        },
        text: utf8("text", text.ok_or_else(|| missing("text"))?)?,
        entity: utf8("entity", entity.ok_or_else(|| missing("entity"))?)?,
        wishes: wishes(rest)?,
    })
}

fn wishes(
    [
        enforce,
        scores,
        abstain_below,
        source,
        samples,
        ontology,
        stream,
        stream_tokens,
    ]: [Option<Vec<u8>>; 8],
) -> Result<Wishes, FieldError> {
    Ok(Wishes {
        enforce: match enforce {
            Some(name) => utf8("enforce", name)?
                .parse()
                .map_err(|error: EnforceError| FieldError::invalid("enforce", error.to_string()))?,
            None => Enforce::default(),
        },
        scores: optional("scores", scores)?.unwrap_or_default(),
        abstain_below: optional("abstain_below", abstain_below)?,
        source: source.map(|it| utf8("source", it)).transpose()?,
        samples: optional("samples", samples)?.unwrap_or_default(),
        ontology: optional("ontology", ontology)?.map(Arc::new),
        stream: optional("stream", stream)?.unwrap_or_default(),
        stream_tokens: optional("stream_tokens", stream_tokens)?.unwrap_or_default(),
    })
}

/// A field written as JSON writes it without quotes, such as `true` or `0.5`.
fn optional<T: DeserializeOwned>(
    field: &'static str,
    bytes: Option<Vec<u8>>,
) -> Result<Option<T>, FieldError> {
    let Some(bytes) = bytes else { return Ok(None) };
    let value = serde_json::from_slice(&bytes);
    value
        .map(Some)
        .map_err(|error| FieldError::invalid(field, error.to_string()))
}

fn utf8(field: &'static str, bytes: Vec<u8>) -> Result<String, FieldError> {
    String::from_utf8(bytes).map_err(|error| FieldError::Invalid {
        field: field.into(),
        reason: format!("not UTF-8: {error}"),
    })
}
