//! Whole answers on a workload like MORE's test set: 3,036 requests, 5.7 of them about a photo and 1.5 about an object of it, photos of
//! 640 × 427, prompts of 354 tokens of text beside the pictures', answers of 330 tokens. From patches to the last token; cutting
//! patches is a processor's work beside the network's, and is left out.
//!
//! Order of a prompt: constant words, photo, title, crop, entity (ADR 4). How the 354 tokens divide is our guess: 300 constant, 30 a
//! title, 20 behind the crop, 4 around the pictures. No token is forced, so an answer is 330 steps; six headings would save 38.

use std::sync::Arc;
use std::time::Instant;

use model::Checkpoint;
use model::engine::{Job, Limits, Picture, Settings};
use model::lanes::Lanes;
use vision::{Grid, Patches};

use crate::clock::synced;
use crate::jobs::{Endless, frame, ids, job, picture};
use crate::network::{CROP, PHOTO};
use crate::roofline::{Ceilings, Sizes};
use crate::{Bench, Error, Line};

const PART: &str = "samples";

/// Requests about one photo, and about one object.
const PER_PHOTO: f64 = 5.7;
/// As above.
const PER_OBJECT: f64 = 1.5;

const CONSTANT: usize = 300;
const TITLE: usize = 30;
const ENTITY: usize = 20;
const ANSWER: usize = 330;

/// Bytes for beginnings and pictures that may come again.
const REUSE: (usize, usize) = (4 << 30, 1 << 30);

/// With reuse and without.
pub fn run(bench: &mut Bench<'_>) -> Result<(), Error> {
    let ceilings = bench.ceilings()?;
    let checkpoint = bench.checkpoint()?;
    let workload = Workload::new(&checkpoint)?;
    let half = bench.options.budget / 2;
    for (case, kept) in [("without reuse", (0, 0)), ("with reuse", REUSE)] {
        let lanes = bench.lanes(&checkpoint, workload.length(), kept);
        let at_once = bench.options.sequences.min(bench.options.requests);
        // What a few cost says how many the time allows.
        let one = workload.estimate(bench, &lanes, at_once)?;
        let affordable = (half.as_secs_f64() / one) as usize;
        if affordable == 0 {
            let why = format!("an answer takes about {one:.0} s");
            bench.emit(Line::absent(PART, case, why))?;
            continue;
        }
        let count = affordable.clamp(1, bench.options.requests);
        let jobs = workload.jobs(count, ANSWER);
        let lanes = bench.lanes(&checkpoint, workload.length(), kept);
        let start = Instant::now();
        let ended = lanes.run(jobs);
        synced(&bench.options.device)?;
        let seconds = start.elapsed().as_secs_f64();
        let said = ended.iter().flatten().map(|it| it.token_ids.len());
        assert!(said.eq(std::iter::repeat_n(ANSWER, count)), "all are whole");
        let prompts: usize = ended.iter().flatten().map(|it| it.prompt_tokens).sum();
        let reused: usize = ended.iter().flatten().map(|it| it.reused).sum();
        let mut line = Line::new(PART, case, "samples/s").once(count as f64 / seconds);
        let shared = reused as f64 / prompts as f64;
        let seconds = workload.least(&bench.sizes(), &ceilings, at_once.min(count), kept.0 > 0);
        line.predicted = Some(1.0 / seconds);
        bench.emit(line.note(format!(
            "{count} requests, {at_once} at once, {} lanes, {:.0} % of prompts reused",
            lanes.count(),
            shared * 100.0
        )))?;
    }
    Ok(())
}

impl Bench<'_> {
    /// The engines of the service, with room for the workload.
    fn lanes(
        &self,
        checkpoint: &Arc<Checkpoint>,
        longest: usize,
        (prefix_bytes, image_bytes): (usize, usize),
    ) -> Lanes {
        let sequences = self.options.sequences;
        let settings = Settings {
            limits: Limits {
                sequences,
                cached_tokens: sequences * longest,
                ..Limits::default()
            },
            prefix_bytes,
            image_bytes,
            ..Settings::on(&self.options.device)
        };
        Lanes::new(Arc::clone(checkpoint), settings, longest)
    }
}

/// Requests by their number.
struct Workload<'a> {
    checkpoint: &'a Arc<Checkpoint>,
    photo: Patches,
    crop: Patches,
}

impl<'a> Workload<'a> {
    fn new(checkpoint: &'a Arc<Checkpoint>) -> Result<Self, Error> {
        Ok(Self {
            photo: picture(checkpoint, PHOTO, 0)?,
            crop: picture(checkpoint, CROP, 0)?,
            checkpoint,
        })
    }

    /// Tokens of a request and its answer.
    fn length(&self) -> usize {
        let merge = self.checkpoint.config.vision.spatial_merge_size;
        let tokens = |patches: &Patches| patches.grid.tokens(merge);
        CONSTANT + TITLE + ENTITY + 4 + tokens(&self.photo) + tokens(&self.crop) + ANSWER
    }

    /// The first `count` requests, with answers of `answer` tokens.
    fn jobs(&self, count: usize, answer: usize) -> Vec<Job> {
        let mut seen = [(usize::MAX, None), (usize::MAX, None)];
        (0..count)
            .map(|number| {
                let (photo, object) = shown(number);
                let shown = [(&self.photo, photo), (&self.crop, object)];
                let mut pictures = vec![];
                for (seen, (patches, number)) in seen.iter_mut().zip(shown) {
                    if seen.0 != number {
                        *seen = (number, Some(varied(patches, number)));
                    }
                    pictures.extend(seen.1.clone());
                }
                self.job(number, &pictures, answer)
            })
            .collect()
    }

    fn job(&self, number: usize, pictures: &[Picture], answer: usize) -> Job {
        let frame = frame(self.checkpoint);
        let ids = [
            &ids(0, CONSTANT)[..],
            &frame,
            &ids(1000 + shown(number).0, TITLE),
            &frame,
            &ids(100_000 + number, ENTITY),
        ]
        .concat();
        let grids: Vec<Grid> = pictures.iter().map(|it| it.patches.grid).collect();
        let prompt = self.checkpoint.prompt(&ids, &grids);
        let prompt = prompt.expect("a place for either picture");
        job(prompt, pictures, answer, Endless::new(self.checkpoint))
    }

    /// About how many seconds a request takes where `count` run at once: the prompts of so many, and some of their steps.
    fn estimate(&self, bench: &Bench<'_>, lanes: &Lanes, count: usize) -> Result<f64, Error> {
        let timed = |answer: usize| -> Result<f64, Error> {
            let jobs = self.jobs(count, answer);
            let start = Instant::now();
            lanes.run(jobs);
            synced(&bench.options.device)?;
            Ok(start.elapsed().as_secs_f64())
        };
        timed(2)?; // warms up
        let prompts = timed(1)?;
        let step = (timed(9)? - prompts).max(0.0) / 8.0;
        Ok((prompts + step * (ANSWER - 1) as f64) / count as f64)
    }

    /// The least seconds a request can take where `batch` answer at once: pictures, prompt, and its share of the steps.
    fn least(&self, sizes: &Sizes, ceilings: &Ceilings, batch: usize, reuse: bool) -> f64 {
        let config = &self.checkpoint.config;
        let prompt = self.length() - ANSWER;
        let merge = config.vision.spatial_merge_size;
        // Up to the crop everything is the photo's; without reuse nothing is anybody's.
        let shared = CONSTANT + TITLE + 4 + self.photo.grid.tokens(merge);
        let (per_photo, per_object) = if reuse {
            (PER_PHOTO, PER_OBJECT)
        } else {
            (1.0, 1.0)
        };
        let seen = |grid: Grid, of: f64| sizes.vision(config, &[grid]).operations / of;
        let once = sizes.prefill(shared, shared).operations;
        let own = sizes.prefill(prompt - shared, prompt).operations;
        let operations = seen(self.photo.grid, per_photo)
            + seen(self.crop.grid, per_object)
            + once / per_photo
            + own;
        let step = sizes.step(batch, prompt + ANSWER / 2, ceilings);
        operations / ceilings.operations + ANSWER as f64 * step / batch as f64
    }
}

/// The photo and the object of request `number`.
fn shown(number: usize) -> (usize, usize) {
    let photo = (number as f64 / PER_PHOTO) as usize;
    let first = (photo as f64 * PER_PHOTO).ceil() as usize;
    let object = (number.saturating_sub(first) as f64 / PER_OBJECT) as usize;
    (photo, photo * 8 + object)
}

/// Another picture of the same size.
fn varied(patches: &Patches, number: usize) -> Picture {
    let mut patches = patches.clone();
    let turn = number * 7919 % patches.pixels.len();
    patches.pixels.rotate_left(turn);
    Picture::new(patches)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use burn::tensor::{DType, Device};

    use super::*;
    use crate::gate::SMALL;

    #[test]
    fn requests_share_what_those_of_the_data_set_share() {
        let checkpoint = SMALL[0].checkpoint(&crate::gate::mini(), 1, DType::F32, &Device::flex());
        let checkpoint = Arc::new(checkpoint.expect("ours"));
        let workload = Workload::new(&checkpoint).expect("sizes that fit");
        let (mut photos, mut objects) = (HashMap::new(), HashMap::new());
        for job in workload.jobs(570, 1) {
            assert_eq!(job.prompt.ids.len() + ANSWER, workload.length());
            *photos.entry(job.pictures[0].key).or_insert(0) += 1;
            *objects.entry(job.pictures[1].key).or_insert(0) += 1;
        }
        assert_eq!(photos.len(), 100);
        assert!((350..=400).contains(&objects.len()), "{}", objects.len());
        assert!(photos.values().all(|&count| count == 5 || count == 6));
    }
}
