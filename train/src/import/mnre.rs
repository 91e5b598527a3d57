//! MNRE, the corpus before MORE: both ends of a relation are entities of the text, and no row has a box. The first type in a label is
//! that of `h`, the second that of `t`; in ours they are the object's and the entity's. So `h` becomes the object, with the whole image
//! for a box unless the row has one (`box`, in `h` or beside it), and `t` becomes the entity. Looks for no object in any image: a
//! model is not told what `h` is called, and rows that differ in nothing else ask it the same.

use std::collections::HashSet;

use proto::{EntityType, Label, NONE, Ontology};
use serde_json::{Map, Value, json};

use crate::data::{self, Head, LineError, Record};

/// What the labels mean that MORE does not have. `alumi` is MNRE's own spelling.
const DEFINITIONS: [(&str, &str); 11] = [
    ("/per/per/parent", "one person is the other's parent"),
    ("/per/per/siblings", "the two persons are siblings"),
    ("/per/per/couple", "the two persons are a couple"),
    ("/per/per/neighbor", "the two persons are neighbors"),
    (
        "/per/per/peer",
        "the two persons are peers: they work, play or appear together",
    ),
    ("/per/per/charges", "one person charges the other"),
    (
        "/per/per/alumi",
        "the two persons are alumni of the same school",
    ),
    ("/per/misc/race", "the person belongs to the race"),
    ("/per/misc/religion", "the person has the religion"),
    ("/misc/misc/part_of", "one is part of the other"),
    ("/misc/loc/held_on", "the event is held at the place"),
];

/// The record of a row, and `h` as the entity it also is, if the row says where.
pub(super) fn record(mut fields: Map<String, Value>) -> Result<(Record, Option<Head>), LineError> {
    let whole = fields.shift_remove("box").filter(|it| !it.is_null());
    let whole = whole.unwrap_or_else(|| json!([0.5, 0.5, 1, 1]));
    let entity = match fields.get("h") {
        Some(Value::Object(object)) if has(object, "pos") => Some(data::head(object)?),
        _ => None,
    };
    let (head, tail) = (fields.shift_remove("h"), fields.shift_remove("t"));
    if matches!(&tail, Some(Value::Object(it)) if has(it, "box")) {
        let reason = "is the entity's; the object with a box is `h`".to_owned();
        return Err(LineError::Field("t.box", reason));
    }
    fields.extend(tail.map(|it| ("h".to_owned(), it)));
    fields.extend(head.map(|mut it| {
        if let Value::Object(object) = &mut it {
            // Its `pos` is a span of tokens.
            object.shift_remove("pos");
            if !has(object, "box") {
                object.insert("box".to_owned(), whole);
            }
        }
        ("t".to_owned(), it)
    }));
    let record = data::record(&fields).map_err(|error| match error {
        LineError::Field(field, reason) => LineError::Field(theirs(field), reason),
        syntax @ LineError::Syntax(_) => syntax,
    })?;
    Ok((record, entity))
}

/// Whether a key is there and has a value.
fn has(fields: &Map<String, Value>, key: &str) -> bool {
    fields.get(key).is_some_and(|it| !it.is_null())
}

/// What MNRE calls a field of ours.
fn theirs(field: &'static str) -> &'static str {
    match field {
        "h" => "t",
        "h.name" => "t.name",
        "h.pos" => "t.pos",
        "t" => "h",
        "t.name" => "h.name",
        "t.box" => "box",
        other => other,
    }
}

/// The ontology of these labels: `none` and those that carry two types. Definitions are MORE's, MNRE's, or the name in words.
pub(super) fn ontology(labels: &[String]) -> Ontology {
    let mut types: Vec<EntityType> = vec![];
    let mut seen = HashSet::from([NONE]);
    let mut relations = vec![Ontology::more().find(NONE).expect("MORE has it").clone()];
    for name in labels {
        let parts: Vec<&str> = name.split('/').collect();
        let &["", object, entity, word] = &parts[..] else {
            continue;
        };
        if !seen.insert(name) {
            continue;
        }
        for code in [object, entity] {
            if types.iter().all(|known| known.name != code) {
                types.push(entity_type(code));
            }
        }
        relations.push(Label {
            name: name.clone(),
            object_type: Some(object.to_owned()),
            entity_type: Some(entity.to_owned()),
            definition: definition(name, word),
        });
    }
    Ontology {
        name: "mnre".to_owned(),
        types,
        labels: relations,
    }
}

/// A type with the word that MORE has for it.
fn entity_type(code: &str) -> EntityType {
    let more = Ontology::more().types.iter().find(|it| it.name == code);
    more.cloned().unwrap_or_else(|| EntityType {
        name: code.to_owned(),
        description: code.to_owned(),
    })
}

fn definition(name: &str, word: &str) -> String {
    if let Some(label) = Ontology::more().find(name) {
        return label.definition.clone();
    }
    let own = DEFINITIONS.iter().find(|(label, _)| *label == name);
    own.map_or_else(
        || word.replace(['_', '-'], " "),
        |(_, meaning)| (*meaning).to_owned(),
    )
}
