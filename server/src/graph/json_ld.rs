//! An answer as a Web Annotation (W3C, 2017): the target is the object in the photo, the body the entity in the text, and the
//! relation stands between the two. The terms that are no annotation's are whole IRIs, so that the standard context suffices.

use serde_json::{Map, Value, json};

use super::{Fact, term};

/// The annotation.
pub fn annotation(fact: &Fact<'_>) -> Value {
    let answer = fact.answer;
    let (prefix, suffix) = fact.context();
    let mut target = json!({
        "id": fact.object(),
        "type": "SpecificResource",
        "source": fact.photo(),
        "selector": {
            "type": "FragmentSelector",
            "conformsTo": "http://www.w3.org/TR/media-frags/",
            "value": fact.fragment(),
        },
    });
    let mut body = json!({
        "id": fact.entity(),
        "type": "SpecificResource",
        "source": {"id": fact.text_id(), "type": "TextualBody", "value": fact.text},
        "selector": [
            {"type": "TextQuoteSelector", "exact": quoted(fact), "prefix": prefix, "suffix": suffix},
            {"type": "TextPositionSelector", "start": answer.entity.start, "end": answer.entity.end},
        ],
    });
    let mut annotation = json!({
        "@context": "http://www.w3.org/ns/anno.jsonld",
        "id": fact.id(),
        "type": "Annotation",
        "motivation": "linking",
    });
    let types = [
        (&mut target, &answer.relation.object_type),
        (&mut body, &answer.relation.entity_type),
    ];
    for (node, kind) in types {
        if let Some(kind) = kind {
            node["type"] = json!(["SpecificResource", term("type", kind)]);
        }
    }
    if let Some(label) = fact.label() {
        target[term("relation", label)] = json!({"id": fact.entity()});
    }
    let own: Map<String, Value> = [
        ("label", Some(json!(answer.relation.label))),
        ("consistent", Some(json!(answer.trace.consistent))),
        (
            "probability",
            fact.answer
                .probability()
                .map(|it| json!({"@type": DOUBLE, "@value": format!("{it:?}")})),
        ),
        ("model", Some(json!(answer.model.id))),
        ("ontology", Some(json!(answer.model.ontology_hash))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((term("property", name), value?)))
    .collect();
    annotation["target"] = target;
    annotation["body"] = body;
    annotation.as_object_mut().expect("made as one").extend(own);
    annotation
}

const DOUBLE: &str = "http://www.w3.org/2001/XMLSchema#double";

/// The entity as the text writes it.
pub fn quoted(fact: &Fact<'_>) -> String {
    let entity = &fact.answer.entity;
    let length = entity.end - entity.start;
    fact.text.chars().skip(entity.start).take(length).collect()
}
