//! Plans against what is known: the parameters of the published 7B, the recipe of the paper, a toy's arithmetic by hand.

mod toy {
    pub mod sizes;
}

use std::path::{Path, PathBuf};

use model::Config;
use serde_json::json;
use tempfile::TempDir;
use train::config::SftConfig;
use train::grpo::config::GrpoConfig;
use train::plan::{self, Assumed, Plan, Room, Shape, network, plan};

use toy::sizes::config_json;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `config.json` of Qwen2.5-VL-7B-Instruct, as far as it decides a shape.
fn write_7b(folder: &Path) {
    let decoder = json!({
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152_064, "tie_word_embeddings": false,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}
    });
    let vision = json!({
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
        "fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": 3584
    });
    let config = config_json(decoder, vision);
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
        devices: 1,
    };
    plan(
        config,
        &network(config).expect("config.json is there"),
        &assumed,
    )
}

/// Two layers and two blocks, with so few of everything that each figure below is a sum on paper.
fn toy(tied: bool) -> Config {
    let decoder = json!({
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 400, "tie_word_embeddings": tied,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}
    });
    let vision = json!({
        "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2,
        "fullatt_block_indexes": [1], "out_hidden_size": 32
    });
    let json = config_json(decoder, vision);
    Config::from_json(&json).expect("sizes that fit each other")
}

/// Sixteen tokens: 15 rows of the decoder, 16 and 4 patches.
const SHAPE: Shape = Shape {
    photo: 4,
    crop: 1,
    prompt: 6,
    response: 5,
};

/// The plan of one pass of so many records, in numbers instead of bytes.
fn toy_plan(tied: bool, freeze: &[&str], records: usize) -> Plan {
    let folder = TempDir::new().expect("a folder");
    let mut config = paper(folder.path());
    config.training.freeze = freeze.iter().map(|it| (*it).to_owned()).collect();
    config.training.train_batch_size = records;
    config.training.gradient_accumulation_steps = 1;
    config.training.workers = 1;
    let assumed = Assumed {
        records: 9,
        shape: SHAPE,
        flops: None,
        devices: 1,
    };
    let mut plan = plan(&config, &toy(tied), &assumed);
    let memory = &mut plan.memory;
    for bytes in [
        &mut memory.weights,
        &mut memory.gradients,
        &mut memory.moments,
        &mut memory.activations,
        &mut memory.peak,
    ] {
        assert_eq!(*bytes % 4, 0, "f32 throughout");
        *bytes /= 4;
    }
    plan
}

#[test]
fn a_toy_takes_what_it_takes_on_paper() {
    // Queries 32·32 + 32, keys and values 32·16 + 16 each, 32·32 out, 3·32·48, two norms; two layers and a norm.
    let decoder = 2 * (1056 + 528 + 528 + 1024 + 4608 + 64) + 32;
    // Queries, keys and values 16·48 + 48, 16·16 + 16 out, 3·16·24 and biases, two norms; two blocks and the patches' projection.
    let vision = 2 * (816 + 272 + 1152 + 24 + 24 + 16 + 32) + 16 * 1176;
    // A norm, 64·64 + 64, 64·32 + 32.
    let merger = 16 + 4160 + 2080;
    let words = 400 * 32;
    let plan = toy_plan(false, &[], 1);
    for (room, parameters) in [
        (Room::Vision, vision),
        (Room::Merger, merger),
        (Room::Embedding, words),
        (Room::Decoder, decoder),
        (Room::Head, words),
    ] {
        assert_eq!(plan.rooms[&room].parameters, parameters, "{room:?}");
        assert_eq!(plan.rooms[&room].trained, parameters, "{room:?}");
    }
    let all = vision + merger + 2 * words + decoder;

    // 5 rows of the response through the head, scores kept.
    let head = 5 * (32 + 400);
    // 15 rows of 8·32 + 2·16 + 5·48 and 3·2·15² in each layer, 3·32 a row in the last norm.
    let text = 2 * (15 * (256 + 32 + 240) + 3 * 2 * 225) + 15 * 96;
    // 20 patches of 10·16 + 5·24 in each block, and their pixels; one block sees 16² and 4² pairs, the other as many, since 16 patches
    // are less than a window of 64.
    let pairs = 2 * (16 * 16 + 4 * 4);
    let tower = 2 * 20 * (160 + 120) + 20 * 1176 + 3 * 2 * pairs;
    let merged = 20 * 5 * 16;
    let passing = 3 * 5 * 400; // the scores are the largest tensor
    let memory = plan.memory;
    assert_eq!(
        (memory.weights, memory.gradients, memory.moments),
        (all, all, 2 * all)
    );
    assert_eq!(memory.activations, head + text + tower + merged + passing);
    // A step of the optimizer takes more than this pass: three times the projection of the patches, the largest parameter.
    let largest = 16 * 1176;
    assert!(3 * largest < memory.activations);
    assert_eq!(memory.peak, 4 * all + memory.activations);

    // Two products for every trained weight and row beside the forward one, four numbers a pair of rows or patches and width.
    let flops = 6 * (vision * 20 + merger * 5 + decoder * 15 + words * 5)
        + 12 * (16 * pairs + 32 * 2 * 225);
    assert!(
        (plan.flops_per_step - flops as f64).abs() < 0.5,
        "{}",
        plan.flops_per_step
    );

    let three = toy_plan(false, &[], 3).memory;
    assert_eq!(
        three.activations,
        3 * (head + text + tower + merged + passing)
    );
    let frozen = toy_plan(false, &["visual"], 1);
    assert_eq!(frozen.memory.activations, head + text + passing);
    let flops = 2 * (vision * 20 + merger * 5)
        + 6 * (decoder * 15 + words * 5)
        + 4 * 16 * pairs
        + 12 * 32 * 2 * 225;
    assert!((frozen.flops_per_step - flops as f64).abs() < 0.5);
    // Of the head alone: nothing before it wants a gradient.
    let head_only = toy_plan(false, &["visual", "model."], 1);
    assert_eq!(head_only.memory.activations, head + passing);
    assert_eq!(head_only.memory.gradients, words);
    let flops = 2 * (vision * 20 + merger * 5 + decoder * 15)
        + 4 * words * 5
        + 4 * (16 * pairs + 32 * 2 * 225);
    assert!((head_only.flops_per_step - flops as f64).abs() < 0.5);
    // The largest tensor of a step of the optimizer counts where a pass takes less.
    let stepping = words + 3 * words;
    assert_eq!(
        head_only.memory.peak,
        all + 2 * words + stepping.max(words + head + passing)
    );
}

/// Stage 2 of the toy, whose tower is frozen: three answers to a question, one question a batch.
#[test]
fn a_group_takes_what_it_takes_on_paper() {
    let mut config = GrpoConfig::read(&root().join("configs/mini-grpo.toml")).expect("ours");
    config.grpo.num_generations = 3;
    config.grpo.beta = 0.1;
    config.grpo.num_iterations = 2;
    config.training.train_batch_size = 1;
    config.training.workers = 1;
    config.training.num_train_epochs = 2;
    let assumed = plan::grpo::Assumed {
        questions: [4, 100],
        shape: SHAPE,
        flops: Some(1e9),
        bytes: Some(1e3),
        devices: 1,
    };
    let mut taken = |beta, bytes| {
        config.grpo.beta = beta;
        let assumed = plan::grpo::Assumed { bytes, ..assumed };
        plan::grpo::plan(&config, &toy(false), &assumed)
    };
    let made = taken(0.1, Some(1e3));
    let of = |room| made.rooms[&room].parameters;
    let (vision, merger, decoder) = (of(Room::Vision), of(Room::Merger), of(Room::Decoder));
    let words = of(Room::Head);
    let (all, trained) = (vision + merger + 2 * words + decoder, 2 * words + decoder);
    // A question of 11 rows and three times 4: the last token of an answer predicts nothing.
    let (rows, pairs, scored) = (23, 11 * 11 + 3 * 4 * 15, 15);
    let kept = scored * 432 + 2 * (rows * 528 + 3 * 2 * pairs) + rows * 96 + 3 * scored * 400;
    let drawing = all + 64 * 16 * 64; // 64 sequences of 16 tokens, keys and values of 16 in two layers
    let memory = made.memory;
    assert_eq!(memory.weights, 4 * all);
    assert_eq!(memory.reference, 4 * trained);
    assert_eq!(
        (memory.gradients, memory.moments),
        (4 * trained, 8 * trained)
    );
    assert_eq!(
        (memory.activations, memory.drawing),
        (4 * kept, 4 * drawing)
    );
    let most = (trained + kept).max(trained + 3 * words).max(drawing);
    assert_eq!(memory.peak, 4 * (all + 3 * trained + most));
    // 4 hard questions with 4 easy ones, then with 2; two updates each.
    assert_eq!(
        (&made.epochs[..], made.batches, made.steps),
        (&[8, 6][..], 14, 28)
    );

    let pixels = 2 * (16 * 16 + 4 * 4);
    let frozen = 2 * (vision * 20 + merger * 5) + 4 * 16 * pixels;
    let numbers = decoder * rows + words * scored;
    let still = (frozen + 2 * numbers + 4 * 32 * 2 * pairs) as f64;
    let learning = (frozen + 6 * numbers + 12 * 32 * 2 * pairs) as f64;
    assert_eq!(
        (made.flops_drawn, made.flops_learned),
        (still, 2.0 * learning + still)
    );
    // Five steps, each over the weights behind the tower and 13 tokens of three answers on average.
    let read = (5 * 4 * (all - vision - merger + 3 * 13 * 64)) as f64;
    assert_eq!((made.sequences, made.bytes_drawn), (3, read));
    let seconds = |plan: &plan::grpo::GrpoPlan| plan.seconds.expect("the speed was given");
    let slow = 14.0 * (read / 1e3 + made.flops_learned / 1e9);
    assert!((seconds(&made) / slow - 1.0).abs() < 1e-12);

    let free = taken(0.0, None);
    assert_eq!(
        (free.memory.reference, free.flops_learned),
        (0, 2.0 * learning)
    );
    let fast = 14.0 * (still + free.flops_learned) / 1e9;
    assert!((seconds(&free) / fast - 1.0).abs() < 1e-12);
}

/// The first of several devices has its share of the workers, and another's sum comes to it.
#[test]
fn devices_share_the_work() {
    let folder = TempDir::new().expect("a folder");
    let mut config = paper(folder.path());
    config.training.workers = 8;
    let sizes = network(&config).expect("config.json is there");
    let on = |devices| {
        let assumed = Assumed {
            records: 3865,
            shape: Shape::longest(config.training.target),
            flops: Some(1e14),
            devices,
        };
        plan(&config, &sizes, &assumed)
    };
    let (one, eight) = (on(1), on(8));
    let trained = one.memory.moments / 2;
    assert_eq!(one.memory.gradients, 2 * 8 * trained);
    assert_eq!(eight.memory.gradients, 2 * trained + trained);
    assert_eq!(eight.memory.activations * 8, one.memory.activations);
    let seconds = |plan: &Plan| plan.seconds.expect("the speed was given");
    assert!((seconds(&one) / seconds(&eight) - 8.0).abs() < 1e-9);
}

#[test]
fn a_tied_head_costs_as_much_as_one_of_its_own() {
    let (own, tied) = (toy_plan(false, &[], 1), toy_plan(true, &[], 1));
    assert!(!tied.rooms.contains_key(&Room::Head));
    assert!((own.flops_per_step - tied.flops_per_step).abs() < 0.5);
    let freeze = ["model.embed_tokens", "lm_head"];
    let (own, tied) = (toy_plan(false, &freeze, 1), toy_plan(true, &freeze, 1));
    assert!((own.flops_per_step - tied.flops_per_step).abs() < 0.5);
}

#[test]
fn workers_without_a_share_do_not_count() {
    let folder = TempDir::new().expect("a folder");
    let mut config = paper(folder.path());
    // Passes of 2, so that the fifth has nothing to do.
    config.training.train_batch_size = 8;
    config.training.workers = 5;
    let plan = planned(&config);
    assert_eq!((plan.records_per_pass, plan.workers), (2, 4));
}

#[test]
fn every_shipped_recipe_parses() {
    for entry in std::fs::read_dir(root().join("configs")).expect("the recipes are there") {
        let path = entry.expect("readable").path();
        let read = if path.to_string_lossy().contains("grpo") {
            GrpoConfig::read(&path).map(drop)
        } else {
            SftConfig::read(&path).map(drop)
        };
        read.unwrap_or_else(|error| panic!("{error}"));
    }
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

/// Each worker has a copy of the weights in bf16, unless it computes block by block.
#[test]
fn what_is_rounded_is_held_twice() {
    let folder = TempDir::new().expect("a folder");
    let mut config = paper(folder.path());
    config.training.workers = 2;
    let mut activations = |bf16, again| {
        config.training.bf16 = bf16;
        config.training.gradient_checkpointing = again;
        planned(&config).memory.activations
    };
    assert_eq!(
        activations(true, false) - activations(false, false),
        2 * 2 * 8_292_166_656
    );
    assert_eq!(activations(true, true), activations(false, true));
    assert!(activations(false, true) < activations(false, false));
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
