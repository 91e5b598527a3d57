//! The network against transformers: three small random checkpoints (every way files come), every kind of prompt. The numbers
//! are made by `golden/tiny.py`, which pins torch, transformers and the seeds; `golden/README.md` explains each tensor.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use model::checkpoint::Checkpoint;
use model::template::Message;
use model::{Files, Sampling, generate};
use safetensors::SafeTensors;
use serde_json::Value;
use vision::{Limits, Patches, decode};

/// f32 on a CPU against f32 on a CPU, sums in another order: 2e-5 seen, and half the smallest mistake (1.3e-2) is far off.
const LOGPROB_TOLERANCE: f32 = 5e-4;
const EMBED_TOLERANCE: f32 = 1e-4;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn json(name: &str) -> Value {
    let path = golden(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{} is missing: run golden/tiny.py", path.display()));
    serde_json::from_str(&text).expect("the generator writes JSON")
}

fn floats(blob: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = blob
        .tensor(name)
        .unwrap_or_else(|_| panic!("the golden lacks {name}"));
    tensor
        .data()
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

fn numbers(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|id| id.as_u64().expect("an id") as u32)
        .collect()
}

fn furthest(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(
        got.len(),
        want.len(),
        "{} values against {}",
        got.len(),
        want.len()
    );
    got.iter()
        .zip(want)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

fn open(variant: &str) -> Arc<Checkpoint> {
    let checkpoint = Checkpoint::open(&Files::Dir(golden(variant)), DType::F32, &Device::flex());
    Arc::new(checkpoint.expect("the golden checkpoint opens"))
}

fn images(checkpoint: &Checkpoint, case: &Value) -> Vec<Patches> {
    let names = case["images"].as_array().expect("a list of images");
    names
        .iter()
        .map(|name| {
            let path = golden("images").join(format!("{}.png", name.as_str().expect("a name")));
            let bytes = std::fs::read(path).expect("the golden image is there");
            let photo = decode(&bytes, &Limits::default()).expect("the golden image decodes");
            checkpoint
                .processor
                .patches(&photo.pixels)
                .expect("the golden image is large enough")
        })
        .collect()
}

fn every_case_equals_transformers(variant: &str) {
    let checkpoint = open(variant);
    let expected = json(&format!("{variant}.json"));
    let blob =
        std::fs::read(golden(&format!("{variant}.safetensors"))).expect("the golden blob is there");
    let blob = SafeTensors::deserialize(&blob).expect("the golden blob is safetensors");
    let max_new_tokens = expected["max_new_tokens"].as_u64().expect("a limit") as usize;
    for case in expected["cases"].as_array().expect("cases") {
        let name = case["name"].as_str().expect("a name");
        let messages: Vec<Message> =
            serde_json::from_value(case["messages"].clone()).expect("messages");
        let images = images(&checkpoint, case);
        let penalty = case["repetition_penalty"].as_f64().expect("a penalty") as f32;
        let sampling = Sampling {
            repetition_penalty: penalty,
            ..Sampling::default()
        };
        let got = generate(&checkpoint, &messages, &images, &sampling, max_new_tokens)
            .expect("the case runs");
        assert_eq!(
            got.prompt_token_ids,
            numbers(&case["prompt_token_ids"]),
            "{variant}/{name}: prompt"
        );
        assert_eq!(
            got.completion.token_ids,
            numbers(&case["token_ids"]),
            "{variant}/{name}: greedy ids"
        );
        let want: Vec<f32> = case["logprobs_raw"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|v| v.as_f64().expect("a number") as f32)
            .collect();
        let off = furthest(&got.completion.logprobs, &want);
        assert!(
            off < LOGPROB_TOLERANCE,
            "{variant}/{name}: log-probabilities are off by {off}"
        );
        assert_eq!(
            got.completion.finish_reason.name(),
            case["finish_reason"],
            "{variant}/{name}"
        );
        assert_eq!(got.text, case["text"], "{variant}/{name}: text");

        let prompt = checkpoint
            .tokenizer
            .chat(&messages, "messages")
            .expect("the template takes it");
        let prompt = checkpoint
            .prompt(&prompt, &Checkpoint::grids(&images))
            .expect("places for every image");
        assert_eq!(
            prompt.positions.delta,
            case["rope_delta"].as_i64().expect("a delta"),
            "{variant}/{name}: delta"
        );
        let ids = blob
            .tensor(&format!("{name}.position_ids"))
            .expect("positions in the golden");
        let ids: Vec<i32> = ids
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| i32::from_le_bytes(b))
            .collect();
        let ours: Vec<i32> = (0..3)
            .flat_map(|axis| prompt.positions.axes.iter().map(move |p| p[axis] as i32))
            .collect();
        assert_eq!(ours, ids, "{variant}/{name}: positions");
        if !images.is_empty() {
            let all: Vec<&Patches> = images.iter().collect();
            let rows = checkpoint
                .network
                .encode_images(&all)
                .into_data()
                .try_into_vec::<f32>()
                .expect("f32");
            let off = furthest(&rows, &floats(&blob, &format!("{name}.image_embeds")));
            assert!(
                off < EMBED_TOLERANCE,
                "{variant}/{name}: image tokens are off by {off}"
            );
        }
    }
}

/// vllm#33871, sglang#3746: answers differ from those of transformers.
#[test]
fn flat_config_old_keys_tied_head_bf16_file() {
    every_case_equals_transformers("a");
}

#[test]
fn nested_config_new_keys_untied_head_three_shards() {
    every_case_equals_transformers("b");
}

#[test]
fn f16_file_nested_processor_template_in_json() {
    every_case_equals_transformers("c");
}
