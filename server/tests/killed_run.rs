//! `train sft` as a shell sees it: a run that is killed (`SIGKILL`) and started again ends where an undisturbed one does.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const STEPS: u64 = 12;

fn more_r1(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_more-r1"));
    command
        .args(args)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A run of [`STEPS`] steps on a network of toy size.
fn write_config(folder: &Path, run: &str) -> String {
    let name = format!("{run}.toml");
    let text = format!(
        r#"
run_dir = "{run}"
[data]
train = "data/train.jsonl"
images = "data/images"
[model.scratch]
vocab_size = 400
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
mrope_section = [2, 3, 3]
rope_theta = 10000.0
initializer_range = 0.02
min_pixels = 3136
max_pixels = 3136
[model.scratch.vision]
depth = 1
hidden_size = 16
intermediate_size = 24
num_heads = 2
fullatt_block_indexes = [0]
[training]
num_train_epochs = 2.0
train_batch_size = 4
workers = 2
group_by_photo = true
learning_rate = 3e-3
warmup_ratio = 0.1
max_grad_norm = 1.0
templates = ["prefix", "paper"]
seed = 5
save_steps = 2
"#
    );
    std::fs::write(folder.join(&name), text).expect("the temporary folder is writable");
    name
}

/// What a run computed: step, loss, rate and norm of every metric line.
fn losses(folder: &Path, run: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(run).join("metrics.jsonl"))
        .expect("the run wrote metrics");
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("whole lines");
            ["step", "loss", "lr", "grad_norm"]
                .map(|key| line[key].clone())
                .into()
        })
        .collect()
}

#[test]
fn a_killed_run_ends_where_an_undisturbed_one_does() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let run = |args: &[&str]| {
        let status = more_r1(folder.path(), args)
            .status()
            .expect("the binary runs");
        assert!(status.success(), "{args:?}: {status}");
    };
    run(&[
        "data", "synth", "--out", "data", "--seed", "4", "--train", "24", "--dev", "1", "--test",
        "1",
    ]);
    let whole = write_config(folder.path(), "whole");
    run(&["train", "sft", "--config", &whole]);

    let killed = write_config(folder.path(), "killed");
    let args = ["train", "sft", "--config", &killed];
    // Killed once before the first checkpoint may be there, once behind one, wherever the process then is.
    for checkpoint in ["base", "checkpoint-4"] {
        let mut child = more_r1(folder.path(), &args)
            .spawn()
            .expect("the binary runs");
        let begin = Instant::now();
        while !folder.path().join("killed").join(checkpoint).exists() {
            assert!(begin.elapsed() < Duration::from_mins(2), "no {checkpoint}");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("still our child");
        let status = child.wait().expect("still our child");
        assert!(!status.success(), "it was killed before its end");
    }
    run(&args);

    let (whole, killed) = (
        losses(folder.path(), "whole"),
        losses(folder.path(), "killed"),
    );
    assert_eq!(whole.len() as u64, STEPS);
    assert_eq!(whole, killed, "every loss, bit for bit");
    let weights = |run: &str| {
        let path = folder.path().join(run).join(format!("checkpoint-{STEPS}"));
        std::fs::read(path.join("model.safetensors")).expect("the last checkpoint")
    };
    assert!(weights("whole") == weights("killed"), "the weights differ");
}
