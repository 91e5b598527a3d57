//! `more-r1 eval --label-only`, and its report in a comparison: the baseline from end to end, with the model inside the binary.

mod binary;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use binary::more_r1;

fn printed(folder: &Path, args: &[&str]) -> String {
    let output = more_r1(folder, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_baseline_is_evaluated_and_compared() {
    let folder = TempDir::new().expect("a folder");
    let folder = folder.path();
    printed(
        folder,
        &[
            "data", "synth", "--out", "data", "--train", "1", "--dev", "1", "--test", "4",
        ],
    );
    let data = ["--data", "data/test.jsonl", "--images", "data/images"];
    for (file, extra) in [("steps.json", None), ("label.json", Some("--label-only"))] {
        let mut args = vec!["--json", "eval", "--limit", "3"];
        args.extend(data);
        args.extend(extra);
        let report = printed(folder, &args);
        std::fs::write(folder.join(file), &report).expect("writable");
        let report: Value = serde_json::from_str(&report).expect("JSON");
        assert_eq!(report["valid_traces"], 1.0, "{file}");
        // A label alone states no types, so nothing is said about how they agree.
        for key in ["consistent_traces", "types_agree"] {
            assert_eq!(report.get(key).is_some(), extra.is_none(), "{file}: {key}");
        }
        let characters = report["mean_characters"].as_f64().expect("a number");
        assert_eq!(characters < 100.0, extra.is_some(), "{file}: {characters}");
    }
    let table = printed(folder, &["eval", "--compare", "steps.json", "label.json"]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "no warning: {table}");
    assert!(rows[1].starts_with("steps ") && rows[2].ends_with(" 3"));
}
