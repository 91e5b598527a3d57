//! From a finished job to the response: names, sizes and times put together. Decides nothing.

use std::time::{Duration, Instant};

use proto::{
    CropReport, ExtractResponse, FinishReason, ImageReport, ModelReport, Relation, Timings,
    TraceReport, Usage,
};
use vision::{Grid, Region};

use crate::engine::Extract;
use crate::prepare::Pixels;
use model::Answer;

/// What the response says about a question's pixels, kept while the engine has them.
#[derive(Debug)]
pub struct Seen {
    size: (u32, u32),
    format: &'static str,
    region: Region,
    start: Instant,
    preparing: Duration,
}

impl Seen {
    /// Notes sizes, and the time since `start` that went into `preparing`.
    pub fn of(pixels: &Pixels, start: Instant, preparing: Duration) -> Self {
        Self {
            size: pixels.photo.pixels.dimensions(),
            format: pixels.photo.format,
            region: pixels.region,
            start,
            preparing,
        }
    }
}

/// The response to one question.
pub fn answer(model: &dyn Extract, seen: &Seen, answer: &Answer) -> ExtractResponse {
    let (usage, times) = (answer.usage, answer.timings.engine);
    let info = model.info();
    let ontology = model.ontology();
    let merge = model.processor().merge_size as usize;
    let tokens = |grid: &Grid| grid.t * grid.h * grid.w / (merge * merge);
    let grid = |grid: &Grid| [grid.t, grid.h, grid.w];
    let pixels = seen.region.pixels;
    ExtractResponse {
        relation: Relation::new(ontology, &answer.trace),
        trace: TraceReport::new(ontology, &answer.trace, &answer.raw),
        image: ImageReport {
            width: seen.size.0,
            height: seen.size.1,
            format: seen.format.to_owned(),
            grid: grid(&answer.image_grid),
            tokens: tokens(&answer.image_grid),
        },
        crop: CropReport {
            r#box: [pixels.x0, pixels.y0, pixels.x1, pixels.y1],
            clipped: seen.region.clipped,
            width: pixels.width(),
            height: pixels.height(),
            grid: grid(&answer.crop_grid),
            tokens: tokens(&answer.crop_grid),
        },
        model: ModelReport {
            id: info.id.clone(),
            hash: info.hash.clone(),
            dtype: info.dtype.clone(),
            template: info.template,
            ontology: ontology.name.clone(),
        },
        usage: Usage {
            prompt_tokens: usage.prompt_tokens,
            image_tokens: usage.image_tokens,
            completion_tokens: usage.completion_tokens,
            forced_tokens: usage.forced_tokens,
            cached_tokens: usage.cached_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        },
        timings_ms: Timings {
            queue: millis(times.queue),
            preprocess: millis(seen.preparing + answer.timings.preprocess),
            vision: millis(times.vision),
            prefill: millis(times.prefill),
            decode: millis(times.decode),
            total: millis(seen.start.elapsed()),
        },
        finish_reason: match answer.finish_reason {
            model::FinishReason::Stop => FinishReason::Stop,
            model::FinishReason::Length => FinishReason::Length,
        },
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are exact enough, and short to print.
    duration.as_micros() as f64 / 1000.0
}
