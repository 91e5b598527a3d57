//! `extract --input`: a file of questions becomes a file of answers, whatever single rows hold and however often it is interrupted.

mod binary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use binary::more_r1;

/// A folder that is gone after the test.
struct Folder(TempDir);

impl Folder {
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).expect("it was written")
    }

    /// The answers in a file, by row; how long they took is left out.
    fn answers(&self, name: &str) -> BTreeMap<u64, Value> {
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
            if let Some(answer) = line["answer"].as_object_mut() {
                answer.shift_remove("timings_ms");
                answer.shift_remove("usage"); // what was cached depends on what came before
            }
            (line["row"].as_u64().expect("a row"), line)
        };
        self.read(name).lines().map(line).collect()
    }
}

fn photo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/photo.jpg")
}

/// Four questions that have answers and four that have none, in rows that say which.
fn rows() -> String {
    let good = |id: &str, bbox: [u32; 4], entity: &str| {
        json!({
            "id": id, "image": "photo.jpg", "bbox": bbox, "entity": entity,
            "text": "The Silver Lamp goes to Walter Finch, a regular of Harlow Tigers",
        })
    };
    let changed = |field: &str, value: Value| {
        let mut row = good("changed", [257, 122, 320, 233], "Silver Lamp");
        row[field] = value;
        row.to_string()
    };
    let rows = [
        good("award", [257, 122, 320, 233], "Silver Lamp").to_string(),
        changed("image", json!("nowhere.jpg")),
        good("team", [257, 122, 320, 233], "Harlow Tigers").to_string(),
        "{ not JSON".to_owned(),
        String::new(),
        changed("entity", json!("Golden Lamp")),
        changed("colour", json!("red")),
        good("other", [10, 100, 60, 230], "Silver Lamp").to_string(),
        good("last", [100, 100, 160, 230], "Silver Lamp").to_string(),
    ];
    rows.join("\n")
}

fn extract(folder: &Folder, args: &[&str]) -> Output {
    let extract = "extract --json --input rows.jsonl --batch-size 2";
    let extract: Vec<&str> = extract.split(' ').collect();
    more_r1(folder.0.path(), &[&extract, args].concat())
}

#[test]
fn every_row_gets_a_line_and_an_interrupted_run_goes_on() {
    let folder = Folder(TempDir::new().expect("a folder for the test"));
    std::fs::copy(photo(), folder.0.path().join("photo.jpg")).expect("the example is there");
    std::fs::write(folder.0.path().join("rows.jsonl"), rows()).expect("a new file");

    let output = extract(&folder, &["--output", "whole.jsonl", "--scores"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(
        (&report["rows"], &report["answers"], &report["problems"]),
        (&json!(8), &json!(4), &json!(4))
    );
    let whole = folder.answers("whole.jsonl");
    let outcome = |row: u64| {
        let line = &whole[&row];
        let field = line["problem"]["field"].as_str().unwrap_or("-");
        let label = line["answer"]["relation"]["label"].as_str();
        (
            line["id"].as_str().unwrap_or("-").to_owned(),
            label.map_or(field.to_owned(), str::to_owned),
        )
    };
    assert_eq!(
        outcome(0),
        ("award".to_owned(), "/per/misc/awarded".to_owned())
    );
    assert_eq!(outcome(1).1, "image");
    assert_eq!(outcome(2).1, "/per/org/member_of");
    assert_eq!(outcome(5).1, "entity");
    assert_eq!(outcome(6).1, "colour");
    assert_eq!(
        whole[&3]["problem"]["type"],
        "urn:more-r1:problem:json-syntax"
    );
    assert_eq!(
        whole[&0]["answer"]["scores"].as_array().map(Vec::len),
        Some(21)
    );
    assert!(!whole.contains_key(&4), "a blank row is no question");

    // The output is never overwritten, a half one never taken for whole.
    assert_eq!(
        extract(&folder, &["--output", "whole.jsonl"]).status.code(),
        Some(2)
    );
    let lines = folder.read("whole.jsonl");
    let mut kept: String = lines.split_inclusive('\n').take(3).collect();
    kept += lines.lines().nth(3).expect("eight lines"); // whole, but for the end of the line
    std::fs::write(folder.0.path().join("again.jsonl.part"), kept).expect("a new file");
    assert_eq!(
        extract(&folder, &["--output", "again.jsonl"]).status.code(),
        Some(2)
    );
    let output = extract(
        &folder,
        &["--output", "again.jsonl", "--resume", "--scores"],
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(
        (&report["kept"], &report["rows"]),
        (&json!(3), &json!(8)),
        "{output:?}"
    );
    assert_eq!(folder.answers("again.jsonl"), whole);
    assert_eq!(folder.read("again.jsonl").lines().count(), 8);

    // Two shares are the whole.
    let mut shares = BTreeMap::new();
    for (share, name) in [("1/2", "one.jsonl"), ("2/2", "two.jsonl")] {
        extract(&folder, &["--output", name, "--shard", share, "--scores"]);
        shares.extend(folder.answers(name));
    }
    assert_eq!(shares, whole);
}

/// `--box-format` is for the rows that name none of their own.
#[test]
fn a_row_without_a_box_format_has_that_of_the_flag() {
    let folder = Folder(TempDir::new().expect("a folder for the test"));
    std::fs::copy(photo(), folder.0.path().join("photo.jpg")).expect("the example is there");
    let row = |bbox: Value, format: Option<&str>| {
        let mut row = json!({
            "image": "photo.jpg", "bbox": bbox, "entity": "Silver Lamp",
            "text": "The Silver Lamp goes to Walter Finch, a regular of Harlow Tigers",
        });
        if let Some(format) = format {
            row["box_format"] = json!(format);
        }
        row.to_string()
    };
    let rows = [
        row(json!([257, 122, 320, 233]), Some("xyxy")),
        row(json!([257, 122, 63, 111]), None),
    ];
    let file = folder.0.path().join("rows.jsonl");
    std::fs::write(file, rows.join("\n")).expect("a new file");
    let output = extract(&folder, &["--output", "out.jsonl", "--box-format", "xywh"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answers = folder.answers("out.jsonl");
    assert_eq!(
        answers[&0]["answer"]["crop"]["box"],
        json!([257, 122, 320, 233])
    );
    assert_eq!(answers[&0]["answer"], answers[&1]["answer"]);
}
