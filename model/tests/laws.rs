//! Laws of the engine, on the golden checkpoints: what is cached, batched or fed in pieces must not change an answer.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use model::checkpoint::{Checkpoint, Prompt};
use model::engine::{Caches, Choices, Job, Limits, Picture, Settings};
use model::generate::{Completion, Guide, Next};
use model::template::{ContentPart, Message};
use model::text::Cache;
use model::{Engine, Files, Format, Quantization, Sampling, Span};
use vision::{Patches, decode};

/// Sums in another order, f32: 2e-5 seen on logits that spread by 4.
const TOLERANCE: f32 = 2e-4;

fn open(variant: &str) -> Arc<Checkpoint> {
    open_as(variant, None)
}

fn open_as(variant: &str, quantization: Option<Quantization>) -> Arc<Checkpoint> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(variant);
    let format = Format {
        dtype: DType::F32,
        quantization,
    };
    let checkpoint = Checkpoint::open(&Files::Dir(dir), format, &Device::flex());
    Arc::new(checkpoint.expect("the golden checkpoint opens"))
}

fn image(checkpoint: &Checkpoint, name: &str) -> Patches {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/images")
        .join(format!("{name}.png"));
    let bytes = std::fs::read(path).expect("the golden image is there");
    let photo = decode(&bytes, &vision::Limits::default()).expect("the golden image decodes");
    checkpoint
        .processor
        .patches(&photo.pixels)
        .expect("the golden image is large enough")
}

/// A prompt of `images` and `text`, with its image tokens.
fn prompt(checkpoint: &Checkpoint, images: &[Patches], text: &str) -> (Prompt, Option<Tensor<2>>) {
    let mut parts: Vec<ContentPart> = images.iter().map(|_| ContentPart::Image).collect();
    parts.push(ContentPart::Text { text: text.into() });
    let ids = checkpoint
        .tokenizer
        .chat(&[Message::user(parts)], "messages")
        .expect("a plain conversation");
    let prompt = checkpoint
        .prompt(&ids, &Checkpoint::grids(images))
        .expect("a place for every image");
    let all: Vec<&Patches> = images.iter().collect();
    (
        prompt,
        (!all.is_empty()).then(|| checkpoint.network.encode_images(&all)),
    )
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// Logits of every position, computed at once without a cache.
fn logits_at_once(checkpoint: &Checkpoint, prompt: &Prompt, rows: Option<Tensor<2>>) -> Vec<f32> {
    let span = Span {
        ids: &prompt.ids,
        axes: &prompt.positions.axes,
        held: 0,
    };
    let hidden = checkpoint.network.hidden(&[span], rows, &mut []);
    checkpoint
        .network
        .logits(hidden)
        .into_data()
        .try_into_vec()
        .expect("f32")
}

/// Any token, `limit` times; for comparing runs only.
struct Anything;

impl Guide for Anything {
    fn opening(&mut self) -> Vec<u32> {
        vec![]
    }
    fn allows(&self, _id: u32) -> bool {
        true
    }
    fn accept(&mut self, _id: u32) -> Next {
        Next::Continue(vec![])
    }
}

/// Answers with a fixed text, all of it forced.
struct Recited(Vec<u32>);

impl Guide for Recited {
    fn opening(&mut self) -> Vec<u32> {
        self.0.clone()
    }
    fn allows(&self, _id: u32) -> bool {
        true
    }
    fn accept(&mut self, _id: u32) -> Next {
        Next::Finished(vec![])
    }
}

/// A job, and the images behind its placeholders.
fn job(
    checkpoint: &Checkpoint,
    images: &[Patches],
    text: &str,
    limit: usize,
    guide: impl Guide + Send + 'static,
) -> Job {
    Job {
        prompt: prompt(checkpoint, images, text).0,
        pictures: images.iter().cloned().map(Picture::new).collect(),
        sampling: Sampling::default(),
        max_new_tokens: limit,
        top_logprobs: 0,
        scored: None,
        guide: Box::new(guide),
    }
}

/// Runs `jobs` together on an engine without a past.
fn run(checkpoint: &Arc<Checkpoint>, jobs: Vec<Job>) -> Vec<Completion> {
    let mut engine = Engine::new(Arc::clone(checkpoint), &Settings::default());
    let completions = engine.run(jobs);
    completions
        .into_iter()
        .map(|it| it.expect("short jobs"))
        .collect()
}

#[test]
fn with_cache_equals_without() {
    for variant in ["a", "b"] {
        let checkpoint = open(variant);
        let (prompt, rows) = prompt(
            &checkpoint,
            &[image(&checkpoint, "tall")],
            "What is the relation of these two?",
        );
        let want = logits_at_once(&checkpoint, &prompt, rows.clone());
        let mut cache = checkpoint.network.cache(prompt.ids.len());
        let mut got: Vec<f32> = Vec::new();
        // The image with what stands before it, then pieces of growing length, one token among them.
        let last_image = prompt
            .ids
            .iter()
            .rposition(|&id| id == checkpoint.config.image_token_id)
            .expect("an image");
        let (mut start, mut rows) = (0, rows);
        for end in [
            last_image + 1,
            last_image + 2,
            last_image + 5,
            prompt.ids.len(),
        ] {
            let span = Span {
                ids: &prompt.ids[start..end],
                axes: &prompt.positions.axes[start..end],
                held: start,
            };
            let caches: &mut [&mut Cache] = &mut [&mut cache];
            let hidden = checkpoint.network.hidden(&[span], rows.take(), caches);
            got.extend(
                checkpoint
                    .network
                    .logits(hidden)
                    .into_data()
                    .try_into_vec::<f32>()
                    .expect("f32"),
            );
            start = end;
        }
        assert_eq!(cache.len(), prompt.ids.len());
        let off = furthest(&got, &want);
        assert!(off < TOLERANCE, "{variant}: logits differ by {off}");
    }
}

/// Some jobs of every kind: no image, one, two; beginnings in common and not.
fn jobs(checkpoint: &Checkpoint) -> Vec<Job> {
    let get = |name: &str| image(checkpoint, name);
    let long = "A photo and a rather longer question about what can be seen in it, so long that it fills more than one block \
                of tokens whichever tokenizer cuts it, and ends differently each time: ";
    let job =
        |images: &[Patches], text: &str, limit| job(checkpoint, images, text, limit, Anything);
    vec![
        job(&[], "Short.", 20),
        job(&[get("tall")], &format!("{long}first"), 7),
        job(&[get("wide"), get("small")], "Two photos.", 12),
        job(&[get("tall")], &format!("{long}second"), 9),
        job(&[get("wide"), get("tall")], "Two photos.", 5),
        job(&[get("tall")], &format!("{long}first"), 7),
    ]
}

fn assert_identical(name: &str, got: &Completion, want: &Completion) {
    let bits = |it: &Completion| -> Vec<u32> { it.logprobs.iter().map(|p| p.to_bits()).collect() };
    assert_eq!(got.token_ids, want.token_ids, "{name}");
    assert_eq!(
        bits(got),
        bits(want),
        "{name}: log-probabilities, bit for bit"
    );
}

/// vllm#9567, #27059: greedy output depends on the batch. Not here, not in one bit: alone, together, fed in large and small pieces,
/// with everything cached and nothing, with one engine and several over the same caches.
#[test]
fn the_same_question_gets_the_same_bits_whoever_else_is_there() {
    for (variant, quantization) in [
        ("a", None),
        ("b", None),
        ("a", Some(Quantization::Int8)),
        ("a", Some(Quantization::Int4)),
    ] {
        let checkpoint = open_as(variant, quantization);
        let count = jobs(&checkpoint).len();
        let without = Settings {
            prefix_bytes: 0,
            image_bytes: 0,
            ..Settings::default()
        };
        let alone: Vec<Completion> = (0..count)
            .map(|index| {
                let job = jobs(&checkpoint).swap_remove(index);
                let mut engine = Engine::new(Arc::clone(&checkpoint), &without);
                engine.run(vec![job]).remove(0).expect("a short job")
            })
            .collect();
        let limits = |sequences, chunk| Limits {
            sequences,
            chunk,
            ..Limits::default()
        };
        for (limits, lanes) in [
            (limits(16, 512), 1),
            (limits(16, 512), 2),
            (limits(16, 32), 3),
            (limits(2, 64), 5),
            (limits(1, 32), 2),
        ] {
            let caches = Caches::new(&Settings::default());
            let lane = || Engine::over(Arc::clone(&checkpoint), limits, caches.clone());
            let mut engines: Vec<Engine> = (0..lanes).map(|_| lane()).collect();
            for round in ["cold", "warm"] {
                let together = side_by_side(&mut engines, || jobs(&checkpoint));
                for (index, completion) in together {
                    let name = format!("{variant} {limits:?} {lanes} {round} sequence {index}");
                    assert_identical(&name, &completion, &alone[index]);
                }
            }
            let mut images = 0; // one that comes late finds every image in a beginning
            for stats in engines.iter().map(Engine::stats) {
                assert!(stats.reused_tokens > 0, "{stats:?}");
                assert_eq!((stats.running, stats.reserved_tokens), (0, 0));
                images += stats.reused_images;
            }
            assert!(images > 0);
        }
    }
}

/// What every engine makes of the jobs at the same time, with their numbers.
fn side_by_side(
    engines: &mut [Engine],
    jobs: impl Fn() -> Vec<Job> + Sync,
) -> Vec<(usize, Completion)> {
    let jobs = &jobs;
    std::thread::scope(|scope| {
        let lanes = engines
            .iter_mut()
            .map(|engine| scope.spawn(move || engine.run(jobs())));
        let lanes: Vec<_> = lanes.collect();
        let completions = lanes.into_iter().flat_map(|lane| {
            let completions = lane.join().expect("no panic").into_iter();
            completions.map(|it| it.expect("a short job")).enumerate()
        });
        completions.collect()
    })
}

/// Keys and values in one pool and attention of all answers in one operation, as on GPUs, give what sequence by sequence gives; and there
/// too a question gets the same bits whoever else is there.
#[test]
fn in_a_pool_as_by_itself() {
    for variant in ["a", "b"] {
        let checkpoint = open(variant);
        let by_itself = run(&checkpoint, jobs(&checkpoint));
        let limits = |sequences, chunk| Limits {
            sequences,
            chunk,
            cached_tokens: 1024,
        };
        let mut first: Option<Vec<Completion>> = None;
        for limits in [
            limits(16, 512),
            limits(1, 512),
            limits(3, 64),
            limits(16, 32),
        ] {
            let settings = Settings {
                limits,
                ..Settings::default()
            };
            let mut engine = Engine::new(Arc::clone(&checkpoint), &settings).pooled();
            for round in ["cold", "warm"] {
                let name = format!("{variant} {limits:?} {round}");
                let completions = engine.run(jobs(&checkpoint)).into_iter();
                let completions: Vec<_> = completions.map(|it| it.expect("short jobs")).collect();
                for (got, want) in completions.iter().zip(&by_itself) {
                    assert_eq!(got.token_ids, want.token_ids, "{name}");
                    let off = furthest(&got.logprobs, &want.logprobs);
                    assert!(off < 1e-5, "{name}: log-probabilities differ by {off}");
                }
                let first = first.get_or_insert_with(|| completions.clone());
                for (got, want) in completions.iter().zip(first) {
                    assert_identical(&name, got, want);
                }
            }
            assert!(engine.stats().reused_tokens > 0);
        }
    }
}

/// Room that is there, but in pieces: who needs it in one waits, nobody who came later takes it, and everybody ends.
#[test]
fn a_pool_in_pieces_makes_a_sequence_wait() {
    let checkpoint = open("a");
    let ask = |limit| job(&checkpoint, &[], "Short.", limit, Anything);
    let prompt = ask(1).prompt.ids.len();
    let limits = Limits {
        cached_tokens: 3 * prompt + 73, // 5, 60 and 5, and not enough more for 9 in one run
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        prefix_bytes: 0,
        ..Settings::default()
    };
    let mut engine = Engine::new(Arc::clone(&checkpoint), &settings).pooled();
    // Before and behind the long one there comes to be room, for a larger one only if taken together.
    let mut ids = [5, 60, 5]
        .map(|limit| engine.submit(ask(limit)).expect("short"))
        .to_vec();
    let larger = engine.submit(ask(9)).expect("short");
    let small = engine.submit(ask(4)).expect("short");
    ids.extend([larger, small]);
    let (mut ended, mut waited) = (vec![], 0);
    while !engine.is_idle() {
        ended.extend(engine.step());
        let written = |id| engine.generated(id).map_or(0, <[u32]>::len);
        if engine.stats().running == 3 && written(larger) == 0 {
            waited += 1;
            assert_eq!(written(small), 0, "overtaken");
        }
    }
    assert!(waited > 40, "the larger one waits for the long one");
    ended.sort_by_key(|(id, _)| *id);
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    let alone = run(&checkpoint, vec![ask(60)]);
    for (_, completion) in ended {
        let count = completion.token_ids.len();
        assert_eq!(completion.token_ids, alone[0].token_ids[..count]);
    }
}

/// LMCache#3301, vllm PR#17378: an earlier request's image leaks through a cache.
#[test]
fn a_warm_cache_never_shows_another_request_s_image() {
    let checkpoint = open("a");
    let ask = |engine: &mut Engine, name: &str| {
        let job = job(
            &checkpoint,
            &[image(&checkpoint, name)],
            "What is this?",
            8,
            Anything,
        );
        engine.run(vec![job]).remove(0).expect("a short job")
    };
    // Of the same size, so that the token ids of the prompts are the same.
    let mut other = image(&checkpoint, "tall");
    for value in &mut other.pixels {
        *value = -*value;
    }
    let mut engine = Engine::new(Arc::clone(&checkpoint), &Settings::default());
    let tall = ask(&mut engine, "tall");
    let inverted = job(&checkpoint, &[other], "What is this?", 8, Anything);
    let inverted = engine.run(vec![inverted]).remove(0).expect("a short job");
    assert_ne!(inverted.logprobs, tall.logprobs);
    assert_identical("asked again", &ask(&mut engine, "tall"), &tall);
}

/// vllm#54947: work goes on after the client left.
#[test]
fn a_cancelled_sequence_is_gone_before_the_next_step() {
    let checkpoint = open("a");
    let mut engine = Engine::new(Arc::clone(&checkpoint), &Settings::default());
    let tall = || [image(&checkpoint, "tall")];
    let long = |text: &str| job(&checkpoint, &tall(), text, 200, Anything);
    let first = engine.submit(long("The same question.")).expect("short");
    let second = engine.submit(long("The same question.")).expect("short");
    let third = engine.submit(job(&checkpoint, &tall(), "The same question.", 3, Anything));
    let third = third.expect("short");
    engine.step(); // the others wait for what the first computes
    engine.cancel(first);
    assert_eq!(engine.stats().running, 2);
    let mut ended = vec![];
    for _ in 0..20 {
        ended.extend(engine.step().into_iter().map(|(id, _)| id));
    }
    assert_eq!(ended, [third]);
    engine.cancel(second);
    assert!(engine.is_idle());
    assert_eq!(engine.stats().reserved_tokens, 0);
    assert!(engine.step().is_empty());
}

#[test]
fn a_job_that_could_never_run_is_refused_at_once() {
    let checkpoint = open("a");
    let limits = Limits {
        cached_tokens: 64,
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let mut engine = Engine::new(Arc::clone(&checkpoint), &settings);
    let refused = engine.submit(job(&checkpoint, &[], "Short.", 64, Anything));
    let refused = refused.expect_err("prompt and answer are longer than 64");
    assert!(refused.got > 64 && refused.limit == 64, "{refused}");
    assert!(engine.is_idle());
}

#[test]
fn images_encoded_together_equal_each_alone() {
    let checkpoint = open("a");
    let images = [image(&checkpoint, "tall"), image(&checkpoint, "wide")];
    let floats = |rows: Tensor<2>| rows.into_data().try_into_vec::<f32>().expect("f32");
    let together = floats(checkpoint.network.encode_images(&[&images[0], &images[1]]));
    let mut alone = floats(checkpoint.network.encode_images(&[&images[0]]));
    alone.extend(floats(checkpoint.network.encode_images(&[&images[1]])));
    assert!(furthest(&together, &alone) < TOLERANCE);
}

#[test]
fn the_order_of_two_images_matters() {
    let checkpoint = open("a");
    let answer = |names: [&str; 2]| {
        let images = names.map(|name| image(&checkpoint, name));
        let job = job(&checkpoint, &images, "Compare.", 8, Anything);
        run(&checkpoint, vec![job]).remove(0)
    };
    assert_ne!(
        answer(["tall", "wide"]).logprobs,
        answer(["wide", "tall"]).logprobs
    );
}

#[test]
fn forced_tokens_fed_at_once_have_the_log_probabilities_of_tokens_fed_one_by_one() {
    let checkpoint = open("a");
    let images = [image(&checkpoint, "small")];
    let text = "Say something.";
    let free = run(
        &checkpoint,
        vec![job(&checkpoint, &images, text, 12, Anything)],
    );
    let recited = Recited(free[0].token_ids.clone());
    let forced = run(
        &checkpoint,
        vec![job(&checkpoint, &images, text, 13, recited)],
    );
    assert_eq!(forced[0].token_ids[..12], free[0].token_ids);
    assert_eq!(forced[0].forced, 12);
    let off = furthest(&forced[0].logprobs[..12], &free[0].logprobs);
    assert!(off < TOLERANCE, "log-probabilities differ by {off}");
}

/// verl#3469, R1-V#91: the model says image placeholders.
#[test]
fn vision_placeholders_are_never_generated() {
    let checkpoint = open("a");
    for seed in 0..4 {
        let mut job = job(&checkpoint, &[], "Anything at all.", 100, Anything);
        job.sampling = Sampling {
            temperature: 100.0,
            seed,
            ..Sampling::default()
        };
        let answer = run(&checkpoint, vec![job]);
        for &id in &answer[0].token_ids {
            let text = checkpoint.tokenizer.decode(&[id], false);
            let placeholders = [
                "<|vision_start|>",
                "<|vision_end|>",
                "<|vision_pad|>",
                "<|image_pad|>",
                "<|video_pad|>",
            ];
            assert!(!placeholders.contains(&text.as_str()), "{text}");
        }
    }
}

#[test]
#[should_panic(expected = "3 image rows for 30 placeholders")]
fn a_wrong_number_of_image_rows_panics_with_both_counts() {
    let checkpoint = open("a");
    let (prompt, rows) = prompt(&checkpoint, &[image(&checkpoint, "tall")], "?");
    logits_at_once(&checkpoint, &prompt, rows.map(|rows| rows.narrow(0, 0, 3)));
}

/// Lets the model choose one of a few strings, after two forced tokens.
struct OneOf {
    choices: Vec<Vec<u32>>,
    said: Vec<u32>,
}

impl Guide for OneOf {
    fn opening(&mut self) -> Vec<u32> {
        vec![5, 6]
    }
    fn allows(&self, id: u32) -> bool {
        let next = |choice: &Vec<u32>| {
            choice.starts_with(&self.said) && choice.get(self.said.len()) == Some(&id)
        };
        self.choices.iter().any(next)
    }
    fn chooses(&self) -> bool {
        self.said.is_empty()
    }
    fn accept(&mut self, id: u32) -> Next {
        self.said.push(id);
        if self.choices.contains(&self.said) {
            Next::Finished(vec![])
        } else {
            Next::Continue(vec![])
        }
    }
}

/// Strings scored in one pass over their tree have the log-probabilities that they have when they are generated one by one; and who
/// asks for scores gets the same answer.
#[test]
fn choices_are_scored_as_if_each_had_been_generated() {
    let choices = [
        vec![10, 11, 12],
        vec![10, 11, 13, 14],
        vec![10, 15],
        vec![16],
        vec![17, 18],
    ];
    for variant in ["a", "b"] {
        let checkpoint = open(variant);
        let ask = |choices: &[Vec<u32>], scored: bool| {
            let guide = OneOf {
                choices: choices.to_vec(),
                said: vec![],
            };
            let images = [image(&checkpoint, "tall")];
            Job {
                scored: scored.then(|| Arc::new(Choices::new(choices))),
                ..job(&checkpoint, &images, "Which?", 10, guide)
            }
        };
        let plain = run(&checkpoint, vec![ask(&choices, false)]).remove(0);
        assert_eq!(plain.scores, None);
        let scored = run(&checkpoint, vec![ask(&choices, true)]).remove(0);
        assert_identical(variant, &scored, &plain);
        let scores = scored.scores.expect("asked for");
        for (choice, score) in choices.iter().zip(&scores) {
            let alone = run(&checkpoint, vec![ask(std::slice::from_ref(choice), false)]).remove(0);
            assert_eq!(alone.token_ids[2..], *choice);
            let sum: f32 = alone.logprobs[2..].iter().sum();
            assert!(
                (sum - score).abs() < TOLERANCE,
                "{variant} {choice:?}: {score}, alone {sum}"
            );
        }
        // In company, fed in pieces, with a warm cache: the same bits.
        let limits = Limits {
            chunk: 32,
            ..Limits::default()
        };
        let settings = Settings {
            limits,
            ..Settings::default()
        };
        let mut engine = Engine::new(Arc::clone(&checkpoint), &settings);
        for _ in 0..2 {
            let mut together = jobs(&checkpoint);
            together.push(ask(&choices, true));
            let last = engine.run(together).pop().expect("a job").expect("short");
            let bits = |scores: &[f32]| scores.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                bits(&last.scores.expect("asked for")),
                bits(&scores),
                "{variant}"
            );
        }
        // Over a pool the tree is computed as it is over a buffer.
        let mut engine = Engine::new(Arc::clone(&checkpoint), &settings).pooled();
        let pooled = engine.run(vec![ask(&choices, true)]).remove(0);
        let pooled = pooled.expect("short").scores.expect("asked for");
        assert!(furthest(&pooled, &scores) < 1e-5, "{variant}");
    }
}
