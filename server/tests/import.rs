//! `data import` and `data sample` as a shell sees them: what is printed, what is written, and how they end.

mod binary;

use std::fs;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

use binary::more_r1;

const ROW: &str = "{'img_id': 'a.png', 'token': ['Ann', 'Lee', 'won', 'the', 'Silver', 'Lamp'], \
    'h': {'name': ['Silver', 'Lamp'], 'pos': [4, 6]}, \
    't': {'name': 'ann lee', 'box': ('0.5','0.5','0.25','0.5')}, 'relation': 'RELATION'}\n";

/// A folder with a corpus of one image: two good rows and one whose label nobody knows.
fn corpus() -> TempDir {
    let folder = TempDir::new().expect("a folder for the test");
    let more = folder.path().join("MORE");
    fs::create_dir_all(more.join("txt")).expect("a new folder");
    fs::create_dir_all(more.join("img_org")).expect("a new folder");
    let rows = [
        ROW.replace("RELATION", "/per/misc/awarded"),
        ROW.replace("RELATION", "none").replace("ann lee", "lamp"),
        ROW.replace("RELATION", "/per/misc/won"),
    ];
    fs::write(more.join("txt/train.txt"), rows.concat()).expect("a new file");
    let relations = r#"{"none": 0, "/per/misc/awarded": 1}"#;
    fs::write(more.join("rel2id.json"), relations).expect("a new file");
    let pixels = RgbImage::from_pixel(64, 48, Rgb([200, 30, 30]));
    let saved = pixels.save(more.join("img_org/a.png"));
    saved.expect("a new file");
    folder
}

const TABLE: &str = "\
out
train from MORE/txt/train.txt, images of MORE/img_org
no file of dev was found
no file of test was found
relations from MORE/rel2id.json

                                train
rows                                3
kept                                2
rejected                            1
  unknown-label                     1
box clipped                         0
in an earlier split                 0
same question, other label          2
images                              1
facts an image                   2.00
share of none                   0.500
/per/misc/awarded                   1
none                                1
";

#[test]
fn a_corpus_is_imported_and_shared() {
    let folder = corpus();
    let import = |more: &[&str]| {
        let args = ["data", "import", "more", "--src", "MORE", "--out"];
        more_r1(folder.path(), &[&args, more].concat())
    };
    // One of three is more than one of twenty.
    let output = import(&["out"]);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(
        line.contains("unknown-label") && line.contains("line 3"),
        "{line}"
    );
    assert!(!folder.path().join("out").exists());

    let output = import(&["out", "--max-rejected", "0.4"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), TABLE);
    let output = import(&["out", "--max-rejected", "0.4"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");

    let output = import(&["again", "--max-rejected", "0.4", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["kept"], 2);
    assert_eq!(report["missing"], json!(["dev", "test"]));
    let train = &report["splits"]["train"];
    assert_eq!(train["rejected"], json!({"unknown-label": 1}));
    assert_eq!(
        train["relations"],
        json!({"/per/misc/awarded": 1, "none": 1})
    );

    // What was imported is rows in MORE's shape again.
    let args = "data import jsonl --src out/train.jsonl --images out/images --out jsonl";
    let output = more_r1(folder.path(), &args.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let read = |path: &str| fs::read(folder.path().join(path)).expect("it was written");
    assert_eq!(read("out/train.jsonl"), read("jsonl/train.jsonl"));

    let args = "data sample --src out/train.jsonl --out share.jsonl --rest rest.jsonl \
        --fraction 0.5 --stratify none --seed 1";
    let args: Vec<&str> = args.split_whitespace().collect();
    let output = more_r1(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.starts_with("all "), "{table}");
    assert!(
        table
            .lines()
            .next()
            .is_some_and(|it| it.ends_with(" 1 of 2")),
        "{table}"
    );
    let lines = |path: &str| String::from_utf8(read(path)).expect("text");
    let mut lines = [lines("share.jsonl"), lines("rest.jsonl")];
    lines.sort();
    let mut all: Vec<String> = String::from_utf8(read("out/train.jsonl"))
        .expect("text")
        .split_inclusive('\n')
        .map(str::to_owned)
        .collect();
    all.sort();
    assert_eq!(all, lines);
    assert_eq!(more_r1(folder.path(), &args).status.code(), Some(2));
}

/// By the name that was typed, not by the one a file has while it is written.
#[test]
fn a_path_that_cannot_be_meant_has_its_flag() {
    let folder = corpus();
    fs::write(folder.path().join("file"), "").expect("a new file");
    let ends = |args: &str, start: &str| {
        let output = more_r1(folder.path(), &args.split(' ').collect::<Vec<_>>());
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {line}");
        assert!(line.starts_with(&format!("error: {start}: ")), "{line}");
    };
    let import =
        |args: &str, start: &str| ends(&format!("data import more --src MORE {args}"), start);
    import("--out x --ontology nowhere.json", "--ontology nowhere.json");
    import("--out x --images nowhere", "--images nowhere");
    import("--out file/x", "--out file/x");
    import("--out file", "--out file");
    let rows = "data sample --src MORE/txt/train.txt";
    ends(&format!("{rows} --out no/x.jsonl"), "--out no/x.jsonl");
    ends(
        &format!("{rows} --out x.jsonl --rest no/y.jsonl"),
        "--rest no/y.jsonl",
    );
    let utf_16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let utf_16 = [b"\xfe\xff", &utf_16[..]].concat();
    fs::write(folder.path().join("MORE/rel2id.json"), utf_16).expect("a new file");
    import("--out x", "MORE/rel2id.json");
    fs::write(folder.path().join("MORE/txt/train.txt"), "\n").expect("a new file");
    ends("data import more --src MORE --out x", "--src MORE");
    let left = fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(left, 2, "the corpus and the file");
}

#[test]
fn mnre_has_an_ontology_of_its_own() {
    let folder = corpus();
    let row = "{'token': ['Ann', 'Lee', 'joins', 'Harlow'], 'h': {'name': 'Ann Lee', 'pos': [0, 2]}, \
        't': {'name': 'Harlow', 'pos': [3, 4]}, 'img_id': 'a.png', 'relation': '/per/org/member_of'}\n";
    fs::write(folder.path().join("MORE/mnre_test.txt"), row).expect("a new file");
    fs::remove_file(folder.path().join("MORE/txt/train.txt")).expect("it is there");
    fs::remove_file(folder.path().join("MORE/rel2id.json")).expect("it is there");
    let args = ["data", "import", "mnre", "--src", "MORE", "--out", "mnre"];
    let output = more_r1(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let ontology = fs::read_to_string(folder.path().join("mnre/ontology.json"));
    assert!(
        ontology
            .expect("it was written")
            .contains("/per/org/member_of")
    );
    // Shares outside of their range are no shares.
    for args in [
        "data import more --src MORE --out x --max-rejected 1.5",
        "data sample --src x --out y --fraction 0",
        "data sample --src nowhere.jsonl --out y",
        "data import jsonl --src MORE --images nowhere --out x",
    ] {
        let output = more_r1(folder.path(), &args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{args}: {output:?}");
    }
}
