//! Statements that merge an answer into a property graph. Every value is a literal of its own; nothing of the caller's becomes syntax.

use std::fmt::Write;

use super::Fact;

/// One statement; without a relation only the nodes.
pub fn statements(fact: &Fact<'_>) -> String {
    let answer = fact.answer;
    let [x, y, width, height] = fact.area();
    let mut text = format!(
        "MERGE (photo:Photo {{id: {photo}}})\nMERGE (object:Object {{id: {object}}})\n  \
         SET object.x = {x}, object.y = {y}, object.width = {width}, object.height = {height}\n\
         MERGE (object)-[:IN]->(photo)\nMERGE (entity:Entity {{id: {entity}}})\n  SET entity.name = {name}",
        photo = literal(fact.photo()),
        object = literal(&fact.object()),
        entity = literal(&fact.entity()),
        name = literal(&answer.entity.name),
    );
    let types = [
        ("object", &answer.relation.object_type),
        ("entity", &answer.relation.entity_type),
    ];
    for (node, kind) in types {
        if let Some(kind) = kind {
            let _ = write!(text, ", {node}.type = {}", literal(kind)); // a string takes everything
        }
    }
    if let (Some(label), Some(relation)) = (fact.label(), fact.relation()) {
        let _ = write!(
            text,
            "\nMERGE (object)-[relation:{} {{id: {}}}]->(entity)\n  SET relation.label = {}, relation.text = {}, \
             relation.consistent = {}, relation.model = {}, relation.ontology = {}",
            name(relation),
            literal(&fact.id()),
            literal(label),
            literal(fact.text),
            answer.trace.consistent,
            literal(&answer.model.id),
            literal(&answer.model.ontology_hash),
        );
        if let Some(probability) = fact.answer.probability() {
            let _ = write!(text, ", relation.probability = {probability:?}");
        }
    }
    text + ";\n"
}

/// A string between quotes.
fn literal(text: &str) -> String {
    let mut quoted = String::from("'");
    for character in text.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}') => {
                let _ = write!(quoted, "\\u{:04X}", other as u32); // all of these are below 2^16
            }
            other => quoted.push(other),
        }
    }
    quoted + "'"
}

/// A relationship's type between backticks. `\u0060` is read as a backtick before names are: backslashes go.
fn name(text: &str) -> String {
    format!("`{}`", text.replace('\\', "_").replace('`', "``"))
}
