//! `more-r1 bench` as a shell sees it: lines that say what they are, files that others can read, limits that are kept.

mod binary;

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use binary::more_r1;

fn lines(text: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    text.lines().map(parse).collect()
}

#[test]
fn every_part_gives_lines_that_stand_for_themselves() {
    let folder = TempDir::new().expect("a folder");
    let quick = [
        "--json",
        "--log",
        "error",
        "bench",
        "--device",
        "cpu",
        "--budget-seconds",
        "4",
        "--batches",
        "1,2",
        "--contexts",
        "40",
        "--requests",
        "3",
        "--max-sequences",
        "2",
        "--out",
        "lines.jsonl",
        "--write-hf",
        "hf",
        "--revision",
        "abc",
        "--peak-tflops",
        "1",
        "--peak-gbs",
        "100",
    ];
    let output = more_r1(folder.path(), &quick);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let kept = fs::read_to_string(folder.path().join("lines.jsonl")).expect("written");
    assert_eq!(printed, kept);
    let lines = lines(&printed);
    let parts: BTreeSet<&str> = lines.iter().filter_map(|it| it["part"].as_str()).collect();
    let all = [
        "attention",
        "decode",
        "greedy",
        "matmul",
        "memory",
        "prefill",
        "ready",
        "samples",
        "vision",
    ];
    assert!(parts.iter().eq(all.iter()), "{parts:?}");
    for line in &lines {
        for (key, value) in [
            ("who", "more-r1"),
            ("device", "cpu"),
            ("dtype", "f32"),
            ("shape", "mini"),
            ("revision", "abc"),
        ] {
            assert_eq!(line[key], value, "{line}");
        }
        let date = line["date"].as_str().expect("a date");
        assert!(date.starts_with("20") && date.ends_with('Z'), "{line}");
        let figure = line["median"].as_f64().is_some_and(|it| it > 0.0);
        let why = line["note"]
            .as_str()
            .is_some_and(|it| it.starts_with("not measured"));
        assert!(figure || why || line["ids"].is_array(), "{line}");
        if let (Some(min), Some(max)) = (line["min"].as_f64(), line["max"].as_f64()) {
            let median = line["median"].as_f64().expect("with its ends");
            assert!(min <= median && median <= max && line["repeats"].as_u64() > Some(0));
        }
    }
    let greedy = lines.iter().filter(|it| it["part"] == "greedy");
    assert!(greedy.clone().count() == 2);
    assert!(
        greedy
            .clone()
            .all(|it| it["ids"].as_array().is_some_and(|ids| ids.len() == 32))
    );
    let predicted = lines.iter().filter(|it| it["part"] == "decode");
    assert!(
        predicted
            .clone()
            .all(|it| it["predicted"].as_f64() > Some(0.0))
    );

    // The same weights from the folder, as any checkpoint: the same tokens.
    let again = [
        "--json", "--log", "error", "bench", "greedy", "--device", "cpu", "--model", "hf",
    ];
    let output = more_r1(folder.path(), &again);
    let printed = String::from_utf8(output.stdout).expect("text");
    let again = self::lines(&printed);
    assert_eq!(
        again.len(),
        2,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(again.iter().all(|it| it["shape"] == "hf"));
    assert!(again.iter().zip(greedy).all(|(a, b)| a["ids"] == b["ids"]));
}

#[test]
fn wrong_wishes_name_the_flag() {
    let folder = TempDir::new().expect("a folder");
    for (args, part) in [
        (&["bench", "speed"][..], "speed"),
        (&["bench", "--shape", "70b"], "70b"),
        (&["bench", "--budget-seconds", "0"], "--budget-seconds"),
        (&["bench", "--batches", "8,0"], "--batches"),
        (&["bench", "--model", "x", "--shape", "7b"], "--shape"),
        (
            &["bench", "memory", "--out", "no/such/folder"],
            "--out no/such/folder",
        ),
    ] {
        let output = more_r1(folder.path(), args);
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {line}");
        assert_eq!(line.lines().count(), 1, "{args:?}: {line}");
        assert!(line.contains(part), "{args:?}: {line}");
    }
}
