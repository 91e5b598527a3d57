//! The lines of a split as records, each with its number, and the reasons why a row is left out. Looks at no image and knows no label.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::{Serialize, Serializer};

use super::{Manner, check, mnre};
use crate::Error;
use crate::data::{self, LineError, Record};

/// Why a row is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The line is neither JSON nor a Python dict.
    Syntax,
    /// A field is missing or not of the right kind.
    Field,
    /// The name of the image may lead out of the folder of images.
    ImageName,
    /// There is no such image.
    ImageMissing,
    /// The image does not decode.
    ImageUnreadable,
    /// The box has no extent.
    BoxEmpty,
    /// The box leaves the image by more than rounding explains.
    BoxOutside,
    /// The image or the object is so narrow that a model cannot be shown it.
    TooNarrow,
    /// An entity's span holds no token, or tokens that the text does not have.
    SpanOutside,
    /// The tokens in an entity's span are not its name.
    SpanMismatch,
    /// The entity is blank.
    EntityEmpty,
    /// The text does not hold the entity.
    TextMismatch,
    /// The text holds a token that steers a conversation: no model takes it.
    ControlToken,
    /// The label is not among those of the corpus, or not in the ontology.
    UnknownLabel,
    /// An earlier row of the split is the same.
    Duplicate,
    /// An earlier row of the split differs in nothing but its label.
    Contradiction,
}

impl Reason {
    /// The reason as it stands in `rejected.jsonl`.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Field => "field",
            Self::ImageName => "image-name",
            Self::ImageMissing => "image-missing",
            Self::ImageUnreadable => "image-unreadable",
            Self::BoxEmpty => "box-empty",
            Self::BoxOutside => "box-outside",
            Self::TooNarrow => "too-narrow",
            Self::SpanOutside => "span-outside",
            Self::SpanMismatch => "span-mismatch",
            Self::EntityEmpty => "entity-empty",
            Self::TextMismatch => "text-mismatch",
            Self::ControlToken => "control-token",
            Self::UnknownLabel => "unknown-label",
            Self::Duplicate => "duplicate",
            Self::Contradiction => "contradiction",
        }
    }

    /// A row left out for this reason.
    pub(super) fn because(self, detail: impl Into<String>) -> Rejection {
        Rejection::new(self, detail)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.slug())
    }
}

/// Why one row is left out.
pub(super) type Rejection = crate::rejection::Rejection<Reason>;

/// A line that holds something.
#[derive(Debug)]
pub(super) struct Row {
    /// Counted from 1.
    pub line: usize,
    /// What it holds.
    pub record: Result<Record, Rejection>,
}

/// Every row of a file; empty lines are none.
pub(super) fn read(path: &Path, manner: &Manner) -> Result<Vec<Row>, Error> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let rows = lines.filter_map(|(index, line)| {
        let record = match std::str::from_utf8(line) {
            // Editors on Windows put a mark before the first line.
            Ok(line) => match line.trim_start_matches('\u{feff}').trim() {
                "" => return None,
                line => parse(line, manner),
            },
            Err(error) => Err(Reason::Syntax.because(format!("is no UTF-8: {error}"))),
        };
        let line = index + 1;
        Some(Row { line, record })
    });
    Ok(rows.collect())
}

fn parse(line: &str, manner: &Manner) -> Result<Record, Rejection> {
    let record = data::parse_fields(line).and_then(|fields| match manner {
        Manner::More { .. } => Ok((data::record(&fields)?, None)),
        Manner::Mnre => mnre::record(fields),
    });
    let (record, other) = record.map_err(|error| match error {
        LineError::Syntax(detail) => Reason::Syntax.because(detail),
        LineError::Field(field, detail) => Reason::Field.because(format!("`{field}` {detail}")),
    })?;
    if let Some(other) = other {
        check::span(&record.token, &other)?;
    }
    Ok(record)
}
