//! What each field of a question has to be, for JSON, multipart and the command line alike.
//!
//! Not here: how the fields travel (`http/json.rs`, `http/multipart.rs`), and pixels (`prepare.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Terms;
use proto::{BoxFormatName, Enforce, Ontology};
use std::sync::Arc;
use url::Url;
use vision::BoxFormat;

pub use crate::field_error::FieldError;
use crate::prepare::Photo;

/// The fields a request may have, in the order of the documentation.
pub const NAMES: [&str; 13] = [
    "image",
    "bbox",
    "box_format",
    "text",
    "entity",
    "enforce",
    "scores",
    "abstain_below",
    "source",
    "samples",
    "ontology",
    "stream",
    "stream_tokens",
];

/// Answers that may be drawn at random for a question: each is a sequence of its own.
pub const MAX_SAMPLES: usize = 16;

/// Characters of a photo's name in graphs.
const SOURCE_CHARS: usize = 2000;

/// Bytes of an address that is fetched.
const ADDRESS_BYTES: usize = 2000;

/// An ontology may have as many labels: every one is in the prompt.
pub const MAX_LABELS: usize = 100;
/// And so many types.
const MAX_TYPES: usize = 20;
/// Characters of a name, of a label or type.
const NAME_CHARS: usize = 64;
/// Characters of all label names together: scores take a row of the network for every token of them.
const LABEL_CHARS: usize = 2000;
/// Characters of a description or definition.
const DEFINITION_CHARS: usize = 200;

/// The image of a question.
#[derive(Debug, Clone)]
pub enum Image {
    /// A file.
    File(Vec<u8>),
    /// Where there is one.
    Address(Url),
    /// Decoded already, for several questions.
    Photo(Arc<Photo>),
}

/// A question with every field checked, apart from the pixels.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The image.
    pub image: Image,
    /// The box as given.
    pub bbox: [f64; 4],
    /// What the box's numbers mean.
    pub format: BoxFormat,
    /// The headline.
    pub text: String,
    /// The entity, found in the text.
    pub entity: String,
    /// What is wanted beside the answer.
    pub wishes: Wishes,
}

/// How a question is to be answered.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// What becomes of a label that the trace's own types exclude.
    pub enforce: Enforce,
    /// Whether the answer gives every label's probability.
    pub scores: bool,
    /// A less probable label is withheld.
    pub abstain_below: Option<f64>,
    /// How the photo is called in graphs.
    pub source: Option<String>,
    /// Answers drawn at random.
    pub samples: usize,
    /// The relations to choose from.
    pub ontology: Option<Arc<Ontology>>,
    /// The answer comes in events.
    pub stream: bool,
    /// The events hold every piece of text.
    pub stream_tokens: bool,
}

impl Wishes {
    /// What the model has to know of it.
    pub fn terms(&self) -> Terms {
        Terms {
            enforce: self.enforce,
            scored: self.scores || self.abstain_below.is_some(),
            samples: self.samples,
            ontology: self.ontology.clone(),
        }
    }

    /// Checks what does not need the question.
    ///
    /// # Errors
    /// A probability that is none, tokens of no stream, relations that do not fit together.
    pub fn check(&self) -> Result<(), FieldError> {
        if let Some(least) = self.abstain_below
            && !(0.0..=1.0).contains(&least)
        {
            let reason = format!("{least} is no probability: it has to be from 0 to 1");
            return Err(FieldError::invalid("abstain_below", reason));
        }
        if let Some(source) = &self.source {
            check_source(source)?;
        }
        if self.samples > MAX_SAMPLES {
            return Err(FieldError::TooMany {
                field: "samples",
                got: self.samples,
                limit: MAX_SAMPLES,
            });
        }
        if self.stream_tokens && !self.stream {
            return Err(FieldError::invalid("stream_tokens", "needs stream as well"));
        }
        match &self.ontology {
            Some(ontology) => check_ontology(ontology),
            None => Ok(()),
        }
    }
}

fn check_source(source: &str) -> Result<(), FieldError> {
    let wrong = |reason: &str| Err(FieldError::invalid("source", reason));
    if source.chars().count() > SOURCE_CHARS {
        return wrong("an address has 2000 characters at most");
    }
    if source.contains('#') {
        return wrong("may have no fragment: the object's box becomes it");
    }
    match oxrdf::NamedNode::new(source) {
        Ok(_) => Ok(()),
        Err(error) => wrong(&format!("not an absolute IRI: {error}")),
    }
}

/// Checks sizes before meaning, so that nothing large is worked on.
fn check_ontology(ontology: &Ontology) -> Result<(), FieldError> {
    let wrong = |reason: String| Err(FieldError::invalid("ontology", reason));
    let counts = [
        ("labels", ontology.labels.len(), MAX_LABELS),
        ("types", ontology.types.len(), MAX_TYPES),
    ];
    for (what, got, limit) in counts {
        if got > limit {
            return wrong(format!("there are {got} {what}, the limit is {limit}"));
        }
    }
    let labels = ontology.labels.iter();
    let labels = labels.map(|label| (&label.name, &label.definition));
    let types = ontology.types.iter();
    let types = types.map(|kind| (&kind.name, &kind.description));
    for (name, text) in labels
        .chain(types)
        .chain([(&ontology.name, &ontology.name)])
    {
        for (what, text, limit) in [("name", name, NAME_CHARS), ("text", text, DEFINITION_CHARS)] {
            let got = text.chars().count();
            if got > limit {
                let name: String = name.chars().take(NAME_CHARS).collect();
                return wrong(format!(
                    "the {what} of {name:?} has {got} characters, the limit is {limit}"
                ));
            }
        }
    }
    let got: usize = ontology.labels.iter().map(|label| label.name.len()).sum();
    if got > LABEL_CHARS {
        return wrong(format!(
            "the labels have {got} characters together, the limit is {LABEL_CHARS}"
        ));
    }
    ontology
        .validate()
        .or_else(|error| wrong(error.to_string()))
}

/// How long texts may be, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// Of the text.
    pub text: usize,
    /// Of the entity.
    pub entity: usize,
}

/// Reads an image sent as text: its address, or strict base64 (padded, no white space), bare or in a `data:` URL.
///
/// # Errors
/// When it is none of them.
pub fn image_from_text(text: &str) -> Result<Image, FieldError> {
    let invalid = |reason: String| FieldError::invalid("image", reason);
    if text.is_empty() {
        return Err(FieldError::Empty { field: "image" });
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        if text.len() > ADDRESS_BYTES {
            return Err(invalid(format!(
                "an address has {ADDRESS_BYTES} bytes at most"
            )));
        }
        let address = Url::parse(text);
        return address
            .map(Image::Address)
            .map_err(|error| invalid(format!("not an address: {error}")));
    }
    let encoded = match text.strip_prefix("data:") {
        None => text,
        Some(rest) => {
            let (head, encoded) = rest
                .split_once(',')
                .ok_or_else(|| invalid("the data URL has no comma".to_owned()))?;
            let media = head
                .strip_suffix(";base64")
                .ok_or_else(|| invalid("the data URL has to be ;base64".to_owned()))?;
            if !media.starts_with("image/") {
                return Err(invalid(
                    "the data URL has to be of a type image/…".to_owned(),
                ));
            }
            encoded
        }
    };
    // The decoder's own words name the place and the byte at fault.
    STANDARD
        .decode(encoded)
        .map(Image::File)
        .map_err(|error| invalid(format!("not base64 (standard alphabet, padded): {error}")))
}

/// The box format behind a name on the wire.
pub fn box_format(name: BoxFormatName) -> BoxFormat {
    match name {
        BoxFormatName::Xyxy => BoxFormat::Xyxy,
        BoxFormatName::Xywh => BoxFormat::Xywh,
        BoxFormatName::Cxcywh => BoxFormat::Cxcywh,
        BoxFormatName::Percent => BoxFormat::Percent,
    }
}

/// Reads a box written as `a,b,c,d`.
///
/// # Errors
/// When it is not four finite numbers.
pub fn bbox_from_text(text: &str) -> Result<[f64; 4], FieldError> {
    let bbox =
        proto::parse_bbox(text).map_err(|error| FieldError::invalid("bbox", error.to_string()))?;
    finite(bbox)
}

fn finite(bbox: [f64; 4]) -> Result<[f64; 4], FieldError> {
    if bbox.iter().all(|number| number.is_finite()) {
        return Ok(bbox);
    }
    Err(FieldError::invalid(
        "bbox",
        "every one of the four numbers has to be finite",
    ))
}

impl Asked {
    /// Checks what does not need the pixels.
    ///
    /// # Errors
    /// When a text is empty or too long, the entity is not in the text, or a number of the box is not finite.
    pub fn check(self, limits: TextLimits) -> Result<Self, FieldError> {
        if matches!(&self.image, Image::File(file) if file.is_empty()) {
            return Err(FieldError::Empty { field: "image" });
        }
        finite(self.bbox)?;
        self.wishes.check()?;
        check_text("text", &self.text, limits.text)?;
        check_text("entity", &self.entity, limits.entity)?;
        match find_entity(&self.text, &self.entity) {
            Some(_) => Ok(self),
            None => Err(FieldError::EntityNotInText),
        }
    }
}

fn check_text(field: &'static str, text: &str, limit: usize) -> Result<(), FieldError> {
    if text.trim().is_empty() {
        return Err(FieldError::Empty { field });
    }
    let got = text.chars().count();
    if got > limit {
        return Err(FieldError::TooLong { field, got, limit });
    }
    Ok(())
}

/// Where `text` names `entity` first, in characters. Case does not count, and every run of white space is one space: names are cut
/// out of token lists, where the spaces between words were never more than a guess.
pub fn find_entity(text: &str, entity: &str) -> Option<std::ops::Range<usize>> {
    let (text, places): (Vec<char>, Vec<usize>) = comparable(text).into_iter().unzip();
    let entity: Vec<char> = comparable(entity).into_iter().map(|it| it.0).collect();
    let found = text.windows(entity.len()).position(|part| part == entity)?;
    Some(places[found]..places[found + entity.len() - 1] + 1)
}

/// Lower case, one space for every run of white space, none at the ends; each character with the place it comes from.
fn comparable(text: &str) -> Vec<(char, usize)> {
    let mut kept: Vec<(char, usize)> = vec![];
    for (place, character) in text.chars().enumerate() {
        if !character.is_whitespace() {
            kept.extend(character.to_lowercase().map(|it| (it, place)));
        } else if kept.last().is_some_and(|it| it.0 != ' ') {
            kept.push((' ', place));
        }
    }
    kept.pop_if(|it| it.0 == ' ');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, entity: &str) -> Result<Asked, FieldError> {
        let limits = TextLimits {
            text: 20,
            entity: 12,
        };
        let (text, entity) = (text.to_owned(), entity.to_owned());
        Asked {
            image: Image::File(vec![1]),
            bbox: [0.0; 4],
            format: BoxFormat::Xyxy,
            text,
            entity,
            wishes: Wishes::default(),
        }
        .check(limits)
    }

    #[test]
    fn base64_is_strict() {
        for right in ["AQI=", "data:image/png;base64,AQI="] {
            let image = image_from_text(right);
            assert!(matches!(image, Ok(Image::File(file)) if file == [1, 2]));
        }
        for wrong in [
            "",
            "AQI",
            "AQI=\n",
            "A QI=",
            "AQJ=",
            "-_8=",
            "data:image/png,AQI=",
            "data:text/plain;base64,AQI=",
            "data:image/png;base64",
            "file:///etc/passwd",
            "https://",
        ] {
            let error = image_from_text(wrong).expect_err(wrong);
            assert_eq!(error.field(), "image", "{wrong}");
        }
    }

    #[test]
    fn addresses_are_read_but_not_fetched() {
        let image = image_from_text("https://example.org/a.png");
        assert!(matches!(image, Ok(Image::Address(url)) if url.path() == "/a.png"));
        let long = format!("https://example.org/{}", "a".repeat(2000));
        assert!(image_from_text(&long).is_err());
    }

    #[test]
    fn boxes_are_four_finite_numbers() {
        assert_eq!(
            bbox_from_text("1, 2.5,-3,4e1").ok(),
            Some([1.0, 2.5, -3.0, 40.0])
        );
        for wrong in [
            "",
            "1,2,3",
            "1,2,3,4,5",
            "1,2,3,x",
            "1,2,3,NaN",
            "1,2,3,inf",
            "1,2,3,1e999",
            "1;2;3;4",
        ] {
            assert_eq!(
                bbox_from_text(wrong).expect_err(wrong).field(),
                "bbox",
                "{wrong}"
            );
        }
    }

    #[test]
    fn entities_are_found_without_regard_to_case_and_spaces() {
        assert!(asked("Italy storms  back", "Storms Back").is_ok());
        assert_eq!(
            find_entity("Italy storms  back", " Storms\nBack "),
            Some(6..18)
        );
        assert_eq!(find_entity("ÄÖ İstanbul", "istanbul"), None); // its dotted capital is two characters
        assert_eq!(find_entity("ÄÖ Rom", "äö"), Some(0..2));
        assert_eq!(find_entity("a", "abc"), None);
        assert!(matches!(
            asked("Italy storms back", "Spain"),
            Err(FieldError::EntityNotInText)
        ));
    }

    #[test]
    fn texts_have_a_length() {
        assert!(matches!(
            asked(" \n", "a"),
            Err(FieldError::Empty { field: "text" })
        ));
        assert!(matches!(
            asked("a", " "),
            Err(FieldError::Empty { field: "entity" })
        ));
        assert!(matches!(
            asked(&"ä".repeat(21), "ä"),
            Err(FieldError::TooLong {
                field: "text",
                got: 21,
                limit: 20
            })
        ));
        assert!(asked(&"ä".repeat(20), "ä").is_ok());
        assert!(matches!(
            asked(&"ä".repeat(20), &"ä".repeat(13)),
            Err(FieldError::TooLong {
                field: "entity",
                ..
            })
        ));
    }
}
