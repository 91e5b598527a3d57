//! What a good row is, but for its image's being there: a box inside the image, a span that holds the name. Pure; changes nothing but
//! boxes that rounding pushed over the edge.

use std::path::{Component, Path};
use std::sync::LazyLock;

use vision::{BoxFormat, Processor, region};

use super::rows::{Reason, Rejection};
use crate::data::Record;

/// How far a box may leave its image, as a share of the side: tools for drawing boxes round to the pixels of a window that may show
/// the photo in a hundred of them. What is further out is a mistake.
const TOLERANCE: f64 = 0.01;

/// What six decimals leave open, as in `vision::region`: such a box is inside and stays as it is written.
const SIX_DECIMALS: f64 = 1e-6;

/// Width and height in pixels, upright.
pub(super) type Size = (u32, u32);

/// Whether the name of an image stays in its folder.
pub(super) fn image_name(name: &str) -> Result<(), Rejection> {
    let mut parts = Path::new(name).components().peekable();
    if parts.peek().is_some() && parts.all(|it| matches!(it, Component::Normal(_))) {
        return Ok(());
    }
    Err(Reason::ImageName.because(format!("{name:?} leads out of the folder of images")))
}

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
        let detail = format!("{bbox:?} leaves the image by {over:.4} of its side");
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

/// Whether the entity's span holds its name, word for word.
pub(super) fn span(record: &Record) -> Result<(), Rejection> {
    let [start, end] = record.h.pos;
    let Some(tokens) = record.token.get(start..end).filter(|it| !it.is_empty()) else {
        let detail = format!(
            "[{start}, {end}] names none of the {} tokens",
            record.token.len()
        );
        return Err(Reason::SpanOutside.because(detail));
    };
    // A name may come as one string, and a token may hold a blank: words are compared.
    let words = |it: &[String]| {
        let words = it.iter().flat_map(|token| token.split_whitespace());
        words.collect::<Vec<_>>().join(" ")
    };
    let (found, name) = (words(tokens), words(&record.h.name));
    if found == name {
        return Ok(());
    }
    Err(Reason::SpanMismatch.because(format!("[{start}, {end}] holds {found:?}, not {name:?}")))
}
