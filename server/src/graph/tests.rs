//! JSON-LD and Turtle say the same; nothing that a caller writes becomes syntax.

use oxjsonld::{JsonLdParser, JsonLdRemoteDocument};
use oxrdf::dataset::CanonicalizationAlgorithm;
use oxrdf::{Graph, Triple};
use oxttl::TurtleParser;
use proto::ExtractResponse;
use serde_json::json;

use super::*;

/// The part of <http://www.w3.org/ns/anno.jsonld> that is used.
const CONTEXT: &str = r#"{"@context": {
    "oa": "http://www.w3.org/ns/oa#", "dcterms": "http://purl.org/dc/terms/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "xsd": "http://www.w3.org/2001/XMLSchema#",
    "id": {"@type": "@id", "@id": "@id"}, "type": {"@type": "@id", "@id": "@type"},
    "Annotation": "oa:Annotation", "SpecificResource": "oa:SpecificResource", "TextualBody": "oa:TextualBody",
    "FragmentSelector": "oa:FragmentSelector", "TextQuoteSelector": "oa:TextQuoteSelector",
    "TextPositionSelector": "oa:TextPositionSelector", "linking": "oa:linking",
    "body": {"@type": "@id", "@id": "oa:hasBody"}, "target": {"@type": "@id", "@id": "oa:hasTarget"},
    "source": {"@type": "@id", "@id": "oa:hasSource"}, "selector": {"@type": "@id", "@id": "oa:hasSelector"},
    "motivation": {"@type": "@vocab", "@id": "oa:motivatedBy"}, "conformsTo": {"@type": "@id", "@id": "dcterms:conformsTo"},
    "value": "rdf:value", "exact": "oa:exact", "prefix": "oa:prefix", "suffix": "oa:suffix",
    "start": {"@type": "xsd:nonNegativeInteger", "@id": "oa:start"},
    "end": {"@type": "xsd:nonNegativeInteger", "@id": "oa:end"}
}}"#;

const TEXT: &str = "Wow: the \"World\"  Cup\\ 'is' here\n`}) DETACH DELETE (n) //";

fn answer(label: &str, scored: bool) -> ExtractResponse {
    let scores = json!([{"label": label, "probability": 1e-3}]);
    serde_json::from_value(json!({
        "relation": {"label": label, "object_type": "per", "entity_type": null},
        "entity": {"name": "\"World\" Cup\\", "start": 9, "end": 22},
        "trace": {"steps": [], "candidates": [], "consistent": true, "raw": ""},
        "image": {"id": "https://example.org/a%20b.jpg", "width": 9, "height": 9, "format": "png", "grid": [1, 2, 2], "tokens": 1},
        "crop": {"box": [10, 20, 110, 220], "clipped": false, "width": 100, "height": 200, "grid": [1, 2, 2], "tokens": 1},
        "model": {"id": "mini", "hash": "h", "dtype": "f32", "template": "prefix", "ontology": "more", "ontology_hash": "o"},
        "usage": {"prompt_tokens": 1, "image_tokens": 1, "completion_tokens": 1, "forced_tokens": 1, "total_tokens": 2},
        "timings_ms": {"queue": 0.0, "preprocess": 0.0, "vision": 0.0, "prefill": 0.0, "decode": 0.0, "total": 0.0},
        "finish_reason": "stop",
        "scores": if scored { scores } else { json!(null) },
    }))
    .expect("a whole answer")
}

const LABELS: [&str; 3] = ["/per/misc/present_in", "none", "/per/`odd` label\\u0060"];

fn canonical(triples: impl Iterator<Item = Triple>) -> Vec<String> {
    let mut graph: Graph = triples.collect();
    graph.canonicalize(CanonicalizationAlgorithm::Unstable);
    let mut lines: Vec<String> = graph.iter().map(|it| it.to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn json_ld_and_turtle_are_the_same_triples() {
    for (label, scored) in LABELS.into_iter().zip([true, true, false]) {
        let answer = answer(label, scored);
        let fact = Fact {
            answer: &answer,
            text: TEXT,
        };
        let turtle = Format::Turtle.write(&fact);
        let turtle = TurtleParser::new().for_slice(&turtle);
        let turtle = canonical(turtle.map(|it| it.expect("valid Turtle")));
        let annotation = Format::JsonLd.write(&fact);
        let parser = JsonLdParser::new().for_slice(&annotation);
        let parser = parser.with_load_document_callback(|url, _| {
            assert_eq!(url, "http://www.w3.org/ns/anno.jsonld");
            Ok(JsonLdRemoteDocument {
                document: CONTEXT.as_bytes().to_vec(),
                document_url: url.to_owned(),
            })
        });
        let json_ld = parser.map(|quad| Triple::from(quad.expect("valid JSON-LD")));
        assert_eq!(canonical(json_ld), turtle, "{label}");
        let related = turtle
            .iter()
            .any(|it| it.contains("<urn:more-r1:relation:"));
        assert_eq!(related, label != "none");
        assert!(
            turtle
                .iter()
                .any(|it| it.contains("\"xywh=pixel:10,20,100,200\""))
        );
        assert!(turtle.iter().any(|it| it.contains("<http://www.w3.org/ns/oa#exact> \"\\\"World\\\"  Cup\\\\\"")));
    }
}

#[test]
fn a_statement_holds_its_values_in_quotes() {
    let answer = answer(LABELS[2], true);
    let fact = Fact {
        answer: &answer,
        text: TEXT,
    };
    let cypher = Format::Cypher.write(&fact);
    let whole = r#"'Wow: the "World"  Cup\\ \'is\' here\n`}) DETACH DELETE (n) //'"#;
    assert!(cypher.contains(whole), "{cypher}");
    assert!(
        cypher.contains("[relation:```odd`` label_u0060` {id:"),
        "{cypher}"
    );
    assert!(
        cypher.contains("relation.probability = 0.001;\n"),
        "{cypher}"
    );
    assert_eq!(cypher.matches(";\n").count(), 1);
    let none = self::answer("none", false);
    let nodes = Format::Cypher.write(&Fact {
        answer: &none,
        text: TEXT,
    });
    assert!(!nodes.contains("relation:") && nodes.contains("MERGE (entity:Entity"));
}

#[test]
fn rows_have_the_columns_of_the_head() {
    let answer = answer(LABELS[0], true);
    let fact = Fact {
        answer: &answer,
        text: TEXT,
    };
    let format = Format::Csv;
    let remark = format
        .remark(7, "invalid-box")
        .expect("tables know remarks");
    let table = format.head() + &format.write(&fact) + &remark;
    let mut reader = ::csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<Vec<String>> = reader
        .deserialize()
        .map(|row| row.expect("as many cells as columns"))
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0][0],
        "https://example.org/a%20b.jpg#xywh=pixel:10,20,100,200"
    );
    assert_eq!(
        rows[0][10..15],
        ["present_in", LABELS[0], "0.001", "true", TEXT]
    );
    assert_eq!(
        rows[1].last().map(String::as_str),
        Some("question 7: invalid-box")
    );
}

/// The heads in the documentation fit the table.
#[test]
fn the_heads_for_the_import_have_as_many_columns() {
    let columns = Format::Csv.head().split(',').count();
    let document = include_str!("../../../docs/formats.md");
    for file in ["objects.csv ", "entities.csv ", "relations.csv "] {
        let head = document.lines().find(|line| line.starts_with(file));
        assert_eq!(head.expect(file).split(',').count(), columns, "{file}");
    }
}

#[test]
fn a_client_gets_the_form_it_likes_best() {
    for (header, format) in [
        ("*/*", Some(Format::Json)),
        ("text/turtle", Some(Format::Turtle)),
        (
            "text/turtle;q=0.5, application/ld+json",
            Some(Format::JsonLd),
        ),
        ("text/html, application/json;q=0.1", Some(Format::Json)),
        ("text/csv; charset=utf-8", Some(Format::Csv)),
        ("text/turtle;q=0", None),
        ("image/png", None),
    ] {
        assert_eq!(Format::accepted(header), format, "{header}");
    }
    assert_eq!("cypher".parse(), Ok(Format::Cypher));
    assert!("xml".parse::<Format>().is_err());
}
