//! The binary as a shell sees it: exit codes and one clear line.

mod binary;

use std::path::Path;
use std::process::Output;

use binary::more_r1;

fn run(args: &[&str]) -> Output {
    more_r1(Path::new("."), args)
}

/// Arguments, then a part of the one line they deserve.
const WRONG: [(&[&str], &str); 21] = [
    (&[], "command"),
    (&["frobnicate"], "frobnicate"),
    (&["extract"], "--image"),
    (&["serve", "--listen", "nowhere"], "--listen"),
    (&["serve", "--queue", "0"], "--queue"),
    (&["serve", "--colour", "red"], "--colour"),
    (&["serve", "--model", "no/such/folder"], "no/such/folder"),
    (&["serve", "--log", "a=b=c"], "--log"),
    (
        &[
            "extract", "--image", "x", "--bbox", "1,2,3", "--text", "t", "--entity", "t",
        ],
        "bbox",
    ),
    (
        &[
            "extract",
            "--image",
            "x",
            "--bbox",
            "1,2,3,4",
            "--box-format",
            "yolo",
            "--text",
            "t",
            "--entity",
            "t",
        ],
        "yolo",
    ),
    (&["generate", "--model", "."], "--prompt"),
    (
        &["preprocess", "--model", ".", "--image", "none.png"],
        "--model .",
    ),
    (
        &["health", "--url", "ftp://example.org"],
        "ftp://example.org",
    ),
    (&["data", "synth"], "--out"),
    (&["serve", "--device", "gpu"], "auto, cpu, cuda, cuda:0"),
    (&["serve", "--device", ""], "auto, cpu, cuda, cuda:0"),
    (
        &["generate", "--prompt", "x", "--device", "cuda:-1"],
        "auto, cpu, cuda, cuda:0",
    ),
    (
        &["train", "sft", "--config", "none", "--device", "cpu,tpu"],
        "auto, cpu, cuda, cuda:0",
    ),
    (&["serve", "--quantize", "int3"], "int3"),
    // What is rounded cannot learn, and cannot be merged into a checkpoint.
    (
        &["train", "sft", "--config", "x.toml", "--quantize", "int8"],
        "--quantize",
    ),
    (
        &[
            "merge",
            "--adapter",
            "x",
            "--out",
            "y",
            "--quantize",
            "int8",
        ],
        "--quantize",
    ),
];

#[test]
fn wrong_arguments_end_with_2_and_one_line() {
    for (args, part) in WRONG {
        let output = run(args);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert_eq!(line.lines().count(), 1, "{args:?}: {line}");
        assert!(
            line.starts_with("error: ") && line.contains(part),
            "{args:?}: {line}"
        );
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_gpu_needs_the_feature_and_auto_does_not_mention_it() {
    let ask = |device: &str| {
        run(&[
            "generate",
            "--prompt",
            "x",
            "--device",
            device,
            "--max-new-tokens",
            "1",
        ])
    };
    for device in ["cuda", "cuda:1"] {
        let output = ask(device);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            line.contains(device) && line.contains("--features cuda"),
            "{line}"
        );
    }
    let output = ask("auto");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("CUDA"),
        "{output:?}"
    );
}

#[test]
fn help_is_no_error() {
    for args in [
        ["--help", "--log=info"],
        ["serve", "--help"],
        ["extract", "--help"],
        ["--version", "--log=info"],
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn health_without_a_service_ends_with_1() {
    // Port 9 (discard) is closed wherever tests run.
    let output = run(&["health", "--url", "http://127.0.0.1:9/readyz"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
