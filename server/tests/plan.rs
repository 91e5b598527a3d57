//! `more-r1 train … --dry-run`: the plan as it is printed, of a network that is nothing but its `config.json`.

mod binary;

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use binary::more_r1;

/// A recipe over a golden checkpoint, of which nothing but `config.json` is there.
fn write(folder: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden/b/config.json");
    fs::copy(golden, folder.join("config.json")).expect("writable");
    let recipe = r#"
run_dir = "run"
[model]
from = "."
[data]
train = "gone.jsonl"
images = "gone"
[training]
num_train_epochs = 2.0
train_batch_size = 4
gradient_accumulation_steps = 2
learning_rate = 1e-3
warmup_ratio = 0.0
max_grad_norm = 1.0
freeze = ["visual"]
templates = ["paper"]
seed = 1
save_steps = 1
"#;
    fs::write(folder.join("run.toml"), recipe).expect("writable");
}

fn train(folder: &Path, args: &[&str]) -> Output {
    let train = ["train", "sft", "--config", "run.toml"];
    more_r1(folder, &[&train, args].concat())
}

#[test]
fn a_plan_needs_no_weights_and_leaves_nothing() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path());
    let args = ["--dry-run", "--records", "100", "--tflops", "0.1"];
    let output = train(folder.path(), &args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    let printed = String::from_utf8(output.stdout).expect("text");
    for line in [
        "embedding              18432           18432", // 384 × 48
        "head                   18432           18432",
        "25 steps of 8 records, of 100 records in all; passes of 4 by 1 workers at once, on one device",
        "16768 tokens a step, if each record has 1024 of the photo, 256 of the crop, 416 of the prompt, 400 of the response",
    ] {
        assert!(printed.lines().any(|it| it == line), "{line}: {printed}");
    }
    assert!(printed.trim_end().ends_with("hours"), "{printed}");
    assert!(!folder.path().join("run").exists(), "nothing is trained");
}

#[test]
fn stage_2_has_a_plan_too() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path());
    let recipe = r#"
run_dir = "run"
model = "."
[data]
hard = "gone.jsonl"
easy = "gone.jsonl"
images = "gone"
[mixing]
strategy = "progressive"
[grpo]
num_generations = 4
max_completion_length = 100
[training]
num_train_epochs = 3
train_batch_size = 8
learning_rate = 1e-6
warmup_ratio = 0.0
max_grad_norm = 1.0
seed = 1
save_steps = 2
"#;
    fs::write(folder.path().join("run.toml"), recipe).expect("writable");
    let train = |args: &[&str]| {
        let train = ["train", "grpo", "--config", "run.toml", "--dry-run"];
        more_r1(folder.path(), &[&train, args].concat())
    };
    let records = ["--records", "100", "--easy-records", "900"];
    let speeds = [
        "--tflops",
        "0.1",
        "--gbs",
        "10",
        "--device",
        "cuda:0,cuda:1",
    ];
    let output = train(&[&records[..], &speeds].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    let printed = String::from_utf8(output.stdout).expect("text");
    for line in [
        "120 updates in 60 batches of 8 questions, on 2 devices, of which the first has the bytes above; of 100 hard and 900 easy \
         ones the epochs ask 200, 150, 125",
        "4 answers to a question, 16 drawn at once, if each has 1024 of the photo, 256 of the crop, 416 of the prompt, 100 of the \
         response",
    ] {
        assert!(printed.lines().any(|it| it == line), "{line}: {printed}");
    }
    for part in ["reference ", "drawing ", "bytes read to draw", "hours"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert!(!folder.path().join("run").exists(), "nothing is trained");

    for (args, part) in [
        (&[][..], "gone.jsonl"),
        (&["--easy-records", "9"], "--records"),
    ] {
        let output = train(args);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(line.contains(part), "{args:?}: {line}");
    }
}

#[test]
fn a_plan_says_what_it_is_missing() {
    let folder = TempDir::new().expect("a folder");
    write(folder.path());
    for (args, part) in [
        (&["--dry-run"][..], "--records"),
        (&["--tflops", "1"], "--dry-run"),
        (
            &["--dry-run", "--records", "9", "--tflops", "0"],
            "--tflops",
        ),
    ] {
        let output = train(folder.path(), args);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(line.contains(part), "{args:?}: {line}");
    }
    fs::remove_file(folder.path().join("config.json")).expect("written above");
    let output = train(folder.path(), &["--dry-run", "--records", "9"]);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(line.contains("config.json"), "{line}");
}
