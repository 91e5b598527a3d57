//! Answers as parts of a knowledge graph: Web Annotations in JSON-LD and Turtle, statements in Cypher, rows for Neo4j's import.
//!
//! A photo is named by its caller's `source`, else by the hash of its bytes; an object by its photo and the box in pixels of the upright
//! photo; an entity by its name. Merging a graph twice changes nothing. Not here: who wants which form, and problems on the way.

mod csv;
mod cypher;
mod json_ld;
mod turtle;

use std::fmt;
use std::str::FromStr;

use proto::{ExtractResponse, NONE};

/// The forms of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The whole answer.
    #[default]
    Json,
    /// A Web Annotation.
    JsonLd,
    /// The same as triples.
    Turtle,
    /// Statements for a graph database.
    Cypher,
    /// A table for Neo4j's import.
    Csv,
}

impl Format {
    const ALL: [Self; 5] = [
        Self::Json,
        Self::JsonLd,
        Self::Turtle,
        Self::Cypher,
        Self::Csv,
    ];

    /// The name in `?format=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::JsonLd => "jsonld",
            Self::Turtle => "turtle",
            Self::Cypher => "cypher",
            Self::Csv => "csv",
        }
    }

    /// The media type of one answer.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::JsonLd => "application/ld+json",
            Self::Turtle => "text/turtle",
            Self::Cypher => "application/x-cypher-query",
            Self::Csv => "text/csv",
        }
    }

    /// The media type of many answers, one after another.
    pub fn media_type_of_many(self) -> &'static str {
        match self {
            Self::Json | Self::JsonLd => "application/x-ndjson",
            other => other.media_type(),
        }
    }

    /// The first of those in an `accept` header that the client likes best; nothing if it likes none.
    pub fn accepted(header: &str) -> Option<Self> {
        let mut liked: Vec<(f32, &str)> = header.split(',').filter_map(preference).collect();
        liked.sort_by(|a, b| b.0.total_cmp(&a.0)); // stable: of equals the first
        liked.into_iter().find_map(|(_, range)| match range {
            // Answers in events begin as a question like any other.
            "*/*" | "application/*" | "text/event-stream" | "application/x-ndjson" => {
                Some(Self::Json)
            }
            "text/*" => Some(Self::Turtle),
            name => Self::ALL.into_iter().find(|it| it.media_type() == name),
        })
    }

    /// What stands before the first answer.
    pub fn head(self) -> String {
        match self {
            Self::Csv => csv::head(),
            _ => String::new(),
        }
    }

    /// One answer, a line or more.
    pub fn write(self, fact: &Fact<'_>) -> String {
        match self {
            Self::Json => serde_json::to_string(fact.answer).expect("plain data") + "\n",
            Self::JsonLd => json_ld::annotation(fact).to_string() + "\n",
            Self::Turtle => turtle::triples(fact),
            Self::Cypher => cypher::statements(fact),
            Self::Csv => csv::row(fact),
        }
    }

    /// A remark on question `index`, which has no answer for the reason `slug`; nothing where problems have lines of their own.
    pub fn remark(self, index: usize, slug: &str) -> Option<String> {
        match self {
            Self::Json | Self::JsonLd => None,
            Self::Turtle => Some(format!("# question {index}: {slug}\n")),
            Self::Cypher => Some(format!("// question {index}: {slug}\n")),
            Self::Csv => Some(csv::problem(index, slug)),
        }
    }
}

/// A media range and how much it is liked; nothing for what is refused or no range.
fn preference(part: &str) -> Option<(f32, &str)> {
    let mut parts = part.split(';').map(str::trim);
    let range = parts.next()?;
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    let quality: f32 = quality.map_or(Ok(1.0), str::parse).ok()?;
    (quality > 0.0).then_some((quality, range))
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|format| format.name() == name);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is no format: there are {names}")
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An answer with what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// The answer.
    pub answer: &'a ExtractResponse,
    /// The text that was asked about.
    pub text: &'a str,
}

impl<'a> Fact<'a> {
    fn photo(&self) -> &'a str {
        &self.answer.image.id
    }

    /// Left, top, width and height in pixels.
    fn area(&self) -> [u32; 4] {
        let [x0, y0, x1, y1] = self.answer.crop.r#box;
        [x0, y0, x1 - x0, y1 - y0]
    }

    /// The object's box as a media fragment.
    fn fragment(&self) -> String {
        let [x, y, width, height] = self.area();
        format!("xywh=pixel:{x},{y},{width},{height}")
    }

    fn object(&self) -> String {
        format!("{}#{}", self.photo(), self.fragment())
    }

    fn entity(&self) -> String {
        format!("urn:more-r1:entity:{}", escaped(&self.answer.entity.name))
    }

    /// The text, named by its hash.
    fn text_id(&self) -> String {
        format!("urn:blake3:{}", blake3::hash(self.text.as_bytes()).to_hex())
    }

    /// The annotation: who asks the same model the same gets the same name.
    fn id(&self) -> String {
        let parts = [
            &self.object(),
            &self.entity(),
            &self.text_id(),
            &self.answer.model.hash,
            &self.answer.model.ontology_hash,
        ];
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part.as_bytes()).update(&[0]);
        }
        format!("urn:blake3:{}", hasher.finalize().to_hex())
    }

    /// The label, unless there is no relation.
    fn label(&self) -> Option<&'a str> {
        let label = self.answer.relation.label.as_str();
        (label != NONE).then_some(label)
    }

    /// The label's last part, such as `present_in`.
    fn relation(&self) -> Option<&'a str> {
        self.label()?.rsplit('/').next()
    }

    /// What stands before and behind the entity in the text, 32 characters at most.
    fn context(&self) -> (String, String) {
        let entity = &self.answer.entity;
        let before: Vec<char> = self.text.chars().take(entity.start).collect();
        let before = &before[before.len().saturating_sub(32)..];
        let behind = self.text.chars().skip(entity.end).take(32);
        (before.iter().collect(), behind.collect())
    }
}

/// The IRI of a label or type, `kind` telling which.
fn term(kind: &str, name: &str) -> String {
    format!(
        "urn:more-r1:{kind}:{}",
        escaped(name.trim_start_matches('/'))
    )
}

/// What may stand in an IRI as it is; everything else as percent and its bytes.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests;
