//! One table, one row a relation: for `LOAD CSV`, and with the header files in `docs/formats.md` for Neo4j's bulk import.

use ::csv::{QuoteStyle, Terminator, WriterBuilder};

use super::Fact;

const COLUMNS: [&str; 18] = [
    "object",
    "photo",
    "x",
    "y",
    "width",
    "height",
    "object_type",
    "entity",
    "entity_name",
    "entity_type",
    "relation",
    "label",
    "probability",
    "consistent",
    "text",
    "model",
    "ontology",
    "problem",
];

/// The names of the columns.
pub fn head() -> String {
    line(COLUMNS.map(str::to_owned))
}

/// One answer.
pub fn row(fact: &Fact<'_>) -> String {
    let answer = fact.answer;
    let [x, y, width, height] = fact.area().map(|it| it.to_string());
    let or_empty = |it: &Option<String>| it.clone().unwrap_or_default();
    line([
        fact.object(),
        fact.photo().to_owned(),
        x,
        y,
        width,
        height,
        or_empty(&answer.relation.object_type),
        fact.entity(),
        answer.entity.name.clone(),
        or_empty(&answer.relation.entity_type),
        fact.relation().unwrap_or(proto::NONE).to_owned(),
        answer.relation.label.clone(),
        fact.answer
            .probability()
            .map(|it| it.to_string())
            .unwrap_or_default(),
        answer.trace.consistent.to_string(),
        fact.text.to_owned(),
        answer.model.id.clone(),
        answer.model.ontology_hash.clone(),
        String::new(),
    ])
}

/// A question without an answer.
pub fn problem(index: usize, slug: &str) -> String {
    let mut cells: [String; COLUMNS.len()] = Default::default();
    cells[COLUMNS.len() - 1] = format!("question {index}: {slug}");
    line(cells)
}

fn line(cells: [String; COLUMNS.len()]) -> String {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .quote_style(QuoteStyle::Necessary)
        .from_writer(vec![]);
    writer
        .write_record(cells)
        .expect("every row has every column");
    let bytes = writer.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("made of strings")
}
