//! The network as the engine uses it: pictures, prompts, steps, and the tokens of one answer. Wall time of the calls that the service
//! makes, choosing tokens on the host included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::engine::{Limits, Picture, Settings};
use model::{Checkpoint, Engine};
use vision::{Grid, Patches};

use crate::attention::pairs;
use crate::clock::{Times, measure, synced};
use crate::jobs::{Endless, frame, ids, job, picture, plain};
use crate::line::LATE;
use crate::memory::Watch;
use crate::{Bench, Error, Line};

/// Pixels of a photo and of an object cut out of it, as in MORE.
pub const PHOTO: (u32, u32) = (640, 427);
/// As above.
pub const CROP: (u32, u32) = (150, 200);

/// Tokens of MORE's prompt.
const PROMPT: usize = 734;

/// Tokens of the answer that is compared.
const GREEDY: usize = 32;

/// Keeps it from saying one thing over and over, as random networks like to: another token at every place tells more.
const PENALTY: f32 = 1.5;

/// Bytes of keys and values that steps may keep: what does not fit is left out by name.
const CPU_BYTES: f64 = 4e9;
/// As above, on a GPU.
const GPU_BYTES: f64 = 40e9;

/// The tower over a photo, over a crop, over several photos at once.
pub fn vision(bench: &mut Bench<'_>) -> Result<(), Error> {
    const PART: &str = "vision";
    let ceilings = bench.ceilings()?;
    let checkpoint = bench.checkpoint()?;
    let (sizes, budget) = (bench.sizes(), bench.budget());
    let cases = [("photo", PHOTO, 1), ("crop", CROP, 1), ("photo", PHOTO, 8)];
    for (name, size, count) in cases {
        let seeds = 0..count as u32;
        let patches = seeds.map(|seed| picture(&checkpoint, size, seed));
        let patches = patches.collect::<Result<Vec<Patches>, _>>()?;
        let refs: Vec<&Patches> = patches.iter().collect();
        let grids: Vec<Grid> = patches.iter().map(|it| it.grid).collect();
        let merge = checkpoint.config.vision.spatial_merge_size;
        let case = format!("{name} {}×{}, {count} at once", size.0, size.1);
        let times = measure(&bench.options.device, budget.share(cases.len()), |_| {
            checkpoint.network.encode_images(&refs);
        })?;
        let work = sizes.vision(&bench.config, &grids);
        let tokens = grids[0].tokens(merge);
        let line = Line::new(PART, case, "ms")
            .millis(&times)
            .work(work, &ceilings);
        bench.emit(line.note(format!("{tokens} tokens each")))?;
    }
    Ok(())
}

/// Prompts up to their first chosen token, read as the engine reads them.
pub fn prefill(bench: &mut Bench<'_>) -> Result<(), Error> {
    const PART: &str = "prefill";
    let ceilings = bench.ceilings()?;
    let checkpoint = bench.checkpoint()?;
    let (sizes, budget) = (bench.sizes(), bench.budget());
    let counts = [1, 8];
    for count in counts {
        let case = format!("{count} × {PROMPT} tokens");
        if budget.is_over() {
            bench.emit(Line::late(PART, case))?;
            continue;
        }
        let tokens = count * PROMPT;
        let settings = settings(count, PROMPT + 1, tokens);
        let times = measure(&bench.options.device, budget.share(counts.len()), |_| {
            let one = |seed| {
                let prompt = plain(&checkpoint, &ids(seed, PROMPT));
                job(prompt, &[], 1, Endless::new(&checkpoint))
            };
            let mut engine = Engine::new(Arc::clone(&checkpoint), &settings);
            engine.run((0..count).map(one).collect());
        })?;
        let mut work = sizes.prefill(PROMPT, PROMPT);
        work.operations *= count as f64; // the weights are read once for all
        let rate = tokens as f64 / times.median();
        let line = Line::new(PART, case, "ms")
            .millis(&times)
            .work(work, &ceilings);
        bench.emit(line.note(format!("{rate:.0} tokens/s")))?;
    }
    Ok(())
}

/// Steps that give every running sequence one more token.
pub fn decode(bench: &mut Bench<'_>) -> Result<(), Error> {
    const PART: &str = "decode";
    let ceilings = bench.ceilings()?;
    let checkpoint = bench.checkpoint()?;
    let (sizes, budget) = (bench.sizes(), bench.budget());
    let (most_steps, most_bytes) = if bench.on_cpu() {
        (64, CPU_BYTES)
    } else {
        (512, GPU_BYTES) // two seconds of steps, so that `nvidia-smi` has something to count
    };
    let cases = pairs(&bench.options.contexts, &bench.options.batches);
    for &(context, batch) in &cases {
        let case = format!("batch {batch}, context {context}");
        // Those that begin first go on while others begin.
        let room = context + 2 * batch.div_ceil(16) + most_steps + 8;
        let bytes = sizes.token * (batch * room) as f64;
        let why = if budget.is_over() {
            Some(LATE.to_owned())
        } else if bytes > most_bytes {
            Some(format!("keys and values of {:.0} GB", bytes / 1e9))
        } else {
            None
        };
        if let Some(why) = why {
            bench.emit(Line::absent(PART, case, why))?;
            continue;
        }
        let mut engine = begun(&checkpoint, batch, context, room);
        synced(&bench.options.device)?;
        let watch = Watch::begin(&bench.setting.device);
        let (mut times, start) = (Times::default(), Instant::now());
        let limit = budget.share(cases.len()).max(Duration::from_millis(200));
        while times.repeats() < 3 || (times.repeats() < most_steps && start.elapsed() < limit) {
            let begin = Instant::now();
            let ended = engine.step();
            times.push(begin.elapsed());
            assert!(ended.is_empty(), "all have room for more");
        }
        let mut line = Line::new(PART, case, "ms").millis(&times);
        line.predicted = Some(sizes.step(batch, context, &ceilings) * 1e3);
        line.busy = watch.and_then(Watch::end);
        let rate = batch as f64 / times.median();
        bench.emit(line.note(format!("{rate:.0} tokens/s")))?;
    }
    Ok(())
}

/// An engine in which `batch` sequences of `context` tokens have begun to answer. They begin alike, so the prompt is read once; each
/// has keys and values of its own.
fn begun(checkpoint: &Arc<Checkpoint>, batch: usize, context: usize, room: usize) -> Engine {
    let mut engine = Engine::new(
        Arc::clone(checkpoint),
        &Settings {
            prefix_bytes: 4 << 30,
            ..settings(batch, room, 512)
        },
    );
    let prompt = plain(checkpoint, &ids(0, context));
    let submitted: Vec<_> = (0..batch)
        .map(|_| {
            let answer = Endless::new(checkpoint);
            let job = job(prompt.clone(), &[], room - context, answer);
            engine.submit(job).expect("made as large as all of them")
        })
        .collect();
    let begun = |engine: &Engine| {
        let said = |&id| engine.generated(id).map_or(0, <[u32]>::len);
        submitted.iter().all(|id| said(id) >= 3)
    };
    while !begun(&engine) {
        engine.step();
    }
    engine
}

/// An engine for `count` sequences of `length` tokens that reads `chunk` tokens of prompts a step and keeps nothing.
fn settings(count: usize, length: usize, chunk: usize) -> Settings {
    Settings {
        limits: Limits {
            sequences: count,
            cached_tokens: count * length,
            chunk: chunk.next_multiple_of(model::text::BLOCK),
        },
        prefix_bytes: 0,
        image_bytes: 0,
        lanes: 1,
    }
}

/// The greedy answer to a fixed question, with and without a photo.
pub fn greedy(bench: &mut Bench<'_>) -> Result<(), Error> {
    const PART: &str = "greedy";
    let checkpoint = bench.checkpoint()?;
    let photo = Picture::new(picture(&checkpoint, PHOTO, 0)?);
    let (before, behind) = (ids(1, 40), ids(2, 60));
    let with = [&before[..], &frame(&checkpoint), &behind].concat();
    let with = checkpoint.prompt(&with, &[photo.patches.grid])?;
    let without = plain(&checkpoint, &[before, behind].concat());
    for (case, prompt, pictures) in [
        ("text", without, vec![]),
        ("photo and text", with, vec![photo]),
    ] {
        let length = prompt.ids.len() + GREEDY;
        let mut job = job(prompt, &pictures, GREEDY, Endless::new(&checkpoint));
        job.sampling.repetition_penalty = PENALTY;
        let mut engine = Engine::new(Arc::clone(&checkpoint), &settings(1, length, 512));
        let mut ended = engine.run(vec![job]);
        let ids = ended.remove(0).expect("made as large as the job").token_ids;
        bench.emit(Line {
            ids: Some(ids),
            ..Line::new(PART, case, "ids")
        })?;
    }
    Ok(())
}
