//! The planned activations against the memory that a pass takes. Alone in its file: the process' memory is what is measured.
#![cfg(target_os = "linux")]

use burn::tensor::Device;
use model::init::Init;
use model::text::Positions;
use model::{Config, Qwen};
use serde_json::json;
use train::config::SftConfig;
use train::example::Example;
use train::loss::response_loss;
use train::optim::Grads;
use train::plan::{Assumed, Shape, plan};
use vision::{Grid, Patches};

/// How far plan and measurement may be apart, either way.
const FACTOR: f64 = 1.5;

const SHAPE: Shape = Shape {
    photo: 64,
    crop: 16,
    prompt: 500,
    response: 120,
};

/// Small weights, long rows: activations are nearly all there is.
fn sizes() -> Config {
    let json = json!({
        "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 8, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 512, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
        "max_position_embeddings": 4096, "tie_word_embeddings": true,
        "image_token_id": 3, "video_token_id": 4, "vision_start_token_id": 5,
        "vision_config": {
            "depth": 4, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "in_chans": 3,
            "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112,
            "fullatt_block_indexes": [1, 3], "out_hidden_size": 128
        }
    });
    Config::from_json(&json).expect("sizes that fit each other")
}

/// A record of [`SHAPE`].
fn example(config: &Config) -> Example {
    let picture = |side: usize| Patches {
        grid: Grid {
            t: 1,
            h: side,
            w: side,
        },
        pixels: vec![0.1; side * side * config.vision.patch_values()],
    };
    let patches = vec![picture(16), picture(8)]; // two patches a side make a token
    let mut ids = vec![config.vision_start_token_id];
    ids.extend(vec![config.image_token_id; SHAPE.photo]);
    ids.push(config.vision_start_token_id);
    ids.extend(vec![config.image_token_id; SHAPE.crop]);
    ids.extend((0..SHAPE.prompt as u32 - 2).map(|word| 10 + word % 400));
    let response = ids.len();
    ids.extend((0..SHAPE.response as u32).map(|word| 20 + word));
    let grids = [patches[0].grid, patches[1].grid];
    Example {
        axes: Positions::new(&ids, &grids, config).axes,
        response,
        weights: vec![1.0; SHAPE.response],
        patches,
        ids,
    }
}

/// Bytes that the system counts for this process under `key`.
fn bytes(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let line = line.expect("every process has it").trim_start_matches(':');
    let kibibytes = line.split_whitespace().next().expect("a number");
    kibibytes.parse::<f64>().expect("a number") * 1024.0
}

#[test]
fn a_pass_takes_the_memory_that_was_planned() {
    let recipe = r#"
        run_dir = "none"
        model.from = "none"
        data = { train = "none", images = "none" }
        [training]
        num_train_epochs = 1.0
        train_batch_size = 1
        learning_rate = 1e-3
        warmup_ratio = 0.0
        max_grad_norm = 1.0
        templates = ["paper"]
        seed = 1
        save_steps = 1
    "#;
    let recipe: SftConfig = toml::from_str(recipe).expect("a whole recipe");
    let config = sizes();
    let assumed = Assumed {
        records: 1,
        shape: SHAPE,
        flops: None,
    };
    let memory = plan(&recipe, &config, &assumed).memory;
    let planned = (memory.activations + memory.gradients) as f64;

    let network = Qwen::new(&config, &Init::normal(&Device::flex().autodiff(), 0.02, 1));
    let example = example(&config);
    let before = bytes("VmRSS");
    let loss = response_loss(&network, std::slice::from_ref(&example));
    let grads = Grads::take(&network, loss.backward());
    let taken = bytes("VmHWM") - before;
    assert!(grads.norm() > 0.0);
    let ratio = planned / taken;
    println!("planned {planned:.3e}, taken {taken:.3e}, ratio {ratio:.3}");
    assert!(
        (1.0 / FACTOR..FACTOR).contains(&ratio),
        "planned {planned:.3e}, taken {taken:.3e}"
    );
}
