//! Reads candidate labels out of a step's free text. Judges nothing: a label that the text rules out counts as named.

use std::collections::HashSet;

use crate::Ontology;

/// The labels named in a text, in the order of their first mention, by their full names.
pub(crate) fn candidates(ontology: &Ontology, text: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/')))
        .map(|word| word.trim_matches('-').trim_end_matches('/'))
        .filter_map(|word| ontology.find(word))
        .filter(|label| seen.insert(label.name.as_str()))
        .map(|label| label.name.clone())
        .collect()
}
