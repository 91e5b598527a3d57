//! A share of a file of records and the rest of it: Stage 1 learns from a quarter, Stage 2 asks about what is left. Reads and writes
//! files; which records are drawn is decided in `sample.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::data::{Record, read_records};
use crate::part::{Part, same_file};
use crate::sample::draw;

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
    let refuse = |path: &Path, reason: &str| Error::Config {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let mut outputs = vec![("share", options.out.as_path())];
    outputs.extend(options.rest.as_deref().map(|rest| ("rest", rest)));
    if let Some((_, path)) = outputs.iter().find(|(_, path)| path.exists()) {
        return Err(refuse(path, "is there already"));
    }
    if same_file(&outputs).is_some() {
        let reason = "cannot hold both the share and the rest";
        return Err(refuse(&options.out, reason));
    }
    let records = read_records(&options.src)?;
    let stratum: fn(&Record) -> &str = match options.strata {
        Strata::Relation => |record| &record.relation,
        Strata::None => |_| "",
    };
    let mut drawn = draw(&records, stratum, options.fraction, options.seed).into_iter();
    let (drawn, rest): (Vec<&Record>, Vec<&Record>) = records
        .iter()
        .partition(|_| drawn.next().expect("one for each record"));
    let parts: Vec<Part> = outputs
        .into_iter()
        .zip([&drawn, &rest])
        .map(|((_, path), records)| Part::lines(path, records))
        .collect::<Result<_, _>>()?;
    for part in parts {
        part.finish()?;
    }
    Ok(report(&drawn, &rest))
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
    use crate::data::write_lines;

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
            relation: label.to_owned(),
            ..Record::example()
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
    }

    #[test]
    fn the_rest_has_a_file_of_its_own() {
        let folder = TempDir::new().expect("a folder for the test");
        draw(&folder, Strata::None, 0.2).expect("all is new");
        let at = |name: &str| folder.path().join(name);
        let options = |rest: &str| ShareOptions {
            src: at("all.jsonl"),
            out: at("new.jsonl"),
            rest: Some(at(rest)),
            fraction: 0.5,
            strata: Strata::None,
            seed: 0,
        };
        for same in ["new.jsonl", "./new.jsonl"] {
            let error = run(&options(same)).expect_err("one file for two");
            assert!(error.to_string().contains("both"), "{error}");
            assert!(!at("new.jsonl").exists());
        }
        // What an unfinished file was called once is a name like any other.
        run(&options("new.jsonl.part")).expect("two files");
        let counts = ["new.jsonl", "new.jsonl.part"].map(|name| read(&folder, name).len());
        assert_eq!(counts, [8, 7]);
    }
}
