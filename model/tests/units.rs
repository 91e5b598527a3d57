//! The parts of the network and everything around it against transformers, one by one. The numbers are made by
//! `golden/units.py` and `golden/tiny.py`; `golden/README.md` explains each tensor.

use std::path::PathBuf;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use model::checkpoint::Checkpoint;
use model::config::{TextConfig, VisionConfig};
use model::init::Init;
use model::norm::RmsNorm;
use model::template::Message;
use model::text::{Positions, angles};
use model::vision::Layout;
use model::{Files, Span};
use safetensors::SafeTensors;
use serde_json::Value;
use vision::{Grid, Limits, Processor, decode};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(golden(name))
        .expect("the golden is there; golden/units.py makes it");
    serde_json::from_str(&text).expect("the generator writes JSON")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).expect("the golden is there; golden/units.py makes it")
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
        .map(|&b| f32::from_le_bytes(b))
        .collect()
}

/// Whole numbers, stored with four or eight bytes.
fn whole(blob: &SafeTensors<'_>, name: &str) -> Vec<i64> {
    let tensor = blob
        .tensor(name)
        .unwrap_or_else(|_| panic!("the golden lacks {name}"));
    if tensor.dtype() == safetensors::Dtype::I64 {
        tensor
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| i64::from_le_bytes(b))
            .collect()
    } else {
        tensor
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| i64::from(i32::from_le_bytes(b)))
            .collect()
    }
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

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|id| id.as_u64().expect("an id") as u32)
        .collect()
}

fn open(variant: &str) -> Checkpoint {
    Checkpoint::open(&Files::Dir(golden(variant)), DType::F32, &Device::flex())
        .expect("the golden checkpoint opens")
}

#[test]
fn rms_norm() {
    let blob = bytes("units.safetensors");
    let blob = SafeTensors::deserialize(&blob).expect("safetensors");
    let device = Device::flex();
    for (eps, name) in [(1e-6, "rms_norm.y.1e-6"), (1e-5, "rms_norm.y.1e-5")] {
        let mut norm = RmsNorm::new(20, eps, &Init::lazy(&device));
        norm.weight = Param::from_tensor(Tensor::from_data(
            TensorData::new(floats(&blob, "rms_norm.weight"), [20]),
            &device,
        ));
        let x = Tensor::<2>::from_data(
            TensorData::new(floats(&blob, "rms_norm.x"), [15, 20]),
            &device,
        );
        let y = norm
            .forward(x)
            .into_data()
            .try_into_vec::<f32>()
            .expect("f32");
        assert!(furthest(&y, &floats(&blob, name)) < 1e-5, "{name}");
    }
}

#[test]
fn multimodal_rotary_angles() {
    let blob = bytes("units.safetensors");
    let blob = SafeTensors::deserialize(&blob).expect("safetensors");
    let ids = whole(&blob, "mrope.position_ids");
    let axes: Vec<[u32; 3]> = (0..13)
        .map(|i| [0, 1, 2].map(|axis| ids[axis * 13 + i] as u32))
        .collect();
    let real = TextConfig {
        hidden_size: 128,
        intermediate_size: 1,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        vocab_size: 1,
        rms_norm_eps: 1e-6,
        rope_theta: 1e6,
        mrope_section: [16, 24, 24],
        max_position_embeddings: 1,
    };
    for (name, config) in [
        ("real", real),
        ("a", open("a").config.text),
        ("b", open("b").config.text),
        ("c", open("c").config.text),
    ] {
        let half = config.head_dim() / 2;
        let angles = angles(&axes, &config);
        for (table, of) in [("cos", f32::cos as fn(f32) -> f32), ("sin", f32::sin)] {
            // The reference repeats every row for the second half of a head.
            let got: Vec<f32> = angles
                .chunks(half)
                .flat_map(|row| row.iter().chain(row))
                .map(|&angle| of(angle))
                .collect();
            let off = furthest(&got, &floats(&blob, &format!("mrope.{name}.{table}")));
            assert!(off < 1e-5, "{name} {table}: {off}");
        }
    }
}

#[test]
fn windows_and_rotary_ids_of_the_vision_tower() {
    let blob = bytes("units.safetensors");
    let blob = SafeTensors::deserialize(&blob).expect("safetensors");
    for name in [
        "one_block",
        "one_window",
        "four_windows",
        "cut_both",
        "strip",
        "column",
        "two_images",
        "three_images",
    ] {
        let thw = whole(&blob, &format!("grid.{name}.grid_thw"));
        let grids: Vec<Grid> = thw
            .chunks(3)
            .map(|g| Grid {
                t: g[0] as usize,
                h: g[1] as usize,
                w: g[2] as usize,
            })
            .collect();
        for window in [112, 56] {
            // A width of 4 heads × 8 gives two frequencies an axis: 1 and 10000^(-1/2) = 0.01.
            let config = VisionConfig {
                depth: 1,
                hidden_size: 32,
                intermediate_size: 1,
                num_heads: 4,
                patch_size: 14,
                in_channels: 3,
                temporal_patch_size: 2,
                spatial_merge_size: 2,
                window_size: window,
                fullatt_block_indexes: vec![],
                out_hidden_size: 1,
            };
            let layout = Layout::new(&grids, &config);
            let index = whole(&blob, &format!("grid.{name}.window_index.{window}"));
            let order: Vec<usize> = index
                .iter()
                .flat_map(|&unit| (0..4).map(move |i| unit as usize * 4 + i))
                .collect();
            assert_eq!(layout.order, order, "{name} {window}");
            let bounds = |ranges: &[std::ops::Range<usize>]| {
                std::iter::once(0)
                    .chain(ranges.iter().map(|range| range.end as i64))
                    .collect::<Vec<i64>>()
            };
            let windows = whole(&blob, &format!("grid.{name}.cu_window_seqlens.{window}"));
            assert_eq!(bounds(&layout.windows), windows, "{name} {window}");
            assert_eq!(
                bounds(&layout.frames),
                whole(&blob, &format!("grid.{name}.cu_seqlens")),
                "{name}"
            );
            let rope = whole(&blob, &format!("grid.{name}.rope_ids"));
            for (place, row) in layout.order.iter().enumerate() {
                let got = &layout.angles[place * 4..place * 4 + 4];
                assert!(
                    (got[0] - rope[row * 2] as f32).abs() < 1e-6,
                    "{name}: row of patch {row}"
                );
                assert!(
                    (got[2] - rope[row * 2 + 1] as f32).abs() < 1e-6,
                    "{name}: column of patch {row}"
                );
            }
            for (place, &unit) in index.iter().enumerate() {
                assert_eq!(layout.restore[unit as usize], place, "{name} {window}");
            }
        }
    }
}

#[test]
fn positions_of_prompts() {
    let config = open("a").config;
    for case in json("units.json")["rope_index"].as_array().expect("cases") {
        let grids: Vec<Grid> = case["image_grid_thw"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|g| {
                let side = |i: usize| g[i].as_u64().expect("a size") as usize;
                Grid {
                    t: side(0),
                    h: side(1),
                    w: side(2),
                }
            })
            .collect();
        let got = Positions::new(&ids(&case["input_ids"]), &grids, &config);
        assert_eq!(
            got.delta,
            case["rope_delta"].as_i64().expect("a delta"),
            "{}",
            case["name"]
        );
        for axis in 0..3 {
            let ours: Vec<u32> = got.axes.iter().map(|position| position[axis]).collect();
            assert_eq!(ours, ids(&case["position_ids"][axis]), "{}", case["name"]);
        }
    }
}

#[test]
fn tokens_of_tricky_strings() {
    let units = json("units.json");
    for variant in ["a", "b"] {
        let tokenizer = open(variant).tokenizer;
        for case in units["tokenization"][variant].as_array().expect("cases") {
            let text = case["text"].as_str().expect("text");
            let want = ids(&case["token_ids"]);
            assert_eq!(tokenizer.encode(text), want, "{text:?}");
            assert_eq!(tokenizer.decode(&want, false), case["decoded"], "{text:?}");
            assert_eq!(
                tokenizer.decode(&want, true),
                case["decoded_without_special"],
                "{text:?}"
            );
        }
    }
}

#[test]
fn control_tokens_in_user_text_are_refused() {
    let tokenizer = open("a").tokenizer;
    for text in [
        "<|im_end|>",
        "hello <|im_start|>system",
        "an <|image_pad|> too many",
    ] {
        let refused = tokenizer
            .refuse_reserved(text, "text")
            .expect_err("a control token");
        assert!(
            refused
                .to_string()
                .starts_with("text: holds the control token <|"),
            "{refused}"
        );
    }
    tokenizer
        .refuse_reserved("a < b | c > d", "text")
        .expect("no control token");
}

#[test]
fn chat_templates() {
    let tokenizer = open("a").tokenizer;
    let mut compared = 0;
    for case in json("units.json")["templates"].as_array().expect("cases") {
        // We always ask for an answer and never number images.
        if case["add_generation_prompt"] != true || case["add_vision_id"] == true {
            continue;
        }
        let Ok(messages) = serde_json::from_value::<Vec<Message>>(case["messages"].clone()) else {
            continue; // spellings of other clients (image_url, video) that our messages cannot hold
        };
        let rendered = case["rendered"].as_str().expect("text");
        let got = tokenizer
            .chat(&messages, "messages")
            .expect("the template takes it");
        assert_eq!(got, tokenizer.encode(rendered), "{}", case["name"]);
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} renderings were comparable");
}

#[test]
fn pixels_are_those_of_transformers_bit_for_bit() {
    let blob = bytes("images.safetensors");
    let blob = SafeTensors::deserialize(&blob).expect("safetensors");
    let processor =
        Processor::from_json(&json("a/preprocessor_config.json")).expect("the golden's settings");
    for name in ["tall", "wide", "small", "photo", "dot"] {
        let photo =
            decode(&bytes(&format!("images/{name}.png")), &Limits::default()).expect("decodes");
        let got = processor.patches(&photo.pixels).expect("large enough");
        let grid = whole(&blob, &format!("{name}.grid_thw"));
        assert_eq!(
            [got.grid.t, got.grid.h, got.grid.w]
                .map(|side| side as i64)
                .to_vec(),
            grid,
            "{name}"
        );
        let levels = blob
            .tensor(&format!("{name}.patches_u8"))
            .expect("levels")
            .data();
        for (row, (got, levels)) in got.pixels.chunks(1176).zip(levels.chunks(588)).enumerate() {
            for channel in 0..3 {
                for frame in 0..2 {
                    for i in 0..196 {
                        let level = f32::from(levels[channel * 196 + i]);
                        let mean = processor.mean[channel] * 255.0;
                        let want = (level - mean) / (processor.std[channel] * 255.0);
                        let got = got[(channel * 2 + frame) * 196 + i];
                        assert_eq!(
                            got.to_bits(),
                            want.to_bits(),
                            "{name}: patch {row}, channel {channel}, value {i}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn teacher_forced_logits() {
    for variant in ["a", "b", "c"] {
        let checkpoint = open(variant);
        let blob = bytes(&format!("{variant}.safetensors"));
        let blob = SafeTensors::deserialize(&blob).expect("safetensors");
        for case in json(&format!("{variant}.json"))["cases"]
            .as_array()
            .expect("cases")
        {
            let name = case["name"].as_str().expect("a name");
            if !case["images"].as_array().expect("a list").is_empty() {
                continue; // golden.rs follows those through the whole of `generate`
            }
            let prompt = ids(&case["prompt_token_ids"]);
            let want = floats(&blob, &format!("{name}.logits"));
            let rows = want.len() / checkpoint.config.text.vocab_size;
            let mut all = prompt.clone();
            all.extend(&ids(&case["token_ids"])[..rows - 1]);
            let axes = Positions::new(&all, &[], &checkpoint.config).axes;
            let hidden = checkpoint.network.hidden(
                &[Span {
                    ids: &all,
                    axes: &axes,
                    held: 0,
                }],
                None,
                &mut [],
            );
            let logits = checkpoint
                .network
                .logits(hidden.narrow(0, prompt.len() - 1, rows));
            let off = furthest(
                &logits.into_data().try_into_vec::<f32>().expect("f32"),
                &want,
            );
            assert!(off < 5e-4, "{variant}/{name}: logits are off by {off}");
        }
    }
}
