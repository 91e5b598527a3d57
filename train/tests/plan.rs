//! Plans against what is known: the parameters of the published 7B, the recipe of the paper, a toy's arithmetic by hand.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use train::config::SftConfig;
use train::plan::{Assumed, Plan, Room, Shape, network, plan};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `config.json` of Qwen2.5-VL-7B-Instruct, as far as it decides a shape.
fn write_7b(folder: &Path) {
    let config = json!({
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152_064, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "max_position_embeddings": 128_000, "tie_word_embeddings": false,
        "image_token_id": 151_655, "video_token_id": 151_656, "vision_start_token_id": 151_652,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "in_chans": 3,
            "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": 3584
        }
    });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("writable");
}

/// The shipped recipe of the paper, over a checkpoint that is a `config.json` and nothing else.
fn paper(folder: &Path) -> SftConfig {
    let mut config =
        SftConfig::read(&root().join("configs/more-r1-7b-sft.toml")).expect("the shipped recipe");
    write_7b(folder);
    config.model.from = Some(folder.to_owned());
    config
}

fn planned(config: &SftConfig) -> Plan {
    let assumed = Assumed {
        records: 3865,
        shape: Shape::longest(config.training.target),
        flops: Some(1e14),
    };
    plan(
        config,
        &network(config).expect("config.json is there"),
        &assumed,
    )
}

#[test]
fn every_shipped_recipe_of_stage_1_parses() {
    let mut read = 0;
    for entry in std::fs::read_dir(root().join("configs")).expect("the recipes are there") {
        let path = entry.expect("readable").path();
        if path.to_string_lossy().contains("sft") {
            SftConfig::read(&path).unwrap_or_else(|error| panic!("{error}"));
            read += 1;
        }
    }
    assert!(read >= 5, "{read} recipes");
}

#[test]
fn the_7b_is_counted_without_its_weights() {
    let folder = TempDir::new().expect("a folder");
    let plan = planned(&paper(folder.path()));
    // The elements of the published shards.
    let all: u64 = plan.rooms.values().map(|it| it.parameters).sum();
    assert_eq!(all, 8_292_166_656);
    let frozen = |room| plan.rooms[&room].trained == 0;
    assert!(frozen(Room::Vision) && frozen(Room::Merger));
    let trained: u64 = plan.rooms.values().map(|it| it.trained).sum();
    assert_eq!(trained, 7_615_616_512);
    assert_eq!(plan.rooms[&Room::Embedding].parameters, 152_064 * 3584);
    // f32 throughout: four bytes of weight, and of each trained parameter four of the step's gradient, four of the pass's, eight of
    // moments.
    assert_eq!(plan.memory.weights, 4 * all);
    assert_eq!(plan.memory.gradients, 2 * 4 * trained);
    assert_eq!(plan.memory.moments, 8 * trained);
    // 20 epochs of 3,865 records in steps of 8 × 8 × 2.
    assert_eq!((plan.records_per_step, plan.steps), (128, 604));
    assert_eq!(plan.tokens_per_step, 128 * 2096);
    // 6 N a token of the decoder and 2 N a patch of the frozen tower are most of it.
    let decoder = plan.rooms[&Room::Decoder].parameters as f64;
    let vision = plan.rooms[&Room::Vision].parameters as f64;
    let most = 128.0 * (6.0 * decoder * 2095.0 + 2.0 * vision * 4.0 * 1280.0);
    let ratio = plan.flops_per_step / most;
    assert!((1.0..1.2).contains(&ratio), "{ratio}");
    let seconds = plan.seconds.expect("the speed was given");
    assert!((seconds / (604.0 * plan.flops_per_step / 1e14) - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_frozen_keeps_nothing() {
    let folder = TempDir::new().expect("a folder");
    let mut config = paper(folder.path());
    let paper = planned(&config);
    config.training.freeze = vec![];
    let whole = planned(&config);
    assert!(whole.memory.activations > paper.memory.activations);
    assert!(whole.flops_per_step > paper.flops_per_step);
    config.training.freeze = vec!["visual".into(), "model.".into()];
    let head = planned(&config);
    assert_eq!(head.rooms[&Room::Decoder].trained, 0);
    assert!(head.memory.activations * 10 < paper.memory.activations);
    config.training.freeze = vec!["visual".into()];
    config.training.train_batch_size = 1;
    config.training.gradient_accumulation_steps = 128;
    let single = planned(&config);
    assert_eq!(single.steps, paper.steps);
    assert!(single.memory.activations * 6 < paper.memory.activations);
}
