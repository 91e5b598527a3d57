//! How a failure reads on the wire: RFC 9457 problem details. Which failure has which status is the server's table.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a serialised [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

const TYPE_PREFIX: &str = "urn:more-r1:problem:";

/// A failure in the form of RFC 9457, with the field and the limit that were at fault where there are such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable name of the kind of failure; programs branch on this.
    #[serde(rename = "type")]
    #[schema(example = "urn:more-r1:problem:image-too-large")]
    pub kind: String,
    /// The kind of failure in words, the same for every failure of the kind.
    #[schema(example = "Image too large")]
    pub title: String,
    /// The HTTP status, repeated.
    #[schema(minimum = 400, maximum = 599, example = 413)]
    pub status: u16,
    /// What went wrong this time; absent for failures of the server, which are logged and not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "image has 31457280 bytes, the limit is 20971520")]
    pub detail: Option<String>,
    /// The request's field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "image")]
    pub field: Option<String>,
    /// The limit that was broken, in the unit that `detail` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20_971_520)]
    pub limit: Option<u64>,
}

impl Problem {
    /// A problem of the kind `slug`, such as `image-too-large`; the title is the slug in words.
    pub fn new(status: u16, slug: &str, detail: Option<String>) -> Self {
        let words = slug.replace('-', " ");
        let mut letters = words.chars();
        let title = letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str());
        Self {
            kind: format!("{TYPE_PREFIX}{slug}"),
            title: title.unwrap_or_default(),
            status,
            detail,
            field: None,
            limit: None,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the limit that was broken.
    #[must_use]
    pub fn with_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_the_rfc_wants_it() {
        let problem = Problem::new(
            413,
            "image-too-large",
            Some("31 bytes, the limit is 20".to_owned()),
        )
        .with_field("image")
        .with_limit(20);
        assert_eq!(
            serde_json::to_value(&problem).expect("plain strings"),
            serde_json::json!({
                "type": "urn:more-r1:problem:image-too-large", "title": "Image too large", "status": 413,
                "detail": "31 bytes, the limit is 20", "field": "image", "limit": 20
            })
        );
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let problem =
            serde_json::to_string(&Problem::new(500, "internal", None)).expect("plain strings");
        assert_eq!(
            problem,
            r#"{"type":"urn:more-r1:problem:internal","title":"Internal","status":500}"#
        );
        assert_eq!(Problem::new(500, "", None).title, "");
    }
}
