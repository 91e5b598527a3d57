//! The rows of a split, the good from the bad. Writes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use super::check;
use super::find::SplitFiles;
use super::labels::Labels;
use super::photos::Photos;
use super::rows::{Reason, Rejection, Row};
use crate::data::Record;

/// A split, sorted.
pub(super) struct Sorted {
    /// Where it comes from.
    pub files: SplitFiles,
    /// Good rows with the paths of their images.
    pub kept: Vec<(Record, PathBuf)>,
    /// Bad rows by line.
    pub rejected: Vec<(usize, Rejection)>,
    /// Good rows whose box was cut to the image.
    pub clipped: usize,
    /// Good rows that an earlier split also has, whatever their label.
    pub repeated: usize,
    /// Good rows that ask a model the same as one with another label.
    pub ambiguous: usize,
}

/// What a model is asked: image, box (by its bits, so that it can be compared), text and span.
type Question = (String, [u64; 4], String, [usize; 2]);
/// A question, and what its object is called.
type Fact = (Question, String);

/// Sorts one split after the other.
pub(super) struct Sorter<'a> {
    labels: &'a Labels,
    photos: &'a Photos,
    earlier: HashSet<Fact>,
}

impl<'a> Sorter<'a> {
    pub fn new(labels: &'a Labels, photos: &'a Photos) -> Self {
        Self {
            labels,
            photos,
            earlier: HashSet::new(),
        }
    }

    /// Sorts the rows of a split.
    pub fn sort(&mut self, files: &SplitFiles, rows: Vec<Row>) -> Sorted {
        let mut sorted = Sorted {
            files: files.clone(),
            kept: vec![],
            rejected: vec![],
            clipped: 0,
            repeated: 0,
            ambiguous: 0,
        };
        let mut first: HashMap<Fact, (usize, String)> = HashMap::new();
        for Row { line, record } in rows {
            let checked = record.and_then(|mut record| {
                let (image, clipped) = self.check(files, &mut record)?;
                let fact = fact(&record);
                if let Some((line, relation)) = first.get(&fact) {
                    return Err(again(&record, *line, relation));
                }
                first.insert(fact, (line, record.relation.clone()));
                Ok((record, image, clipped))
            });
            match checked {
                Ok((record, image, clipped)) => {
                    sorted.clipped += usize::from(clipped);
                    sorted.kept.push((record, image));
                }
                Err(rejection) => sorted.rejected.push((line, rejection)),
            }
        }
        sorted.ambiguous = ambiguous(&sorted.kept);
        let repeated = first.keys().filter(|fact| self.earlier.contains(*fact));
        sorted.repeated = repeated.count();
        self.earlier.extend(first.into_keys());
        sorted
    }

    /// The image of a good record and whether its box was cut; the record has its label in our spelling then.
    fn check(&self, files: &SplitFiles, record: &mut Record) -> Result<(PathBuf, bool), Rejection> {
        check::image_name(&record.img_id)?;
        let image = files.images.join(&record.img_id);
        let size = self.photos.size(&image)?;
        let cut = check::cut(record.t.pos)?;
        record.t.pos = cut.unwrap_or(record.t.pos);
        check::wide_enough(record.t.pos, size)?;
        check::span(record)?;
        record.relation = self.labels.resolve(&record.relation)?;
        Ok((image, cut.is_some()))
    }
}

fn question(record: &Record) -> Question {
    (
        record.img_id.clone(),
        record.t.pos.map(f64::to_bits),
        record.text.clone(),
        record.h.pos,
    )
}

fn fact(record: &Record) -> Fact {
    (question(record), record.t.name.clone())
}

/// Why a row that stands here already is left out.
fn again(record: &Record, line: usize, relation: &str) -> Rejection {
    if record.relation == relation {
        return Reason::Duplicate.because(format!("the same as line {line}"));
    }
    let now = &record.relation;
    let detail = format!("the same as line {line}, which is {relation}, and this is {now}");
    Reason::Contradiction.because(detail)
}

/// How many of these ask the same as another one that has another label.
fn ambiguous(kept: &[(Record, PathBuf)]) -> usize {
    let mut answers: HashMap<Question, (usize, BTreeSet<&str>)> = HashMap::new();
    for (record, _) in kept {
        let (count, labels) = answers.entry(question(record)).or_default();
        *count += 1;
        labels.insert(&record.relation);
    }
    let several = answers.values().filter(|(_, labels)| labels.len() > 1);
    several.map(|(count, _)| count).sum()
}
