//! Reports of evaluations side by side, in the columns of the paper's tables. Evaluates nothing: it reads what evaluations printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::eval::EvalReport;

/// One row before its report is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What the row is called.
    pub name: String,
    /// The report: what `more-r1 eval --json` printed.
    pub file: PathBuf,
}

impl Source {
    /// Reads `NAME=FILE`, or `FILE`, whose stem is then the name. What is there as a whole is a file, also with `=` in its path.
    pub fn from_text(text: &str) -> Self {
        let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
        if let Some((name, file)) = named.filter(|_| !Path::new(text).is_file()) {
            return Self {
                name: name.to_owned(),
                file: file.into(),
            };
        }
        let stem = Path::new(text).file_stem().map(|it| it.to_string_lossy());
        Self {
            name: stem.map_or_else(|| text.to_owned(), std::borrow::Cow::into_owned),
            file: text.into(),
        }
    }
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// Records answered.
    pub records: usize,
    /// Accuracy, precision, recall, F1: shares of 1.
    #[serde(flatten)]
    pub scores: BTreeMap<Column, f64>,
    /// The columns in which no other row has more.
    pub best: Vec<Column>,
}

/// The columns of the paper's tables, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Right answers among all.
    Accuracy,
    /// Micro precision without `none`.
    Precision,
    /// Micro recall without `none`.
    Recall,
    /// Their harmonic mean.
    F1,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accuracy, Self::Precision, Self::Recall, Self::F1];

    /// The head of the column in the paper.
    pub fn head(self) -> &'static str {
        match self {
            Self::Accuracy => "Acc",
            Self::Precision => "P",
            Self::Recall => "R",
            Self::F1 => "F1",
        }
    }
}

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The evaluations, in the order they were named in.
    pub rows: Vec<Row>,
    /// Why rows should not be compared, if so.
    pub warnings: Vec<String>,
}

/// Reads the reports of `sources`.
///
/// # Errors
/// A file that cannot be read or is no report.
pub fn compare(sources: &[Source]) -> Result<Comparison, Error> {
    let reports = sources.iter().map(|source| EvalReport::read(&source.file));
    let reports: Vec<EvalReport> = reports.collect::<Result<_, _>>()?;
    let mut rows: Vec<Row> = sources.iter().zip(&reports).map(row).collect();
    for column in Column::ALL {
        let most = rows.iter().map(|row| shown(row.scores[&column])).max();
        for row in &mut rows {
            if Some(shown(row.scores[&column])) == most {
                row.best.push(column);
            }
        }
    }
    Ok(Comparison {
        warnings: warnings(sources, &reports),
        rows,
    })
}

/// As printed: hundredths of a percent. Rows that look equal are equally good.
fn shown(score: f64) -> u64 {
    (score * 1e4).round() as u64
}

fn row((source, report): (&Source, &EvalReport)) -> Row {
    let scores = &report.scores;
    let scores = [
        scores.accuracy,
        scores.precision,
        scores.recall,
        scores.micro_f1,
    ];
    Row {
        name: source.name.clone(),
        records: report.records,
        scores: Column::ALL.into_iter().zip(scores).collect(),
        best: vec![],
    }
}

/// Where a report is about other records than the first.
fn warnings(sources: &[Source], reports: &[EvalReport]) -> Vec<String> {
    let mut warnings = vec![];
    let pairs = sources.iter().zip(reports);
    let Some((first, measure)) = pairs.clone().next() else {
        return warnings;
    };
    for (source, report) in pairs.skip(1) {
        let (one, other) = (&first.name, &source.name);
        if report.records != measure.records {
            warnings.push(format!(
                "{other} is about {} records, {one} about {}",
                report.records, measure.records
            ));
        } else if supports(report).ne(supports(measure)) {
            warnings.push(format!(
                "{other} and {one} are about as many records, but other ones: relations differ in number"
            ));
        }
    }
    warnings
}

/// How many records each relation has.
fn supports(report: &EvalReport) -> impl Iterator<Item = (&String, usize)> {
    let relations = report.scores.per_relation.iter();
    relations.map(|(name, scores)| (name, scores.support))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_row_is_named_or_has_its_files_stem() {
        let source = Source::from_text("MORE-R1, stage 1=runs/a.json");
        assert_eq!(
            (source.name.as_str(), source.file.to_str()),
            ("MORE-R1, stage 1", Some("runs/a.json"))
        );
        assert_eq!(Source::from_text("runs/b.eval.json").name, "b.eval");
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("lr=1e-3.json");
        std::fs::write(&path, "{}").expect("a new file");
        let text = path.to_str().expect("a plain path");
        let sources = [text.to_owned(), format!("Stage 1={text}")];
        let [plain, named] = sources.map(|it| Source::from_text(&it));
        assert_eq!((plain.name.as_str(), plain.file), ("lr=1e-3", path.clone()));
        assert_eq!((named.name.as_str(), named.file), ("Stage 1", path));
    }
}
