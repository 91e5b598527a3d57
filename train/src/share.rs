//! A share of a file of records and the rest of it: Stage 1 learns from a quarter, Stage 2 asks about what is left. Reads and writes
//! files; which records of a relation are drawn is decided in `sample.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::Error;
use crate::data::{Record, read_records, write_lines};
use crate::sample::stratified;

/// What is drawn evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strata {
    /// The same share of every relation, and at least one record of it.
    Relation,
    /// A share of all records, whatever their relation.
    None,
}

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareOptions {
    /// The records.
    pub src: PathBuf,
    /// Where those drawn go; must not be there.
    pub out: PathBuf,
    /// Where all others go, if anywhere; must not be there.
    pub rest: Option<PathBuf>,
    /// The share drawn, above 0 and at most 1.
    pub fraction: f64,
    /// What is drawn evenly.
    pub strata: Strata,
    /// The same seed draws the same.
    pub seed: u64,
}

/// What was drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShareReport {
    /// All records.
    pub records: usize,
    /// Those drawn.
    pub drawn: usize,
    /// By relation.
    pub relations: BTreeMap<String, Counts>,
}

/// What was drawn of a relation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All records.
    pub records: usize,
    /// Those drawn.
    pub drawn: usize,
}

/// Draws records and writes them, and the rest, in their old order. A file is there when it is whole.
///
/// # Errors
/// An output that is there already, records that cannot be read, files that cannot be written.
pub fn run(options: &ShareOptions) -> Result<ShareReport, Error> {
    let outputs = [Some(&options.out), options.rest.as_ref()];
    let outputs: Vec<&PathBuf> = outputs.into_iter().flatten().collect();
    let refuse = |path: &Path, reason: &str| Error::Config {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    if let Some(path) = outputs.iter().find(|path| path.exists()) {
        return Err(refuse(path, "is there already"));
    }
    if options.rest.as_ref() == Some(&options.out) {
        return Err(refuse(
            &options.out,
            "cannot hold both the share and the rest",
        ));
    }
    let records = read_records(&options.src)?;
    let drawn = match options.strata {
        Strata::Relation => stratified(records.clone(), options.fraction, options.seed),
        Strata::None => plain(&records, options.fraction, options.seed),
    };
    let (drawn, rest) = part(&records, &drawn);
    let parts: Vec<Part> = outputs.into_iter().map(|path| Part::of(path)).collect();
    for (part, records) in parts.iter().zip([&drawn, &rest]) {
        write_lines(&part.path, records).map_err(Error::io(&part.path))?;
    }
    for part in &parts {
        std::fs::rename(&part.path, part.out).map_err(Error::io(part.out))?;
    }
    Ok(report(&drawn, &rest))
}

/// A share of all records, at least one, in their old order.
fn plain(records: &[Record], fraction: f64, seed: u64) -> Vec<Record> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let count = (records.len() as f64 * fraction).round().max(1.0) as usize;
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|at| records[at].clone()).collect()
}

/// The drawn records and the others. `drawn` has the order of `records`, so each is found by going through both once; of equal records it
/// does not matter which.
fn part<'a>(records: &'a [Record], drawn: &[Record]) -> (Vec<&'a Record>, Vec<&'a Record>) {
    let mut drawn = drawn.iter().peekable();
    records
        .iter()
        .partition(|record| drawn.next_if_eq(record).is_some())
}

/// A file under another name until it is whole; what is left of it goes away.
struct Part<'a> {
    path: PathBuf,
    out: &'a Path,
}

impl<'a> Part<'a> {
    fn of(out: &'a Path) -> Self {
        let path = out.with_added_extension("part");
        Self { path, out }
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // Renamed, or nobody is left to tell.
    }
}

fn report(drawn: &[&Record], rest: &[&Record]) -> ShareReport {
    let mut relations: BTreeMap<String, Counts> = BTreeMap::new();
    for (records, is_drawn) in [(drawn, true), (rest, false)] {
        for record in records {
            let counts = relations.entry(record.relation.clone()).or_default();
            counts.records += 1;
            counts.drawn += usize::from(is_drawn);
        }
    }
    ShareReport {
        records: drawn.len() + rest.len(),
        drawn: drawn.len(),
        relations,
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::data::{Head, Tail};

    /// Ten facts of one relation, three of another, one of which stands there twice, and one of a third.
    fn records() -> Vec<Record> {
        let labels = [
            ("none", 10),
            ("/per/per/partner", 3),
            ("/per/org/member_of", 1),
        ];
        let labels = labels.iter().flat_map(|&(name, count)| vec![name; count]);
        let record = |(at, label): (usize, &str)| Record {
            img_id: format!("{}.jpg", at.min(12)),
            text: "Ann Lee".to_owned(),
            token: vec!["Ann".to_owned(), "Lee".to_owned()],
            h: Head {
                name: vec!["Ann".to_owned()],
                pos: [0, 1],
            },
            t: Tail {
                name: "lee".to_owned(),
                pos: [0.5, 0.5, 1.0, 1.0],
            },
            relation: label.to_owned(),
            trace: None,
        };
        let mut records: Vec<Record> = labels.enumerate().map(record).collect();
        records.push(records[12].clone());
        records
    }

    /// Draws from the records above, in a folder of the test's own.
    fn draw(folder: &TempDir, strata: Strata, fraction: f64) -> Result<ShareReport, Error> {
        let src = folder.path().join("all.jsonl");
        write_lines(&src, records()).expect("a new file");
        run(&ShareOptions {
            src,
            out: folder.path().join("share.jsonl"),
            rest: Some(folder.path().join("rest.jsonl")),
            fraction,
            strata,
            seed: 7,
        })
    }

    fn read(folder: &TempDir, name: &str) -> Vec<Record> {
        read_records(&folder.path().join(name)).expect("our own lines")
    }

    #[test]
    fn the_rest_is_the_exact_complement() {
        for strata in [Strata::Relation, Strata::None] {
            for fraction in [0.001, 0.25, 0.5, 1.0] {
                let folder = TempDir::new().expect("a folder for the test");
                let report = draw(&folder, strata, fraction).expect("all is new");
                let mut drawn = read(&folder, "share.jsonl");
                let mut rest = read(&folder, "rest.jsonl");
                assert_eq!((report.records, report.drawn), (15, drawn.len()));
                let name = |record: &Record| record.img_id.clone();
                let key = |record: &Record| (name(record), record.relation.clone());
                drawn.append(&mut rest);
                drawn.sort_by_key(key);
                let mut all = records();
                all.sort_by_key(key);
                assert_eq!(drawn, all, "{strata:?} {fraction}");
                let files = std::fs::read_dir(folder.path()).expect("it is there");
                assert_eq!(files.count(), 3, "no part is left");
            }
        }
    }

    #[test]
    fn every_relation_keeps_its_share() {
        let folder = TempDir::new().expect("a folder for the test");
        let report = draw(&folder, Strata::Relation, 0.5).expect("all is new");
        let counts = |name: &str| (report.relations[name].drawn, report.relations[name].records);
        assert_eq!(counts("none"), (5, 10));
        assert_eq!(counts("/per/per/partner"), (2, 4));
        assert_eq!(counts("/per/org/member_of"), (1, 1));
    }

    #[test]
    fn a_plain_share_is_one_of_the_whole() {
        let folder = TempDir::new().expect("a folder for the test");
        let report = draw(&folder, Strata::None, 0.2).expect("all is new");
        assert_eq!(report.drawn, 3);
        let again = TempDir::new().expect("a folder for the test");
        draw(&again, Strata::None, 0.2).expect("all is new");
        assert_eq!(read(&folder, "share.jsonl"), read(&again, "share.jsonl"));
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let folder = TempDir::new().expect("a folder for the test");
        draw(&folder, Strata::None, 0.2).expect("all is new");
        let error = draw(&folder, Strata::None, 0.2).expect_err("both are there");
        assert!(error.to_string().contains("share.jsonl"), "{error}");
        let path = folder.path().join("new.jsonl");
        let options = ShareOptions {
            src: folder.path().join("all.jsonl"),
            out: path.clone(),
            rest: Some(path.clone()),
            fraction: 0.5,
            strata: Strata::None,
            seed: 0,
        };
        run(&options).expect_err("one file for two");
        assert!(!path.exists());
    }
}
