//! A question as a JSON object. Every fault names the field it is in.

use std::sync::Arc;

use proto::ExtractRequest;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::error::ApiError;
use crate::fields::{Asked, FieldError, Wishes, box_format, image_from_text};

/// Reads the body of a JSON request.
///
/// # Errors
/// When it is not JSON, not an object, or a field is missing, unknown, doubled or of a wrong type.
pub fn read(body: &[u8]) -> Result<Asked, ApiError> {
    let request: ExtractRequest = parse(body)?;
    Ok(Asked {
        image: image_from_text(&request.image)?,
        bbox: request.bbox,
        format: box_format(request.box_format),
        text: request.text,
        entity: request.entity,
        wishes: Wishes {
            enforce: request.enforce,
            scores: request.scores,
            abstain_below: request.abstain_below,
            source: request.source,
            samples: request.samples,
            ontology: request.ontology.map(Arc::new),
            stream: request.stream,
            stream_tokens: request.stream_tokens,
        },
    })
}

/// Reads a JSON object.
///
/// # Errors
/// As [`read`].
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Serde would also take an array with the fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => ApiError::NotAnObject,
            Err(error) => fault(body, ".", &error),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let object = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        fault(body, &path, &error.into_inner())
    })?;
    deserializer
        .end()
        .map_err(|error| fault(body, ".", &error))?;
    Ok(object)
}

/// Sorts a parser's error: syntax, or which field has what fault.
fn fault(body: &[u8], path: &str, error: &serde_json::Error) -> ApiError {
    let reason = error.to_string();
    let field = path
        .split(['.', '['])
        .next()
        .filter(|name| !matches!(*name, "" | "?"));
    // The parser calls some wrong types wrong syntax (a number where a name belongs): whole JSON is never that.
    let whole =
        || str::from_utf8(body).is_ok_and(|body| serde_json::from_str::<IgnoredAny>(body).is_ok());
    if error.classify() != Category::Data && !whole() {
        return ApiError::JsonSyntax {
            field: field.map(str::to_owned),
            reason,
        };
    }
    // Serde's derive says these three as sentences, with the name in backticks. Inside a field they are about a part of it.
    let quoted = |start: &str| {
        let name = reason.strip_prefix(start)?.split('`').next()?;
        let own = field.is_none_or(|field| field == path && field == name);
        own.then(|| name.to_owned())
    };
    if let Some(field) = quoted("missing field `") {
        return FieldError::Missing {
            field: field.into(),
        }
        .into();
    }
    if let Some(field) = quoted("unknown field `") {
        let names = reason.split('`').skip(3).step_by(2);
        let known = names.collect::<Vec<_>>().join(", ");
        return FieldError::Unknown { field, known }.into();
    }
    if let Some(field) = quoted("duplicate field `") {
        return FieldError::Duplicate { field }.into();
    }
    match field {
        Some(field) => FieldError::Invalid {
            field: field.to_owned().into(),
            reason,
        }
        .into(),
        None => ApiError::NotAnObject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Image;

    /// Input, then `slug field`.
    const FAULTS: [(&str, &str); 18] = [
        ("", "json-syntax -"),
        ("{", "json-syntax -"),
        ("nonsense", "json-syntax -"),
        (r#"{"image":"AQ==""#, "json-syntax -"),
        (r#"{"bbox":[1,2,"#, "json-syntax bbox"),
        (r#"{"bbox":[1,2,3,1e999]}"#, "invalid-field bbox"),
        (r#"{"box_format":1}"#, "invalid-field box_format"),
        ("[]", "not-an-object -"),
        ("null", "not-an-object -"),
        ("{}", "missing-field image"),
        (r#"{"image":1}"#, "invalid-field image"),
        (r#"{"image":null}"#, "invalid-field image"),
        (r#"{"bbox":"1,2,3,4"}"#, "invalid-field bbox"),
        (r#"{"bbox":[1,2,3]}"#, "invalid-field bbox"),
        (r#"{"bbox":[1,2,"3",4]}"#, "invalid-field bbox"),
        (r#"{"text":"a","text":"b"}"#, "duplicate-field text"),
        (r#"{"box_format":"yolo"}"#, "invalid-field box_format"),
        (r#"{"colour":"red"}"#, "unknown-field colour"),
    ];

    #[test]
    fn every_fault_names_its_field() {
        for (input, expected) in FAULTS {
            let error = read(input.as_bytes()).expect_err(input);
            let seen = format!("{} {}", error.slug(), error.field().unwrap_or("-"));
            assert_eq!(seen, expected, "{input}");
        }
    }

    #[test]
    fn five_numbers_are_no_box() {
        let error = read(br#"{"bbox":[1,2,3,4,5]}"#).expect_err("five numbers");
        assert_eq!(error.field(), Some("bbox"));
    }

    #[test]
    fn a_whole_question_is_read() {
        let body = br#"{"image":"AQ==","bbox":[1,2,3,4],"text":"a b","entity":"b"}"#;
        let asked = read(body).expect("a valid question");
        assert!(matches!(asked.image, Image::File(file) if file == [1]));
        assert_eq!(asked.format, vision::BoxFormat::Xyxy);
        assert!(read(&[body.as_slice(), b" x"].concat()).is_err());
    }
}
