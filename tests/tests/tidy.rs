//! Rules about the repository: what is promised in documents is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_problem_is_documented() {
    let document = read("docs/protocol.md");
    for slug in server::error::SLUGS {
        assert!(
            document.contains(&format!("`{slug}`")),
            "docs/protocol.md does not list {slug}"
        );
    }
}

/// Threads in which users of other engines complained; each is named at the test that keeps it from happening here.
#[test]
fn every_complaint_has_its_test() {
    let places = [
        "tests/tests/complaints.rs",
        "tests/tests/http.rs",
        "model/tests/laws.rs",
        "model/tests/golden.rs",
    ];
    let sources = places.map(read).concat();
    for thread in [
        "QwenLM/Qwen3-VL#676, #1210, #1035",
        "llama.cpp#16880",
        "sglang#33464, llama.cpp#20870, ollama#18418",
        "vllm#15294, lmdeploy#3780, sglang#28587",
        "vllm#15080, ollama#11297",
        "vllm#9567, #27059",
        "vllm#9238, #29869, #58192",
        "vllm PR#17378",
        "LMCache#3301",
        "vllm#12619, #18255",
        "verl#3469, R1-V#91",
        "vllm#54947",
        "vllm#33871, sglang#3746",
        "CVE-2026-22778",
    ] {
        assert!(sources.contains(thread), "no test names {thread}");
    }
}

#[test]
fn every_source_file_has_a_header() {
    for room in [
        "proto", "vision", "model", "train", "bench", "server", "tests",
    ] {
        for folder in ["src", "tests"] {
            visit(&root().join(room).join(folder));
        }
    }
}

fn visit(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            visit(&path);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            assert!(text.starts_with("//! "), "{} has no header", path.display());
        }
    }
}
