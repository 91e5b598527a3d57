//! `data split-hard` with the shipped model on facts it knows: some are given a wrong label, one a text that no model may read.

mod binary;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use binary::more_r1;

const FACTS: usize = 9;

/// A folder with facts that nothing is wrong with, but for the fourth (another label) and the sixth (a control token in its text).
fn corpus() -> TempDir {
    let folder = TempDir::new().expect("a folder for the test");
    let facts = FACTS.to_string();
    let args = [
        "data", "synth", "--out", "data", "--seed", "9", "--train", "1", "--dev", "1", "--test",
    ];
    let output = more_r1(folder.path(), &[&args[..], &[&facts]].concat());
    assert!(output.status.success(), "{output:?}");
    let path = folder.path().join("data/test.jsonl");
    let text = fs::read_to_string(&path).expect("just written");
    let facts = text.lines().enumerate().map(|(row, line)| {
        let mut fact: Value = serde_json::from_str(line).expect("a fact");
        if row == 3 {
            fact["relation"] = json!("/loc/loc/contain");
        }
        if row == 5 {
            fact["text"] = json!("<|im_end|> and more");
        }
        format!("{fact}\n")
    });
    let facts: Vec<String> = facts.collect();
    assert_eq!(facts.len(), FACTS);
    fs::write(folder.path().join("facts.jsonl"), facts.concat()).expect("a new file");
    folder
}

fn split(folder: &Path, out: &str, more: &[&str]) -> Output {
    let args = [
        "data",
        "split-hard",
        "--data",
        "facts.jsonl",
        "--images",
        "data/images",
        "--batch-size",
        "2",
        "--out",
        out,
    ];
    more_r1(folder, &[&args, more].concat())
}

fn lines(path: impl AsRef<Path>) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("it was written");
    let read = |line| serde_json::from_str(line).expect("a line of JSON");
    text.lines().map(read).collect()
}

/// The one line a refused command deserves.
fn refused(output: &Output) -> String {
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

const FILES: [&str; 4] = ["easy.jsonl", "hard.jsonl", "refused.jsonl", "answers.jsonl"];

#[test]
fn right_answers_are_easy_others_hard_and_some_records_are_refused() {
    let folder = corpus();
    let output = split(folder.path(), "out", &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let out = folder.path().join("out");
    let facts = lines(folder.path().join("facts.jsonl"));
    let [easy, hard, refused_facts, answers] = FILES.map(|name| lines(out.join(name)));
    let answers = &answers[1..];
    assert_eq!(answers.len(), FACTS);
    // Whoever said what the fact says is easy; the order stays, and so does the fact.
    let said = |row: usize| answers[row]["said"] == facts[row]["relation"];
    let kind = |wanted: bool| -> Vec<Value> {
        let rows = (0..FACTS).filter(|&row| row != 5 && said(row) == wanted);
        rows.map(|row| facts[row].clone()).collect()
    };
    assert_eq!((&easy, &hard), (&kind(true), &kind(false)));
    assert!(easy.len() >= 5, "the mini knows its world: {answers:?}");
    assert!(hard.contains(&facts[3]));
    assert_eq!(refused_facts, [facts[5].clone()]);
    assert_eq!(answers[5]["said"], Value::Null);
    assert_eq!(answers[5]["refused"], json!(true));
    assert!(answers[3].get("refused").is_none());
    let fault = answers[5]["fault"].as_str().expect("a reason");
    assert!(fault.contains("text"), "{fault}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let counts = |report: &Value| {
        let count = |key: &str| report[key].as_u64().expect("a count") as usize;
        (count("easy"), count("hard"))
    };
    assert_eq!(counts(&report), (easy.len(), hard.len()));
    let few = ["records", "refused", "unparsable", "kept"].map(|key| &report[key]);
    assert_eq!(few, [&json!(FACTS), &json!(1), &json!(0), &json!(0)]);
    let (none, other) = (counts(&report["none"]), counts(&report["other"]));
    assert_eq!((none.0 + other.0, none.1 + other.1), counts(&report));
    assert_eq!(counts(&report["relations"]["/loc/loc/contain"]).1, 1);
    assert!(!folder.path().join("out.part").exists());
    assert!(refused(&split(folder.path(), "out", &["--resume"])).contains("out: is there already"));

    // The first facts alone, in words.
    let output = split(folder.path(), "few", &["--limit", "2"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.starts_with("records     2\n"), "{table}");
    let few = FILES.map(|name| lines(folder.path().join("few").join(name)).len());
    assert_eq!((few[0] + few[1], few[2], few[3]), (2, 0, 3));
    // A path that ends in `..` names no folder to write.
    assert!(refused(&split(folder.path(), "few/..", &[])).contains("few/.."));
}

#[test]
fn an_interrupted_split_ends_where_an_uninterrupted_one_does() {
    let folder = corpus();
    let read = |out: &str| {
        FILES.map(|name| fs::read(folder.path().join(out).join(name)).expect("written"))
    };
    let output = split(folder.path(), "whole", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");

    // A kill leaves the answers so far, and may leave a line without its end.
    let kept = 4;
    let whole = fs::read_to_string(folder.path().join("whole/answers.jsonl")).expect("written");
    let answered: Vec<&str> = whole.lines().take(1 + kept).collect();
    let torn = answered.join("\n") + "\n{\"row\":";
    let journal = folder.path().join("cut.part/answers.jsonl");
    fs::create_dir(folder.path().join("cut.part")).expect("a new folder");
    fs::write(&journal, &torn).expect("a new file");
    let facts = lines(folder.path().join("facts.jsonl"));
    let photo = |row: usize| {
        let name = facts[row]["img_id"].as_str().expect("a name");
        folder.path().join("data/images").join(name)
    };
    assert!(refused(&split(folder.path(), "cut", &[])).contains("--resume"));
    let other = refused(&split(folder.path(), "cut", &["--resume", "--limit", "8"]));
    assert!(other.contains("another number of records"), "{other}");
    // The answers of another model are not gone on with.
    let head: Value = serde_json::from_str(answered[0]).expect("a line of JSON");
    let hash = head["model"].as_str().expect("a digest");
    fs::write(&journal, torn.replace(hash, "0123")).expect("writable");
    let other = refused(&split(folder.path(), "cut", &["--resume"]));
    assert!(
        other.contains("cut.part") && other.contains("another model"),
        "{other}"
    );
    fs::write(&journal, &torn).expect("writable");

    // A photo that is not there is found out before the next answer; those so far stay.
    let hidden = folder.path().join("hidden");
    fs::rename(photo(FACTS - 1), &hidden).expect("it is there");
    let line = refused(&split(folder.path(), "cut", &["--resume"]));
    assert!(line.contains("facts.jsonl: record "), "{line}");
    assert_eq!(lines(&journal).len(), 1 + kept);
    fs::rename(&hidden, photo(FACTS - 1)).expect("it is there");

    // What was answered is not asked again: its photos are gone.
    let asked: Vec<_> = (kept..FACTS).map(photo).collect();
    for photo in (0..kept).map(photo).filter(|photo| !asked.contains(photo)) {
        let _ = fs::remove_file(photo); // Several facts are about one photo.
    }
    let output = split(folder.path(), "cut", &["--resume", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["kept"], json!(kept), "{output:?}");
    assert!(read("cut") == read("whole"), "the files differ");
}

#[test]
fn facts_that_cannot_be_judged_are_refused_before_any_answer() {
    let folder = corpus();
    let path = folder.path().join("facts.jsonl");
    let facts = fs::read_to_string(&path).expect("written");
    fs::write(&path, facts.replace("/loc/loc/contain", "/loc/loc/near")).expect("writable");
    let line = refused(&split(folder.path(), "out", &[]));
    assert!(line.contains("/loc/loc/near"), "{line}");
    let named = |facts: &[Value]| {
        let facts: Vec<String> = facts.iter().map(|it| format!("{it}\n")).collect();
        fs::write(&path, facts.concat()).expect("writable");
        refused(&split(folder.path(), "out", &[]))
    };
    let good: Vec<Value> = facts
        .lines()
        .map(|line| serde_json::from_str(line).expect("a fact"))
        .collect();
    let mut outside = good.clone();
    outside[6]["t"]["pos"] = json!([1.5, 0.5, 0.2, 0.2]);
    let line = named(&outside);
    assert!(line.contains("facts.jsonl: record 7: "), "{line}");
    for image in ["nowhere.jpg", "text.jpg"] {
        fs::write(folder.path().join("data/images/text.jpg"), "no image").expect("a new file");
        let mut bad = good.clone();
        bad[FACTS - 1]["img_id"] = json!(image);
        let line = named(&bad);
        let number = format!("facts.jsonl: record {FACTS}: ");
        assert!(line.contains(&number) && line.contains(image), "{line}");
    }
    fs::remove_file(&path).expect("it is there");
    assert!(refused(&split(folder.path(), "out", &[])).contains("--data facts.jsonl"));
    for name in ["out", "out.part"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}
