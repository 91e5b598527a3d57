//! From a finished job to the response: names, sizes and times put together. Decides nothing.

use std::time::{Duration, Instant};

use proto::{
    CropReport, EntityReport, ExtractResponse, FinishReason, ImageReport, LabelCount, LabelScore,
    ModelReport, NONE, Relation, SamplesReport, Timings, TraceReport, Usage,
};
use vision::{Grid, Region};

use crate::engine::Extract;
use crate::fields::find_entity;
use crate::prepare::Pixels;
use model::Answer;

/// What the response says about a question, kept while the engine has them.
#[derive(Debug)]
pub struct Seen {
    size: (u32, u32),
    format: &'static str,
    id: String,
    text: String,
    entity: String,
    region: Region,
    start: Instant,
    preparing: Duration,
}

impl Seen {
    /// Notes sizes, and the time since `start` that went into `preparing`.
    pub fn of(pixels: &Pixels, start: Instant, preparing: Duration) -> Self {
        Self {
            size: pixels.photo.scene.pixels.dimensions(),
            format: pixels.photo.format,
            id: pixels.source.clone().unwrap_or_else(|| {
                let hash = pixels.photo.hash.to_hex();
                format!("urn:blake3:{hash}")
            }),
            text: pixels.text.clone(),
            entity: pixels.entity.clone(),
            region: pixels.region,
            start,
            preparing,
        }
    }

    /// The text that was asked about.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The response to one question; with the `scores` of all labels, and without a label less probable than `abstain_below`.
pub fn answer(
    model: &dyn Extract,
    seen: &Seen,
    answer: &Answer,
    scores: bool,
    abstain_below: Option<f64>,
) -> ExtractResponse {
    let (usage, times) = (answer.usage, answer.timings.engine);
    let info = model.info();
    let ontology = answer.script.ontology();
    let ranked = ranked(answer);
    let abstained = abstain_below.map(|least| {
        let said = ranked.iter().find(|it| it.label == answer.trace.label);
        said.is_some_and(|said| said.probability < least)
    });
    let mut said = answer.trace.clone();
    if abstained == Some(true) {
        NONE.clone_into(&mut said.label);
    }
    let merge = model.processor().merge_size as usize;
    let tokens = |grid: &Grid| grid.t * grid.h * grid.w / (merge * merge);
    let grid = |grid: &Grid| [grid.t, grid.h, grid.w];
    let pixels = seen.region.pixels;
    ExtractResponse {
        relation: Relation::new(ontology, &said),
        trace: TraceReport::new(ontology, &answer.trace, &answer.raw),
        entity: entity(seen),
        image: ImageReport {
            id: seen.id.clone(),
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
            ontology_hash: answer.script.hash().to_owned(),
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
        scores: scores.then_some(ranked),
        abstained,
        samples: sampled(answer),
    }
}

fn entity(seen: &Seen) -> EntityReport {
    let place = find_entity(&seen.text, &seen.entity).expect("checked on arrival");
    EntityReport {
        name: seen.entity.clone(),
        start: place.start,
        end: place.end,
    }
}

/// How far the answers drawn at random agree with the best; nothing if there are none.
fn sampled(answer: &Answer) -> Option<SamplesReport> {
    let drawn = answer.samples.len();
    let count = |label: &str| answer.samples.iter().filter(|it| *it == label).count();
    let names = answer.script.ontology().labels.iter();
    let counts = names.map(|label| LabelCount {
        count: count(&label.name),
        label: label.name.clone(),
    });
    let mut labels: Vec<LabelCount> = counts.filter(|it| it.count > 0).collect();
    labels.sort_by_key(|it| std::cmp::Reverse(it.count)); // of equals the ontology's first
    (drawn > 0).then(|| SamplesReport {
        drawn,
        agreement: count(&answer.trace.label) as f64 / drawn as f64,
        labels,
    })
}

/// Every label with its probability, the most probable first; nothing if they were not asked for.
fn ranked(answer: &Answer) -> Vec<LabelScore> {
    let probabilities = answer.scores.iter().flatten();
    let labels = answer.script.ontology().labels.iter().zip(probabilities);
    let mut ranked: Vec<LabelScore> = labels
        .map(|(label, &probability)| LabelScore {
            label: label.name.clone(),
            probability,
        })
        .collect();
    ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    ranked
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are exact enough, and short to print.
    duration.as_micros() as f64 / 1000.0
}
