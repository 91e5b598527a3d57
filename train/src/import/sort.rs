//! The rows of a split, the good from the bad. Writes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use blake3::Hash;

use super::check;
use super::find::SplitFiles;
use super::labels::Labels;
use super::photos::{Photo, Photos};
use super::rows::{Reason, Rejection, Row};
use crate::data::Record;

/// A split, sorted.
pub(super) struct Sorted {
    /// Where it comes from.
    pub files: SplitFiles,
    /// Good rows.
    pub kept: Vec<Kept>,
    /// Bad rows by line.
    pub rejected: Vec<(usize, Rejection)>,
    /// Good rows whose box was cut to the image.
    pub clipped: usize,
    /// Good rows that an earlier split also has, whatever their label.
    pub repeated: usize,
    /// Good rows that ask a model the same as one with another label.
    pub ambiguous: usize,
}

/// A good row.
pub(super) struct Kept {
    /// What it says.
    pub record: Record,
    /// Where its image is.
    pub image: PathBuf,
    /// Which image that is.
    pub hash: Hash,
}

/// What a model is asked: image, box (by its bits, so that it can be compared), text and span.
type Question = (Hash, [u64; 4], String, [usize; 2]);
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
                let (image, hash, clipped) = self.check(files, &mut record)?;
                let kept = Kept {
                    record,
                    image,
                    hash,
                };
                let fact = fact(&kept);
                if let Some((line, relation)) = first.get(&fact) {
                    return Err(again(&kept.record, *line, relation));
                }
                first.insert(fact, (line, kept.record.relation.clone()));
                Ok((kept, clipped))
            });
            match checked {
                Ok((kept, clipped)) => {
                    sorted.clipped += usize::from(clipped);
                    sorted.kept.push(kept);
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
    fn check(
        &self,
        files: &SplitFiles,
        record: &mut Record,
    ) -> Result<(PathBuf, Hash, bool), Rejection> {
        let image = record.image_in(&files.images);
        let image = image.map_err(|why| Reason::ImageName.because(why))?;
        let Photo { size, hash } = self.photos.get(&image)?;
        let cut = check::cut(record.t.pos)?;
        record.t.pos = cut.unwrap_or(record.t.pos);
        check::wide_enough(record.t.pos, size)?;
        check::span(&record.token, &record.h)?;
        check::text(record)?;
        record.relation = self.labels.resolve(&record.relation)?;
        Ok((image, hash, cut.is_some()))
    }
}

fn question(Kept { record, hash, .. }: &Kept) -> Question {
    let bbox = record.t.pos.map(f64::to_bits);
    (*hash, bbox, record.text.clone(), record.h.pos)
}

fn fact(kept: &Kept) -> Fact {
    (question(kept), kept.record.t.name.clone())
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
fn ambiguous(kept: &[Kept]) -> usize {
    let mut answers: HashMap<Question, (usize, BTreeSet<&str>)> = HashMap::new();
    for row in kept {
        let (count, labels) = answers.entry(question(row)).or_default();
        *count += 1;
        labels.insert(&row.record.relation);
    }
    let several = answers.values().filter(|(_, labels)| labels.len() > 1);
    several.map(|(count, _)| count).sum()
}
