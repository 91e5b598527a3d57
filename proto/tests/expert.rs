//! The words put to the expert, pinned: other words make other traces, and a journal of answers belongs to its words.

use proto::{Ontology, Part, expert_prompt};

fn written(parts: &[Part]) -> String {
    let words = parts.iter().map(|part| match part {
        Part::Text(text) => text.as_str(),
        Part::Image => "[image]",
    });
    words.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_expert_is_asked_in_these_words() {
    let more = Ontology::more();
    let asked = |label: &str| {
        let gold = more.find(label).expect("a label of MORE");
        expert_prompt(more, "Heat beat Celtics", "Heat", gold)
    };
    let (related, unrelated) = include_str!("expert.txt")
        .split_once("\n---\n")
        .expect("two questions");
    assert_eq!(written(&asked("/per/org/opposed_to")), related);
    let none = asked("none");
    assert_eq!(written(&none[none.len() - 1..]), unrelated.trim_end());
    assert_eq!(
        none[..none.len() - 1],
        asked("/per/org/opposed_to")[..none.len() - 1]
    );
}

#[test]
fn an_ontology_without_misc_is_not_told_of_it() {
    let mut ontology = Ontology::more().clone();
    ontology.types.retain(|kind| kind.name != "misc");
    ontology
        .labels
        .retain(|label| !label.name.contains("/misc/"));
    let gold = ontology.find("none").expect("every ontology has it");
    assert!(!written(&expert_prompt(&ontology, "t", "e", gold)).contains("misc"));
}
