//! What an import found, in numbers. Prints nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use proto::NONE;
use serde::Serialize;

use super::labels::Labels;
use super::rows::Reason;
use super::sort::Sorted;
use super::{Error, ImportOptions};
use crate::data::Split;

/// Counts of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The file that lists the labels, if there is one.
    pub relations: Option<PathBuf>,
    /// Labels that it lists and the ontology lacks.
    pub unknown_labels: Vec<String>,
    /// Splits for which there is no file.
    pub missing: Vec<Split>,
    /// Rows of all splits.
    pub rows: usize,
    /// Those written.
    pub kept: usize,
    /// Those left out.
    pub rejected: usize,
    /// By split.
    pub splits: BTreeMap<Split, SplitReport>,
}

/// Counts of a split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// The file of its rows.
    pub file: PathBuf,
    /// The folder of its images.
    pub image_folder: PathBuf,
    /// Rows in the file.
    pub rows: usize,
    /// Those written.
    pub kept: usize,
    /// Those left out, by reason.
    pub rejected: BTreeMap<Reason, usize>,
    /// Written with a box cut to the image.
    pub clipped: usize,
    /// Written though an earlier split has the same fact.
    pub repeated: usize,
    /// Written though another row asks a model the same and has another label.
    pub ambiguous: usize,
    /// Images of the rows written.
    pub images: usize,
    /// Rows written for each of them.
    pub facts_per_image: f64,
    /// The share of `none` among the rows written.
    pub none_share: f64,
    /// Rows written, by label.
    pub relations: BTreeMap<String, usize>,
}

impl Report {
    pub(super) fn new(relations: Option<PathBuf>, labels: &Labels, sorted: &[Sorted]) -> Self {
        let splits: BTreeMap<Split, SplitReport> = sorted
            .iter()
            .map(|split| (split.files.split, SplitReport::new(split)))
            .collect();
        let is_missing = |split: &Split| !splits.contains_key(split);
        Self {
            relations,
            unknown_labels: labels.unknown(),
            missing: Split::ALL.into_iter().filter(is_missing).collect(),
            rows: splits.values().map(|split| split.rows).sum(),
            kept: splits.values().map(|split| split.kept).sum(),
            rejected: sorted.iter().map(|split| split.rejected.len()).sum(),
            splits,
        }
    }

    /// Whether so many bad rows are allowed, and some row is good.
    pub(super) fn check(&self, options: &ImportOptions, sorted: &[Sorted]) -> Result<(), Error> {
        let &Self { rows, rejected, .. } = self;
        if self.kept == 0 {
            return Err(Error::Nothing {
                path: options.src.clone(),
                rows,
                examples: examples(sorted),
            });
        }
        if rejected as f64 > options.max_rejected * rows as f64 {
            return Err(Error::Rejected {
                rejected,
                rows,
                limit: options.max_rejected,
                examples: examples(sorted),
            });
        }
        Ok(())
    }
}

impl SplitReport {
    fn new(sorted: &Sorted) -> Self {
        let kept = sorted.kept.len();
        let mut relations = BTreeMap::new();
        for row in &sorted.kept {
            *relations.entry(row.record.relation.clone()).or_default() += 1;
        }
        let mut rejected = BTreeMap::new();
        for (_, rejection) in &sorted.rejected {
            *rejected.entry(rejection.reason).or_default() += 1;
        }
        let images: HashSet<_> = sorted.kept.iter().map(|row| &row.image).collect();
        let none: usize = relations.get(NONE).copied().unwrap_or_default();
        Self {
            file: sorted.files.rows.clone(),
            image_folder: sorted.files.images.clone(),
            rows: kept + sorted.rejected.len(),
            kept,
            rejected,
            clipped: sorted.clipped,
            repeated: sorted.repeated,
            ambiguous: sorted.ambiguous,
            images: images.len(),
            facts_per_image: kept as f64 / images.len().max(1) as f64,
            none_share: none as f64 / kept.max(1) as f64,
            relations,
        }
    }
}

/// How many rows are bad for which reason, and the first of each.
fn examples(sorted: &[Sorted]) -> String {
    let mut reasons: BTreeMap<Reason, (usize, String)> = BTreeMap::new();
    for split in sorted {
        let file = split.files.rows.display();
        for (line, rejection) in &split.rejected {
            let first = || format!("{file}, line {line}: {}", rejection.detail);
            let (count, _) = reasons
                .entry(rejection.reason)
                .or_insert_with(|| (0, first()));
            *count += 1;
        }
    }
    let lines = reasons
        .iter()
        .map(|(reason, (count, first))| format!("{count} {reason} (first {first})"));
    lines.collect::<Vec<_>>().join(", ")
}
