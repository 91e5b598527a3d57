//! Which labels a corpus may have: those it lists itself and those of the ontology. Reads the two files; looks at a row's label only
//! where no file lists them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proto::{NONE, Ontology};
use serde_json::{Map, Value};

use super::find::SplitFiles;
use super::rows::{Reason, Rejection, Row};
use super::{Manner, corpus, mnre};
use crate::Error;
use crate::config::ontology_or_more;

/// The labels that are known.
pub(super) struct Labels {
    /// What they mean.
    pub ontology: Ontology,
    /// Those that the corpus lists, in our spelling; without a list, all of the ontology are allowed.
    listed: Option<(PathBuf, Vec<String>)>,
}

impl Labels {
    /// Those of the file of relations and of the ontology. MNRE's ontology is made of its list, or of the labels of its first split.
    pub fn gather(
        manner: &Manner,
        relations: Option<&Path>,
        splits: &[(&SplitFiles, Vec<Row>)],
    ) -> Result<Self, Error> {
        let listed = relations
            .map(|path| Ok::<_, Error>((path.to_owned(), read_list(path)?)))
            .transpose()?;
        let ontology = match manner {
            Manner::More { ontology } => ontology_or_more(ontology.as_deref())?,
            Manner::Mnre => {
                let (path, labels) = listed.clone().unwrap_or_else(|| {
                    let (files, rows) = splits.first().expect("a corpus without any is refused");
                    (files.rows.clone(), labels_of(rows))
                });
                let ontology = mnre::ontology(&labels);
                let valid = ontology.validate();
                valid.map_err(|error| corpus(&path, error.to_string()))?;
                ontology
            }
        };
        Ok(Self { ontology, listed })
    }

    /// Listed labels that the ontology lacks.
    pub fn unknown(&self) -> Vec<String> {
        let listed = self.listed.iter().flat_map(|(_, labels)| labels);
        let unknown = listed.filter(|it| self.ontology.find(it).is_none());
        unknown.cloned().collect()
    }

    /// The label of a row in our spelling.
    pub fn resolve(&self, label: &str) -> Result<String, Rejection> {
        let name = spelled(label);
        if let Some((path, listed)) = &self.listed
            && !listed.contains(&name)
        {
            let detail = format!("{label:?} is not in {}", path.display());
            return Err(Reason::UnknownLabel.because(detail));
        }
        let known = self.ontology.find(&name).map(|it| it.name.clone());
        known.ok_or_else(|| {
            let detail = format!("{label:?} is not in the ontology {}", self.ontology.name);
            Reason::UnknownLabel.because(detail)
        })
    }
}

/// A label in our spelling: a slash before it, `_` for blanks, `none` in small letters (MNRE writes `None`).
fn spelled(label: &str) -> String {
    let words = label.split_whitespace().collect::<Vec<_>>().join("_");
    let bare = words.strip_prefix('/').unwrap_or(&words);
    if bare.eq_ignore_ascii_case(NONE) {
        return NONE.to_owned();
    }
    format!("/{bare}")
}

/// The keys of a file of relations: label to number.
fn read_list(path: &Path) -> Result<Vec<String>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let text = text.trim_start_matches('\u{feff}'); // Editors on Windows put it there.
    let labels: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let reason = format!("is no JSON object from labels to numbers: {error}");
        corpus(path, reason)
    })?;
    if labels.is_empty() {
        return Err(corpus(path, "lists no label"));
    }
    Ok(labels.keys().map(|label| spelled(label)).collect())
}

/// The labels of these rows, in the order of their names.
fn labels_of(rows: &[Row]) -> Vec<String> {
    let labels = rows.iter().filter_map(|row| row.record.as_ref().ok());
    let labels: BTreeSet<_> = labels.map(|it| spelled(&it.relation)).collect();
    labels.into_iter().collect()
}
