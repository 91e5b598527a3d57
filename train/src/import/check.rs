//! What a good row is, but for its image's being there: a box inside the image, a span that holds the name, a text of the row's tokens.
//! Pure; changes nothing but boxes that rounding pushed over the edge.

use std::sync::LazyLock;

use vision::{BoxFormat, Processor, region};

use super::rows::{Reason, Rejection};
use crate::data::{Head, Record};
use crate::scratch;

/// How far a box may leave its image, as a share of the side: tools for drawing boxes round to the pixels of a window that may show
/// the photo in a hundred of them. What is further out is a mistake.
const TOLERANCE: f64 = 0.01;

/// What six decimals leave open, as in `vision::region`: such a box is inside and stays as it is written.
const SIX_DECIMALS: f64 = 1e-6;

/// The special tokens of Qwen2.5 beside those that our own checkpoints have: a model refuses texts that hold one.
const MORE_SPECIAL: [&str; 6] = [
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
];

/// Width and height in pixels, upright.
pub(super) type Size = (u32, u32);

/// The box of a record cut to its image, if it has to be.
pub(super) fn cut(bbox: [f64; 4]) -> Result<Option<[f64; 4]>, Rejection> {
    let [x, y, width, height] = bbox;
    if width <= 0.0 || height <= 0.0 {
        return Err(Reason::BoxEmpty.because(format!("{bbox:?} has no extent")));
    }
    let (low, high) = (
        [x - width / 2.0, y - height / 2.0],
        [x + width / 2.0, y + height / 2.0],
    );
    let over = low
        .map(|it| -it)
        .into_iter()
        .chain(high.map(|it| it - 1.0))
        .fold(0.0, f64::max);
    if over > TOLERANCE {
        // Nobody reads three hundred digits.
        let over = match over {
            ..1e6 => format!("{over:.4}"),
            _ => format!("{over:.4e}"),
        };
        let detail = format!("{bbox:?} leaves the image by {over} of its side");
        return Err(Reason::BoxOutside.because(detail));
    }
    if over <= SIX_DECIMALS {
        return Ok(None);
    }
    let [left, top] = low.map(|it| it.clamp(0.0, 1.0));
    let [right, bottom] = high.map(|it| it.clamp(0.0, 1.0));
    if right <= left || bottom <= top {
        return Err(Reason::BoxEmpty.because(format!("{bbox:?} has no extent inside the image")));
    }
    Ok(Some([
        f64::midpoint(left, right),
        f64::midpoint(top, bottom),
        right - left,
        bottom - top,
    ]))
}

/// Whether image and object are wide enough for the processor of every Qwen2.5-VL.
pub(super) fn wide_enough(bbox: [f64; 4], (width, height): Size) -> Result<(), Rejection> {
    static PROCESSOR: LazyLock<Processor> = LazyLock::new(|| {
        let published = serde_json::json!({"min_pixels": 3136, "max_pixels": 12_845_056});
        Processor::from_json(&published).expect("these are the published numbers")
    });
    let pixels = region(bbox, BoxFormat::Cxcywh, width, height)
        .map_err(|error| Reason::BoxEmpty.because(error.to_string()))?
        .pixels;
    for (what, width, height) in [
        ("photo", width, height),
        ("object", pixels.width(), pixels.height()),
    ] {
        if let Err(error) = PROCESSOR.smart_resize(width, height) {
            return Err(Reason::TooNarrow.because(format!("{what}: {error}")));
        }
    }
    Ok(())
}

/// Whether the span of an entity holds its name, word for word, among these tokens.
pub(super) fn span(token: &[String], entity: &Head) -> Result<(), Rejection> {
    let [start, end] = entity.pos;
    let Some(tokens) = token.get(start..end).filter(|it| !it.is_empty()) else {
        let detail = format!("[{start}, {end}] names none of the {} tokens", token.len());
        return Err(Reason::SpanOutside.because(detail));
    };
    // A name may come as one string, and a token may hold a blank: words are compared.
    let words = |it: &[String]| {
        let words = it.iter().flat_map(|token| token.split_whitespace());
        words.collect::<Vec<_>>().join(" ")
    };
    let (found, name) = (words(tokens), words(&entity.name));
    if found != name {
        let detail = format!("[{start}, {end}] holds {found:?}, not {name:?}");
        return Err(Reason::SpanMismatch.because(detail));
    }
    if name.is_empty() {
        return Err(Reason::EntityEmpty.because(format!("[{start}, {end}] holds no word")));
    }
    Ok(())
}

/// Whether the text holds the entity, blanks and capitals aside, and no model refuses it. Its other words may be written otherwise than the tokens are.
pub(super) fn text(record: &Record) -> Result<(), Rejection> {
    let special = || scratch::SPECIAL.iter().chain(&MORE_SPECIAL);
    let entity = record.entity();
    for text in [&record.text, &entity].into_iter().chain(&record.token) {
        if let Some(token) = special().find(|token| text.contains(**token)) {
            return Err(Reason::ControlToken.because(format!("{text:?} holds {token}")));
        }
    }
    let letters = |it: &str| it.split_whitespace().collect::<String>().to_lowercase();
    if letters(&record.text).contains(&letters(&entity)) {
        return Ok(());
    }
    let detail = format!("{:?} does not hold {entity:?}", record.text);
    Err(Reason::TextMismatch.because(detail))
}
