//! Adapters: what PEFT answers with one, beside the base and merged into it; what a fresh one changes; which ones are refused. The numbers
//! are made by `golden/lora.py`, which pins PEFT and the seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor};
use model::adapter::CONFIG;
use model::init::Init;
use model::lora::{attach, drop_from, merge};
use model::template::Message;
use model::{Adapter, Checkpoint, Files, LoraConfig, Qwen, Span, adapter, save};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use vision::{Limits, Patches, decode};

/// As in `golden.rs`: f32 on a CPU, sums in another order. The adapters move the scores by more than 1.
const TOLERANCE: f32 = 5e-4;

const WEIGHTS: &str = "adapter_model.safetensors";

fn golden(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    dir.join(name)
}

fn adapter_files(name: &str) -> Files {
    Files::Dir(golden("lora").join(name))
}

fn open(base: &str) -> Checkpoint {
    open_on(base, &Device::flex())
}

fn open_on(base: &str, device: &Device) -> Checkpoint {
    let checkpoint = Checkpoint::open(&Files::Dir(golden(base)), DType::F32, device);
    checkpoint.expect("the golden checkpoint opens")
}

fn floats(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

fn furthest(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let gaps = got.iter().zip(want).map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f32::max)
}

/// The scores at the last `rows` positions of a case's prompt.
fn scores(checkpoint: &Checkpoint, network: &Qwen, case: &Value, rows: usize) -> Vec<f32> {
    let messages: Vec<Message> =
        serde_json::from_value(case["messages"].clone()).expect("messages");
    let names = case["images"].as_array().expect("a list").iter();
    let images: Vec<Patches> = names
        .map(|name| {
            let file = format!("images/{}.png", name.as_str().expect("a name"));
            let bytes = std::fs::read(golden(&file)).expect("the golden image is there");
            let photo = decode(&bytes, &Limits::default()).expect("it decodes");
            checkpoint
                .processor
                .patches(&photo.pixels)
                .expect("large enough")
        })
        .collect();
    let ids = checkpoint.tokenizer.chat(&messages, "messages");
    let prompt = checkpoint.prompt(&ids.expect("a conversation"), &Checkpoint::grids(&images));
    let prompt = prompt.expect("a place for every image");
    let all: Vec<&Patches> = images.iter().collect();
    let image_rows = (!all.is_empty()).then(|| network.encode_images(&all));
    let span = Span {
        ids: &prompt.ids,
        axes: &prompt.positions.axes,
        held: 0,
    };
    let hidden = network.hidden(&[span], image_rows, &mut []);
    let first = prompt.ids.len() - rows;
    floats(network.logits(hidden.narrow(0, first, rows)))
}

fn cases(base: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(golden(&format!("{base}.json"))).expect("golden/tiny.py");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["cases"].as_array().expect("cases").clone()
}

fn case(base: &str, name: &str) -> Value {
    let mut cases = cases(base).into_iter();
    cases.find(|case| case["name"] == name).expect("a case")
}

/// Beside the base, merged into it, and merged as the service opens it.
fn equals_peft(base: &str, name: &str) {
    let checkpoint = open(base);
    let mut beside = checkpoint.network.clone();
    let adapter = Adapter::open(&adapter_files(name)).expect("PEFT's adapter");
    adapter.attach(&mut beside).expect("it fits");
    let mut merged = beside.clone();
    merge(&mut merged);
    let served = checkpoint.clone().adapted(&adapter_files(name));
    let served = served.expect("it fits").for_answering();
    let blob = std::fs::read(golden("lora.safetensors")).expect("golden/lora.py makes it");
    let blob = SafeTensors::deserialize(&blob).expect("safetensors");
    let mut compared = 0;
    for case in cases(base) {
        let key = format!("{name}.{}", case["name"].as_str().expect("a name"));
        let Ok(tensor) = blob.tensor(&key) else {
            continue;
        };
        let bytes = tensor.data().as_chunks().0.iter();
        let want: Vec<f32> = bytes.map(|&it| f32::from_le_bytes(it)).collect();
        let rows = tensor.shape()[0];
        for (kind, network) in [
            ("beside", &beside),
            ("merged", &merged),
            ("served", &served.network),
        ] {
            let off = furthest(&scores(&checkpoint, network, &case, rows), &want);
            assert!(off < TOLERANCE, "{key} {kind}: off by {off}");
        }
        let without = furthest(
            &scores(&checkpoint, &checkpoint.network, &case, rows),
            &want,
        );
        assert!(
            without > 1.0,
            "{key}: the base alone is off by {without} only"
        );
        compared += 1;
    }
    assert_eq!(compared, 3, "cases of {name}");
}

#[test]
fn names_alone_also_adapt_the_vision_tower() {
    equals_peft("b", "listed");
}

#[test]
fn a_tower_a_merger_and_a_rank_under_the_root() {
    equals_peft("a", "rank_stabilised");
}

/// Made by `train/tests/lora.rs`; PEFT loaded it (`golden/lora.py written`).
#[test]
fn peft_answers_with_our_adapter_as_we_do() {
    equals_peft("b", "written");
}

/// Which bytes they are is compared here, what a training run writes in `train/tests/lora.rs`.
#[test]
fn what_is_read_is_written_again_byte_for_byte() {
    let mut network = open("b").network;
    let files = adapter_files("written");
    let adapter = Adapter::open(&files).expect("ours");
    adapter.attach(&mut network).expect("it fits");
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.1,
        ..LoraConfig::default()
    };
    let out = std::env::temp_dir().join(format!("more-r1-lora-{}", std::process::id()));
    std::fs::create_dir_all(&out).expect("writable");
    let base = Path::new("../model/tests/golden/b"); // as the run was told
    adapter::save(&network, &config, base, &out).expect("written");
    let written = Files::Dir(out.clone());
    for file in [CONFIG, WEIGHTS] {
        let bytes = |files: &Files| files.read(file).expect("readable").expect("there");
        assert!(bytes(&written) == bytes(&files), "{file} differs");
    }
    std::fs::remove_dir_all(out).expect("ours");
}

/// B is zero: whatever A is, nothing changes, not even by a rounding. As in training: without it, kernels that answer add in another order.
#[test]
fn a_fresh_adapter_changes_no_bit() {
    let device = Device::flex().autodiff();
    let checkpoint = open_on("b", &device);
    let mut fresh = checkpoint.network.clone();
    let init = Init::adapters(&device, 3);
    attach(&mut fresh, &LoraConfig::default(), &init);
    let names = fresh
        .linears_mut()
        .filter(|(_, linear)| linear.lora.is_some());
    let names: Vec<String> = names.map(|(name, _)| name).collect();
    assert_eq!(names.len(), 3 * 7, "all maps of three layers: {names:?}");
    assert!(names.iter().all(|name| name.starts_with("model.layers.")));
    let case = case("b", "two_images");
    let base = scores(&checkpoint, &checkpoint.network, &case, 5);
    assert_eq!(base, scores(&checkpoint, &fresh, &case, 5));
    merge(&mut fresh);
    assert_eq!(
        save::parameters(&checkpoint.network),
        save::parameters(&fresh)
    );
}

/// torch's `kaiming_uniform_(a = √5)`: uniform up to `1 / √in`.
#[test]
fn adapters_begin_as_in_peft() {
    let mut network = open("b").network;
    let config = LoraConfig {
        r: 32,
        ..LoraConfig::default()
    };
    let fresh = |network: &mut Qwen, seed: u64| -> BTreeMap<String, Vec<f32>> {
        attach(network, &config, &Init::adapters(&Device::flex(), seed));
        let linears = network.linears_mut();
        let adapted = linears.filter_map(|(name, linear)| Some((name, linear.lora.as_ref()?)));
        let values = adapted.map(|(name, lora)| {
            assert!(floats(lora.lora_b.val()).iter().all(|&it| it == 0.0));
            (name, floats(lora.lora_a.val()))
        });
        values.collect()
    };
    let first = fresh(&mut network, 1);
    for (name, values) in &first {
        let bound = if name.ends_with("down_proj") {
            60_f32
        } else {
            48.0
        }
        .sqrt()
        .recip();
        let largest = values.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
        assert!(
            largest <= bound && largest > 0.99 * bound,
            "{name}: {largest} of {bound}"
        );
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.1 * bound, "{name}: {mean}");
    }
    assert_eq!(first, fresh(&mut network, 1), "the same seed");
    assert_ne!(first, fresh(&mut network, 2), "another seed");
}

#[test]
fn what_is_dropped_follows_the_stream_and_nothing_else_does() {
    let checkpoint = open("b");
    let case = case("b", "no_image");
    let with = |dropout: f64, seed: Option<u64>| {
        let mut network = checkpoint.network.clone();
        let adapter = Adapter::open(&adapter_files("listed")).expect("PEFT's adapter");
        adapter.attach(&mut network).expect("it fits");
        let config = LoraConfig {
            lora_dropout: dropout,
            ..LoraConfig::default()
        };
        for (_, linear) in network.linears_mut() {
            if let Some(lora) = linear.lora.take() {
                let (a, b) = (lora.lora_a, lora.lora_b);
                linear.lora = Some(model::lora::Lora::new(a, b, &config));
            }
        }
        if let Some(seed) = seed {
            drop_from(&mut network, ChaCha8Rng::seed_from_u64(seed));
        }
        scores(&checkpoint, &network, &case, 2)
    };
    let still = with(0.0, None);
    assert_eq!(still, with(0.0, Some(1)), "nothing is dropped");
    assert_eq!(still, with(0.5, None), "nobody answers with dropout");
    let dropped = with(0.5, Some(1));
    assert_eq!(dropped, with(0.5, Some(1)), "the same stream");
    assert!(furthest(&still, &dropped) > 0.1);
    assert!(furthest(&dropped, &with(0.5, Some(2))) > 0.1, "another one");
}

/// The files of an adapter with some fields of its configuration changed.
fn changed(name: &str, fields: &Value) -> Files {
    let files = adapter_files(name);
    let mut config = files.json(CONFIG).expect("readable").expect("there");
    for (field, value) in fields.as_object().expect("fields") {
        config[field] = value.clone();
    }
    let weights = files.read(WEIGHTS).expect("readable").expect("there");
    embedded(config.to_string().into_bytes(), weights)
}

fn embedded(config: Vec<u8>, weights: Vec<u8>) -> Files {
    let files = [(CONFIG, config), (WEIGHTS, weights)];
    let leaked = files.map(|(name, bytes)| (name, &*Vec::leak(bytes)));
    Files::Embedded(Vec::leak(leaked.to_vec()))
}

#[test]
fn what_is_no_plain_lora_is_refused_by_name() {
    for (field, value) in [
        ("peft_type", json!("LOHA")),
        ("bias", json!("lora_only")),
        ("use_dora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("lora_bias", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({"q_proj": 2})),
        ("alpha_pattern", json!({"q_proj": 2})),
        ("layer_replication", json!([[0, 2]])),
        ("alora_invocation_tokens", json!([1])),
        ("trainable_token_indices", json!([1, 2])),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("something_new", json!({"of": "tomorrow"})),
        ("r", json!(0)),
        ("lora_alpha", json!("eight")),
    ] {
        let files = changed("listed", &json!({field: value}));
        let error = Adapter::open(&files).expect_err(field).to_string();
        let named = format!("adapter_config.json: `{field}` is {value}");
        assert!(error.contains(&named), "{field}: {error}");
    }
    let plain = changed("listed", &json!({"use_dora": null, "bias": null}));
    Adapter::open(&plain).expect("what is not said is not meant");
}

#[test]
fn what_does_not_fit_the_base_is_named() {
    let attach = |files: &Files, base: &str| {
        let adapter = Adapter::open(files).expect("an adapter");
        let error = adapter
            .attach(&mut open(base).network)
            .expect_err("it cannot fit");
        error.to_string()
    };
    // 3 layers of 7 maps are of another width, the tower's are too; the first three are told.
    let error = attach(&adapter_files("listed"), "a");
    for part in [
        "visual.blocks.0.mlp.gate_proj.lora_A.weight is [4, 24], needs [4, 48]",
        "and ",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = attach(&changed("listed", &json!({"r": 5})), "b");
    assert!(error.contains("is [4, 24], needs [5, 24]"), "{error}");
    let key = "base_model.model.model.language_model.layers.9.self_attn.q_proj.lora_A.weight";
    let error = attach(&renamed(key), "b");
    assert!(
        error.contains("the base has no map model.layers.9.self_attn.q_proj"),
        "{error}"
    );
}

/// The listed adapter with its first matrix under the name `key`.
fn renamed(key: &str) -> Files {
    let files = adapter_files("listed");
    let bytes = files.read(WEIGHTS).expect("readable").expect("there");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut views: Vec<_> = tensors.tensors();
    views.sort_by(|a, b| a.0.cmp(&b.0));
    key.clone_into(&mut views[0].0);
    let weights = safetensors::serialize(views, None).expect("serialised");
    let config = files.read(CONFIG).expect("readable").expect("there");
    embedded(config, weights)
}

#[test]
fn tensors_of_another_kind_are_named() {
    let key = "base_model.model.model.language_model.embed_tokens.lora_embedding_A";
    let error = Adapter::open(&renamed(key)).expect_err("no map");
    assert!(error.to_string().contains(key), "{error}");
    let empty = Files::Embedded(&[(CONFIG, b"{}")]);
    let error = Adapter::open(&empty).expect_err("nothing there");
    assert!(error.to_string().contains("peft_type"), "{error}");
    let error = Adapter::open(&Files::Dir(golden("a"))).expect_err("a base");
    assert!(
        error
            .to_string()
            .contains("there is no adapter_config.json"),
        "{error}"
    );
}

#[test]
fn the_hash_covers_the_adapter_and_its_scale() {
    let base = open("b");
    let hash = |files: &Files| base.clone().adapted(files).expect("it fits").hash;
    let adapted = hash(&adapter_files("listed"));
    assert_ne!(base.hash, adapted);
    assert_ne!(adapted, hash(&changed("listed", &json!({"lora_alpha": 9}))));
    assert_eq!(
        adapted,
        hash(&changed(
            "listed",
            &json!({"base_model_name_or_path": "elsewhere"})
        ))
    );
}
