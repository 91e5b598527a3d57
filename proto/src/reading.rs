//! Reads types and candidates out of a step's free text. Forgiving about wording; knows no structure of answers.

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

/// Object and entity type stated in a text.
pub(crate) fn types(ontology: &Ontology, text: &str) -> (Option<String>, Option<String>) {
    let after = |subject: &str| {
        let start = text.find(subject)? + subject.len();
        text[start..]
            .split(|c: char| !c.is_ascii_alphanumeric())
            .find_map(|word| {
                ontology
                    .types
                    .iter()
                    .find(|kind| kind.name == word || kind.description == word)
            })
            .map(|kind| kind.name.clone())
    };
    (after("object"), after("entity"))
}
