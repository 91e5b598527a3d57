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

#[test]
fn every_source_file_has_a_header() {
    for room in ["proto", "vision", "model", "train", "server", "tests"] {
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
