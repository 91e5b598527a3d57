//! What `POST /extract` takes. Shapes only: nothing here decodes an image or checks a box against one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::Ontology;

/// The question: which relation holds between the object in the box and the entity in the text?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtractRequest {
    /// The photo as base64, as a `data:` URL, or as an address where the service fetches images. PNG, JPEG, WebP, GIF or BMP; EXIF orientation is applied first.
    #[schema(min_length = 1, example = "data:image/png;base64,iVBORw0KGgo...")]
    pub image: String,
    /// The object's box in the upright photo; `box_format` gives the meaning of the four numbers.
    #[schema(value_type = Vec<f64>, min_items = 4, max_items = 4, example = json!([10.0, 20.0, 200.0, 300.0]))]
    pub bbox: [f64; 4],
    /// How to read `bbox`.
    #[serde(default)]
    #[schema(default = "xyxy")]
    pub box_format: BoxFormatName,
    /// The text that comes with the photo.
    #[schema(min_length = 1, example = "Italy Storms Back Into the World Cup")]
    pub text: String,
    /// The entity, as the text spells it.
    #[schema(min_length = 1, example = "World Cup")]
    pub entity: String,
    /// What becomes of a label that the types stated in step 4 exclude.
    #[serde(default)]
    #[schema(default = "report")]
    pub enforce: Enforce,
    /// Whether the answer gives a probability for every label.
    #[serde(default)]
    pub scores: bool,
    /// A label less probable than this is withheld: the answer is `none`, and `abstained` says so.
    #[schema(minimum = 0, maximum = 1)]
    pub abstain_below: Option<f64>,
    /// The photo's own address (an IRI without fragment), by which written graphs name it; without it the hash of the file.
    #[schema(example = "https://example.org/photos/1.jpg")]
    pub source: Option<String>,
    /// So many further answers are drawn at random; `samples` then tells how far they agree. 0 draws none.
    #[serde(default)]
    #[schema(maximum = 16)]
    pub samples: usize,
    /// The relations to choose from; without it those of the service (`GET /ontology`).
    pub ontology: Option<Ontology>,
    /// Whether the answer comes as server-sent events while it is written.
    #[serde(default)]
    pub stream: bool,
    /// Whether these events hold every piece of text, not only whole steps.
    #[serde(default)]
    pub stream_tokens: bool,
}

/// What becomes of a label that the trace's own types exclude.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Enforce {
    /// It is given; `consistent` tells.
    #[default]
    Report,
    /// It cannot be given: only the candidates of the types stated in step 4 can, `none` among them.
    Strict,
}

/// Many questions at once: either one photo and text with several pairs, or whole questions of their own.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The photo of all `pairs`, as in a single question.
    pub image: Option<String>,
    /// The text of all `pairs`.
    pub text: Option<String>,
    /// How to read the boxes of `pairs`.
    #[serde(default)]
    #[schema(default = "xyxy")]
    pub box_format: BoxFormatName,
    /// For all `pairs`, as in a single question.
    pub enforce: Option<Enforce>,
    /// For all `pairs`, as in a single question.
    pub scores: Option<bool>,
    /// For all `pairs`, as in a single question.
    #[schema(minimum = 0, maximum = 1)]
    pub abstain_below: Option<f64>,
    /// The address of the photo of all `pairs`, as in a single question.
    pub source: Option<String>,
    /// For all `pairs`, as in a single question.
    #[schema(maximum = 16)]
    pub samples: Option<usize>,
    /// The relations of all `pairs`.
    pub ontology: Option<Ontology>,
    /// Objects and entities of `image` and `text`; each is checked alone.
    #[schema(value_type = Option<Vec<PairRequest>>)]
    pub pairs: Option<Vec<Box<RawValue>>>,
    /// Whole questions; each is checked alone.
    #[schema(value_type = Option<Vec<ExtractRequest>>)]
    pub items: Option<Vec<Box<RawValue>>>,
}

/// One object and one entity of a shared photo and text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// The object's box in the upright photo.
    #[schema(value_type = Vec<f64>, min_items = 4, max_items = 4, example = json!([10.0, 20.0, 200.0, 300.0]))]
    pub bbox: [f64; 4],
    /// The entity, as the text spells it.
    #[schema(min_length = 1, example = "World Cup")]
    pub entity: String,
}

/// A way to enforce that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown way to enforce {0:?}, expected \"report\" or \"strict\"")]
pub struct EnforceError(pub String);

impl FromStr for Enforce {
    type Err = EnforceError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "report" => Ok(Self::Report),
            "strict" => Ok(Self::Strict),
            other => Err(EnforceError(other.to_owned())),
        }
    }
}

/// What the four numbers of a box are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormatName {
    /// Left, top, right, bottom in pixels.
    #[default]
    Xyxy,
    /// Left, top, width, height in pixels.
    Xywh,
    /// Centre x, centre y, width, height as fractions of the photo, as in the MORE data set.
    Cxcywh,
    /// Left, top, width, height in percent of the photo, as in Label Studio.
    Percent,
}

/// A box format nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown box format {0:?}, expected \"xyxy\", \"xywh\", \"cxcywh\" or \"percent\"")]
pub struct BoxFormatError(pub String);

/// A box in text form that is not four numbers between commas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BboxError {
    /// Too few or too many numbers.
    #[error("a box has four numbers between commas, {text:?} has {got}")]
    Count {
        /// The box as given.
        text: String,
        /// How many parts it has.
        got: usize,
    },
    /// One part is no number.
    #[error("{part:?} in the box {text:?} is not a number")]
    Number {
        /// The box as given.
        text: String,
        /// The part.
        part: String,
    },
}

/// Reads a box in the text form of multipart requests and the command line: `10,20,200,300`.
///
/// # Errors
/// When the text is not four numbers; whether they make a usable box is not judged here.
pub fn parse_bbox(text: &str) -> Result<[f64; 4], BboxError> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let parts: [&str; 4] = parts
        .try_into()
        .map_err(|parts: Vec<&str>| BboxError::Count {
            text: text.to_owned(),
            got: parts.len(),
        })?;
    let mut bbox = [0.0; 4];
    for (number, part) in bbox.iter_mut().zip(parts) {
        *number = part.parse().map_err(|_| BboxError::Number {
            text: text.to_owned(),
            part: part.to_owned(),
        })?;
    }
    Ok(bbox)
}

impl FromStr for BoxFormatName {
    type Err = BoxFormatError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "xyxy" => Ok(Self::Xyxy),
            "xywh" => Ok(Self::Xywh),
            "cxcywh" => Ok(Self::Cxcywh),
            "percent" => Ok(Self::Percent),
            other => Err(BoxFormatError(other.to_owned())),
        }
    }
}

impl fmt::Display for BoxFormatName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Xyxy => "xyxy",
            Self::Xywh => "xywh",
            Self::Cxcywh => "cxcywh",
            Self::Percent => "percent",
        })
    }
}
