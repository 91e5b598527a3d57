//! What an import promises, on corpora of a few rows that each test makes for itself.

mod files;
mod mnre;
mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

use super::{Error, ImportOptions, Manner, Report, run};
use crate::data::{Record, read_records};

/// A row as MORE is published.
const ROW: &str = "{'img_id': 'a.png', 'text': 'Ann Lee of Harlow Tigers won the Silver Lamp', \
    'token': ['Ann', 'Lee', 'of', 'Harlow', 'Tigers', 'won', 'the', 'Silver', 'Lamp'], \
    'h': {'name': ['Silver', 'Lamp'], 'pos': [7, 9]}, \
    't': {'name': 'ann lee', 'pos': ('0.5','0.5','0.25','0.5')}, 'relation': '/per/misc/awarded'}";

/// The labels of those rows, and one that MORE does not have.
const RELATIONS: &str = r#"{"none": 0, "/per/misc/awarded": 1, "/per/misc/present_in": 2, "/per/org/member_of": 3, "/per/per/peer": 4}"#;

/// A row with one part in the place of another.
fn but(row: &str, part: &str, other: &str) -> String {
    assert!(row.contains(part), "{part} is not in {row}");
    row.replacen(part, other, 1)
}

/// A corpus in a folder of the test's own.
struct Corpus(TempDir);

impl Corpus {
    fn new(files: &[(&str, &str)]) -> Self {
        let corpus = Self(TempDir::new().expect("a folder for the test"));
        for (path, text) in files {
            corpus.write(path, text.as_bytes());
        }
        corpus
    }

    /// MORE with these rows to train on, and one image.
    fn more(rows: &[String]) -> Self {
        let corpus = Self::new(&[
            ("txt/train.txt", &rows.join("\n")),
            ("rel2id.json", RELATIONS),
        ]);
        corpus.image("img_org/train/a.png", 64, 48, 1);
        corpus
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join("src").join(path)
    }

    fn out(&self, path: &str) -> PathBuf {
        self.0.path().join("out").join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a new folder");
        fs::write(path, bytes).expect("a new file");
    }

    fn image(&self, path: &str, width: u32, height: u32, shade: u8) {
        self.write(path, b"");
        let pixels = RgbImage::from_pixel(width, height, Rgb([shade; 3]));
        pixels.save(self.at(path)).expect("a new file");
    }

    fn options(&self, manner: Manner, max_rejected: f64) -> ImportOptions {
        ImportOptions {
            src: self.at(""),
            manner,
            images: None,
            out: self.out(""),
            max_rejected,
        }
    }

    fn import(&self, max_rejected: f64) -> Result<Report, Error> {
        run(&self.options(Manner::More { ontology: None }, max_rejected))
    }

    fn records(&self, split: &str) -> Vec<Record> {
        read_records(&self.out(&format!("{split}.jsonl"))).expect("our own lines")
    }

    /// File, line and reason of every rejected row, and the detail.
    fn rejected(&self) -> Vec<(String, u64, String, String)> {
        let text = fs::read_to_string(self.out("rejected.jsonl")).expect("it was written");
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |key: &str| line[key].as_str().expect("a string").to_owned();
            let number = line["line"].as_u64().expect("a number");
            (text("file"), number, text("reason"), text("detail"))
        };
        text.lines().map(line).collect()
    }

    /// Everything beside the corpus.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("it is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.expect("a readable folder").file_name();
            name.into_string().expect("a plain name")
        };
        let names = entries.map(name);
        names.filter(|name| name != "src").collect()
    }
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}
