//! A published corpus in our own shape: every row is checked, the good ones become JSON lines with their images in one folder, the
//! others are told with their reasons. All of it is there in the end, or nothing. Makes no trace and checks none.
//!
//! `find.rs` which file is what · `rows.rs` lines to records · `mnre.rs` rows and relations of MNRE · `labels.rs` which labels there
//! are · `check.rs` what a good row is · `photos.rs` whether images decode · `sort.rs` good and bad rows · `folder.rs` what is
//! written · `report.rs` the counts.

mod check;
mod find;
mod folder;
mod labels;
mod mnre;
mod photos;
mod report;
mod rows;
mod sort;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use report::{Report, SplitReport};
pub use rows::Reason;

use labels::Labels;
use photos::Photos;
use sort::Sorter;

use crate::part::check_free;

/// In whose manner the rows of a corpus are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// `h` is an entity of the text, `t` an object with its box; the labels are those of an ontology.
    More {
        /// The relations; MORE's 21 without.
        ontology: Option<PathBuf>,
    },
    /// Both are entities of the text; the ontology is made of the corpus's own labels.
    Mnre,
}

/// What to import.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    /// The folder of the corpus, or one file of rows.
    pub src: PathBuf,
    /// How its rows are written.
    pub manner: Manner,
    /// The folder of the images, if it is none of those that corpora have.
    pub images: Option<PathBuf>,
    /// The folder to write; must not be there, or be empty.
    pub out: PathBuf,
    /// The share of all rows that may be rejected.
    pub max_rejected: f64,
}

/// Everything that can stop an import. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More rows are bad than were allowed.
    #[error(
        "{rejected} of {rows} rows are rejected, more than a share of {limit}: {examples}; nothing was written"
    )]
    Rejected {
        /// Bad rows.
        rejected: usize,
        /// All rows.
        rows: usize,
        /// The largest share allowed.
        limit: f64,
        /// How many for which reason, and the first of each.
        examples: String,
    },
    /// No row is good.
    #[error("{path}: none of the {rows} rows can be used; {examples}")]
    Nothing {
        /// The corpus.
        path: PathBuf,
        /// All rows.
        rows: usize,
        /// How many for which reason, and the first of each.
        examples: String,
    },
    /// A corpus that is not found or not clear, an output that is taken, files that cannot be read or written.
    #[error(transparent)]
    Files(#[from] crate::Error),
}

/// A file or folder that is absent, ambiguous, or not what its name says.
fn corpus(path: &Path, reason: impl Into<String>) -> crate::Error {
    crate::Error::Config {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// Writes `train.jsonl`, `dev.jsonl`, `test.jsonl` (those that the corpus has), `images/`, `ontology.json` and `rejected.jsonl`.
///
/// # Errors
/// A corpus that is not found or not clear, an output that is taken, too many bad rows, files that cannot be read or written.
pub fn run(options: &ImportOptions) -> Result<Report, Error> {
    check_free(&options.out)?; // better known before the first image is read than behind the last
    let found = find::find(&options.src, options.images.as_deref())?;
    let mut splits = Vec::with_capacity(found.splits.len());
    for split in &found.splits {
        splits.push((split, rows::read(&split.rows, &options.manner)?));
    }
    if splits.iter().all(|(_, rows)| rows.is_empty()) {
        return Err(corpus(&options.src, "has no rows").into());
    }
    let labels = Labels::gather(&options.manner, found.relations.as_deref(), &splits)?;
    let photos = Photos::decode(&splits);
    let mut sorter = Sorter::new(&labels, &photos);
    let sorted: Vec<_> = splits
        .into_iter()
        .map(|(files, rows)| sorter.sort(files, rows))
        .collect();
    let report = Report::new(found.relations, &labels, &sorted);
    report.check(options, &sorted)?;
    folder::write(&options.out, &options.src, &labels.ontology, &sorted)?;
    Ok(report)
}
