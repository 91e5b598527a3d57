//! Laws of the engine, on the golden checkpoints: what is cached, batched or fed in pieces must not change an answer.

use std::path::PathBuf;

use burn::tensor::{DType, Device, Tensor};
use model::checkpoint::{Checkpoint, Prompt};
use model::generate::{Completion, Guide, Next, Request, run};
use model::template::{ContentPart, Message};
use model::text::Cache;
use model::{Files, Sampling, Span};
use vision::{Limits, Patches, decode};

/// Sums in another order, f32: 2e-5 seen on logits that spread by 4.
const TOLERANCE: f32 = 2e-4;

fn open(variant: &str) -> Checkpoint {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(variant);
    Checkpoint::open(&Files::Dir(dir), DType::F32, &Device::flex())
        .expect("the golden checkpoint opens")
}

fn image(checkpoint: &Checkpoint, name: &str) -> Patches {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/images")
        .join(format!("{name}.png"));
    let bytes = std::fs::read(path).expect("the golden image is there");
    let photo = decode(&bytes, &Limits::default()).expect("the golden image decodes");
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

fn request<G: Guide>(
    (prompt, image_rows): (Prompt, Option<Tensor<2>>),
    limit: usize,
    guide: G,
) -> Request<G> {
    Request {
        prompt,
        image_rows,
        sampling: Sampling::default(),
        max_new_tokens: limit,
        guide,
    }
}

fn assert_same(name: &str, got: &Completion, want: &Completion) {
    assert_eq!(got.token_ids, want.token_ids, "{name}");
    let off = furthest(&got.logprobs, &want.logprobs);
    assert!(off < TOLERANCE, "{name}: log-probabilities differ by {off}");
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

#[test]
fn batch_of_different_lengths_equals_each_alone() {
    let checkpoint = open("b");
    let prompts = || {
        let one = image(&checkpoint, "tall");
        let two = [image(&checkpoint, "wide"), image(&checkpoint, "small")];
        vec![
            prompt(&checkpoint, &[], "Short."),
            prompt(
                &checkpoint,
                &[one],
                "A photo and a rather longer question about what can be seen in it.",
            ),
            prompt(&checkpoint, &two, "Two photos."),
        ]
    };
    let limits = [20, 7, 12];
    let batch = prompts()
        .into_iter()
        .zip(limits)
        .map(|(prompt, limit)| request(prompt, limit, Anything))
        .collect();
    let (together, _) = run(&checkpoint, batch);
    for (index, prompt) in prompts().into_iter().enumerate() {
        let (alone, _) = run(&checkpoint, vec![request(prompt, limits[index], Anything)]);
        assert_same(&format!("sequence {index}"), &together[index], &alone[0]);
    }
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
        run(
            &checkpoint,
            vec![request(
                prompt(&checkpoint, &images, "Compare."),
                8,
                Anything,
            )],
        )
        .0
        .remove(0)
    };
    assert_ne!(
        answer(["tall", "wide"]).logprobs,
        answer(["wide", "tall"]).logprobs
    );
}

#[test]
fn forced_tokens_fed_at_once_have_the_log_probabilities_of_tokens_fed_one_by_one() {
    let checkpoint = open("a");
    let start = || {
        prompt(
            &checkpoint,
            &[image(&checkpoint, "small")],
            "Say something.",
        )
    };
    let (free, _) = run(&checkpoint, vec![request(start(), 12, Anything)]);
    let (forced, _) = run(
        &checkpoint,
        vec![request(start(), 13, Recited(free[0].token_ids.clone()))],
    );
    assert_eq!(forced[0].token_ids[..12], free[0].token_ids);
    assert_eq!(forced[0].forced, 12);
    let off = furthest(&forced[0].logprobs[..12], &free[0].logprobs);
    assert!(off < TOLERANCE, "log-probabilities differ by {off}");
}

#[test]
fn vision_placeholders_are_never_generated() {
    let checkpoint = open("a");
    let hot = Sampling {
        temperature: 100.0,
        ..Sampling::default()
    };
    for seed in 0..4 {
        let mut request = request(prompt(&checkpoint, &[], "Anything at all."), 100, Anything);
        request.sampling = Sampling {
            seed,
            ..hot.clone()
        };
        let (answer, _) = run(&checkpoint, vec![request]);
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
