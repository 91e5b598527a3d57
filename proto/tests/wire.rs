//! The shapes on the wire and the document that describes them. Asks no running service.

use proto::{
    BboxError, BoxFormatName, CropReport, EntityReport, ExtractRequest, ExtractResponse,
    FinishReason, ImageReport, ModelReport, Ontology, Relation, Template, Timings, TraceReport,
    Usage, openapi, parse, parse_bbox, render,
};
use serde_json::{Value, json};

fn request() -> Value {
    json!({"image": "aGk=", "bbox": [1, 2.5, 3, 4], "text": "Italy storms back", "entity": "Italy"})
}

#[test]
fn a_request_needs_no_box_format() {
    let request: ExtractRequest = serde_json::from_value(request()).expect("complete");
    assert_eq!(request.box_format, BoxFormatName::Xyxy);
    assert!((request.bbox[1] - 2.5).abs() < f64::EPSILON);
}

#[test]
fn every_box_format_reads_and_shows_the_same_in_json_and_text() {
    for name in ["xyxy", "xywh", "cxcywh", "percent"] {
        let format: BoxFormatName = name.parse().expect("known");
        assert_eq!(format.to_string(), name);
        assert_eq!(serde_json::to_value(format).expect("a string"), json!(name));
        assert_eq!(
            serde_json::from_value::<BoxFormatName>(json!(name)).expect("known"),
            format
        );
    }
    assert!("XYXY".parse::<BoxFormatName>().is_err());
}

/// Each message names the field or says what is missing, so that the server can pass it on.
#[test]
fn a_wrong_request_is_refused_with_a_reason() {
    type Spoil = fn(&mut Value);
    let cases: [(Spoil, &str); 8] = [
        (|r| r["bbox"] = json!([1, 2, 3]), "length 3"),
        (|r| r["bbox"] = json!([1, 2, 3, 4, 5]), "length 5"),
        (|r| r["bbox"] = json!([1, 2, 3, null]), "null"),
        (|r| r["bbox"] = json!("1,2,3,4"), "string"),
        (|r| r["box_format"] = json!("yolo"), "yolo"),
        (|r| r["colour"] = json!("red"), "colour"),
        (|r| r["text"] = json!(7), "7"),
        (
            |r| drop(r.as_object_mut().and_then(|fields| fields.remove("entity"))),
            "entity",
        ),
    ];
    for (spoil, reason) in cases {
        let mut request = request();
        spoil(&mut request);
        let error = serde_json::from_value::<ExtractRequest>(request)
            .expect_err(reason)
            .to_string();
        assert!(error.contains(reason), "{error:?} should name {reason:?}");
    }
    let twice = r#"{"image":"","image":"","bbox":[1,2,3,4],"text":"","entity":""}"#;
    assert!(serde_json::from_str::<ExtractRequest>(twice).is_err());
}

#[test]
fn a_box_in_text_form_is_four_numbers() {
    assert_eq!(
        parse_bbox("10,20.5, 200 ,3e2"),
        Ok([10.0, 20.5, 200.0, 300.0])
    );
    assert_eq!(
        parse_bbox("1,2,3"),
        Err(BboxError::Count {
            text: "1,2,3".to_owned(),
            got: 3
        })
    );
    assert_eq!(
        parse_bbox(""),
        Err(BboxError::Count {
            text: String::new(),
            got: 1
        })
    );
    assert_eq!(
        parse_bbox("1,2,,4"),
        Err(BboxError::Number {
            text: "1,2,,4".to_owned(),
            part: String::new()
        })
    );
    assert!(parse_bbox("[1,2,3,4]").is_err());
    assert!(parse_bbox("NaN,inf,0,0").expect("numbers in the sense of Rust")[0].is_nan());
}

fn response(label: &str) -> ExtractResponse {
    let ontology = Ontology::more();
    let types = "The object is of type per and the entity 'Arsenal' is of type org.";
    let filter = "Left are /per/org/opposed_to, /per/org/leader_of, /per/org/member_of and none.";
    let raw =
        render(&["One.", "Two.", "Three.", types, filter, "Six."], label).expect("plain texts");
    let trace = parse(ontology, &raw).expect("rendered");
    ExtractResponse {
        relation: Relation::new(ontology, &trace),
        trace: TraceReport::new(ontology, &trace, &raw),
        entity: EntityReport {
            name: "Arsenal".to_owned(),
            start: 3,
            end: 10,
        },
        image: ImageReport {
            id: "urn:blake3:00".to_owned(),
            width: 640,
            height: 480,
            format: "png".to_owned(),
            grid: [1, 34, 46],
            tokens: 391,
        },
        crop: CropReport {
            r#box: [1, 2, 3, 4],
            clipped: true,
            width: 2,
            height: 2,
            grid: [1, 4, 4],
            tokens: 4,
        },
        model: ModelReport {
            id: "mini".to_owned(),
            hash: "00".to_owned(),
            dtype: "f32".to_owned(),
            template: Template::Prefix,
            ontology: ontology.name.clone(),
            ontology_hash: ontology.hash(),
        },
        usage: Usage::default(),
        timings_ms: Timings::default(),
        finish_reason: FinishReason::Stop,
        scores: None,
        abstained: None,
        samples: None,
    }
}

#[test]
fn a_response_has_exactly_the_promised_keys() {
    let body = serde_json::to_value(response("/per/org/member_of")).expect("plain data");
    let keys = |value: &Value| {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        keys(&body),
        "relation entity trace image crop model usage timings_ms finish_reason"
    );
    assert_eq!(keys(&body["relation"]), "label object_type entity_type");
    assert_eq!(keys(&body["trace"]), "steps candidates consistent raw");
    assert_eq!(keys(&body["trace"]["steps"][5]), "number title text");
    assert_eq!(keys(&body["image"]), "id width height format grid tokens");
    assert_eq!(keys(&body["crop"]), "box clipped width height grid tokens");
    assert_eq!(
        keys(&body["model"]),
        "id hash dtype template ontology ontology_hash"
    );
    assert_eq!(
        keys(&body["usage"]),
        "prompt_tokens image_tokens completion_tokens forced_tokens cached_tokens total_tokens"
    );
    assert_eq!(
        keys(&body["timings_ms"]),
        "queue preprocess vision prefill decode total"
    );
    assert_eq!(body["trace"]["consistent"], true);
    assert_eq!(body["model"]["template"], "prefix");
    assert_eq!(body["finish_reason"], "stop");
    assert_eq!(
        body["relation"],
        json!({"label": "/per/org/member_of", "object_type": "per", "entity_type": "org"})
    );
}

#[test]
fn none_takes_its_types_from_the_trace_and_other_labels_from_themselves() {
    let relation = |label| serde_json::to_value(response(label).relation).expect("plain data");
    assert_eq!(
        relation("none"),
        json!({"label": "none", "object_type": "per", "entity_type": "org"})
    );
    assert_eq!(
        relation("/loc/loc/contain"),
        json!({"label": "/loc/loc/contain", "object_type": "loc", "entity_type": "loc"})
    );
    assert!(!response("/loc/loc/contain").trace.consistent);
}

#[test]
fn the_document_describes_both_forms_of_the_request() {
    let document = serde_json::to_value(openapi()).expect("the document is JSON");
    for (path, method) in [
        ("/extract", "post"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/openapi.json", "get"),
    ] {
        assert!(
            document["paths"][path][method].is_object(),
            "{method} {path}"
        );
    }
    let schemas = &document["components"]["schemas"];
    let fields = |name: &str| {
        let schema = &schemas[name];
        assert_eq!(
            schema["additionalProperties"], false,
            "{name} refuses unknown fields"
        );
        assert_eq!(
            schema["required"],
            json!(["image", "bbox", "text", "entity"]),
            "{name}"
        );
        schema["properties"]
            .as_object()
            .expect("fields")
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(fields("ExtractRequest"), fields("ExtractForm"));
    let bbox = &schemas["ExtractRequest"]["properties"]["bbox"];
    assert_eq!(
        (&bbox["minItems"], &bbox["maxItems"]),
        (&json!(4), &json!(4))
    );
    let content = &document["paths"]["/extract"]["post"]["requestBody"]["content"];
    assert!(content["application/json"].is_object() && content["multipart/form-data"].is_object());
    assert_eq!(
        schemas["Relation"]["required"],
        json!(["label", "object_type", "entity_type"]),
        "types are present, if null"
    );
    let refusal = &document["paths"]["/extract"]["post"]["responses"]["422"]["content"];
    assert!(refusal["application/problem+json"].is_object());
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(openapi()).expect("the document is JSON");
    let text = document.to_string();
    let mut count = 0;
    for tail in text.split(r##""$ref":"#"##).skip(1) {
        let pointer = tail
            .split('"')
            .next()
            .expect("split gives one part at least");
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 10, "only {count} references");
}

/// `docs/openapi.json` is for readers without a running service. `UPDATE_DOCS=1 cargo test --workspace` writes it anew.
#[test]
fn the_document_in_the_docs_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let text = serde_json::to_string_pretty(&openapi()).expect("the document is JSON") + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).expect("docs/ can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/openapi.json is not the document that is served: write it with UPDATE_DOCS=1"
    );
}
