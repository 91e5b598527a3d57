//! `more-r1 eval --compare`: the table as it is printed, over reports as evaluations print them.

mod binary;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use binary::more_r1;

fn report(folder: &Path, file: &str, records: usize, scores: [f64; 4]) {
    let [accuracy, precision, recall, micro_f1] = scores;
    let report = json!({
        "records": records, "accuracy": accuracy, "precision": precision, "recall": recall, "micro_f1": micro_f1,
        "macro_f1": 0.5, "confusion": {}, "valid_traces": 1.0, "mean_characters": 900.0, "long_traces": 0.1, "ece": 0.1, "brier": 0.2,
        "per_relation": {"none": {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": records, "predicted": 5}},
        "samples/s": 7.2,
    });
    fs::write(folder.join(file), report.to_string()).expect("the folder is writable");
}

/// The paper's figures for the baseline and for both stages.
fn reports(folder: &Path) {
    report(folder, "label.json", 3036, [0.8264, 0.5508, 0.6484, 0.5956]);
    report(
        folder,
        "stage-1.json",
        3036,
        [0.8333, 0.6253, 0.6284, 0.6269],
    );
    report(
        folder,
        "more-r1.json",
        3036,
        [0.8491, 0.6588, 0.6983, 0.6780],
    );
}

fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

const FILES: [&str; 5] = [
    "eval",
    "--compare",
    "Label only=label.json",
    "stage-1.json",
    "MORE-R1=more-r1.json",
];

#[test]
fn the_table_is_the_papers() {
    let folder = TempDir::new().expect("a folder");
    reports(folder.path());
    let words = printed(&more_r1(folder.path(), &FILES));
    assert_eq!(
        words,
        concat!(
            "              Acc       P       R      F1        n\n",
            "Label only  82.64   55.08   64.84   59.56     3036\n",
            "stage-1     83.33   62.53   62.84   62.69     3036\n",
            "MORE-R1     84.91*  65.88*  69.83*  67.80*    3036\n",
        )
    );
    let markdown = [&FILES[..], &["--markdown"]].concat();
    assert_eq!(
        printed(&more_r1(folder.path(), &markdown)),
        "| | Acc | P | R | F1 | n |\n\
         |---|---|---|---|---|---|\n\
         | Label only | 82.64 | 55.08 | 64.84 | 59.56 | 3036 |\n\
         | stage-1 | 83.33 | 62.53 | 62.84 | 62.69 | 3036 |\n\
         | MORE-R1 | **84.91** | **65.88** | **69.83** | **67.80** | 3036 |\n"
    );
    let json = [&["--json"], &FILES[..]].concat();
    let json = printed(&more_r1(folder.path(), &json));
    let table: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(table["warnings"], json!([]));
    assert_eq!(
        table["rows"][2],
        json!({
            "name": "MORE-R1", "records": 3036,
            "accuracy": 0.8491, "precision": 0.6588, "recall": 0.6983, "f1": 0.678,
            "best": ["accuracy", "precision", "recall", "f1"],
        })
    );
}

#[test]
fn reports_on_other_records_are_warned_of() {
    let folder = TempDir::new().expect("a folder");
    reports(folder.path());
    report(folder.path(), "part.json", 100, [0.9, 0.9, 0.9, 0.9]);
    let words = printed(&more_r1(
        folder.path(),
        &["eval", "--compare", "label.json", "part.json"],
    ));
    let last = words.lines().last().unwrap_or_default();
    assert_eq!(last, "warning: part is about 100 records, label about 3036");
}

#[test]
fn what_is_no_report_ends_with_2() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("other.json"), "{\"records\": 3}").expect("writable");
    for (args, part) in [
        (&["eval", "--compare", "gone.json"][..], "gone.json"),
        (&["eval", "--compare", "other.json"], "not a report"),
        (&["eval", "--markdown"], "--compare"),
        (&["eval"], "--data"),
    ] {
        let output = more_r1(folder.path(), args);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert!(line.contains(part), "{args:?}: {line}");
    }
}
