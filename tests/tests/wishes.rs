//! What a question may ask for beside the answer: scores, an ontology of its own, an answer in events. Over a model without weights.

use axum::body::to_bytes;
use axum::http::StatusCode;
use proto::Ontology;
use serde_json::{Value, json};
use server::app::app;
use tests::question::{get, multipart, photo, post, post_to, question, with};
use tests::stub::{Manner, Stub};
use tests::{ask, state};
use tower::ServiceExt;

/// Three relations under names of their own.
fn ontology() -> Value {
    json!({
        "name": "small",
        "types": [{"name": "per", "description": "person"}, {"name": "misc", "description": "thing"}],
        "labels": [
            {"name": "/per/misc/present_in", "object_type": "per", "entity_type": "misc", "definition": "is there"},
            {"name": "/per/misc/awarded", "object_type": "per", "entity_type": "misc", "definition": "got it"},
            {"name": "none", "object_type": null, "entity_type": null, "definition": "nothing"},
        ],
    })
}

fn hash(ontology: &Value) -> String {
    let ontology: Ontology = serde_json::from_value(ontology.clone()).expect("an ontology");
    ontology.hash()
}

#[tokio::test]
async fn scores_are_given_to_who_asks() {
    let state = state(Stub::new(Manner::Answer), 4);
    let plain = ask(&state, post(question().to_string())).await;
    assert!(plain.body.get("scores").is_none() && plain.body.get("abstained").is_none());
    let scored = ask(&state, post(with("scores", json!(true)).to_string())).await;
    let scores = scored.body["scores"].as_array().expect("scores");
    assert_eq!(scores.len(), 21);
    let sum: f64 = scores
        .iter()
        .filter_map(|it| it["probability"].as_f64())
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
}

#[tokio::test]
async fn improbable_labels_are_withheld() {
    let state = state(Stub::new(Manner::Answer), 4);
    // The stub is never surer than one in twenty-one.
    for (least, label, abstained) in [(0.9, "none", true), (0.01, "/per/misc/present_in", false)] {
        let answer = ask(
            &state,
            post(with("abstain_below", json!(least)).to_string()),
        )
        .await;
        assert_eq!(answer.body["relation"]["label"], label);
        assert_eq!(answer.body["abstained"], abstained);
        assert!(answer.body.get("scores").is_none());
    }
}

#[tokio::test]
async fn a_question_may_bring_its_relations() {
    let state = state(Stub::new(Manner::Answer), 4);
    let own = ask(&state, post(with("ontology", ontology()).to_string())).await;
    assert_eq!(own.status, StatusCode::OK, "{own:?}");
    assert_eq!(own.body["model"]["ontology"], "small");
    assert_eq!(own.body["model"]["ontology_hash"], hash(&ontology()));
    let told = ask(&state, get("/ontology")).await;
    assert_eq!(told.body["hash"], Ontology::more().hash());
    assert_eq!(told.body["ontology"], json!(Ontology::more()));
    let plain = ask(&state, post(question().to_string())).await;
    assert_eq!(plain.body["model"]["ontology_hash"], told.body["hash"]);
    // What the service tells can be sent back.
    let same = with("ontology", told.body["ontology"].clone());
    let same = ask(&state, post(same.to_string())).await;
    assert_eq!(
        same.body["model"]["ontology_hash"], told.body["hash"],
        "{same:?}"
    );
}

#[tokio::test]
async fn the_relations_can_be_exchanged_while_the_service_runs() {
    let state = state(Stub::new(Manner::Answer), 4);
    let other: Ontology = serde_json::from_value(ontology()).expect("an ontology");
    state.engine().expect("ready").model().set_ontology(other);
    let told = ask(&state, get("/ontology")).await;
    assert_eq!(told.body["ontology"]["name"], "small");
    let answer = ask(&state, post(question().to_string())).await;
    assert_eq!(answer.body["model"]["ontology_hash"], hash(&ontology()));
}

#[tokio::test]
async fn a_form_can_ask_for_the_same() {
    let state = state(Stub::new(Manner::Answer), 4);
    let (image, relations) = (photo(120, 90), ontology().to_string());
    let answer = ask(
        &state,
        multipart(&[
            ("image", &image),
            ("bbox", b"10,20,60,80"),
            ("text", b"Italy Storms Back Into the World Cup"),
            ("entity", b"World Cup"),
            ("enforce", b"strict"),
            ("scores", b"true"),
            ("abstain_below", b"0.2"),
            ("ontology", relations.as_bytes()),
        ]),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["scores"].as_array().map(Vec::len), Some(3));
    assert_eq!(answer.body["abstained"], false);
    assert_eq!(answer.body["model"]["ontology"], "small");
}

#[tokio::test]
async fn unusable_wishes_name_their_field() {
    let state = state(Stub::new(Manner::Answer), 4);
    let mut untyped = ontology();
    untyped["labels"][0]["object_type"] = Value::Null;
    let mut nameless = ontology();
    nameless["labels"][0]["name"] = json!(7);
    let mut partial = ontology();
    partial["labels"][0]
        .as_object_mut()
        .expect("a label")
        .shift_remove("definition");
    let mut many = ontology();
    let labels = (0..300).map(|i| {
        json!({"name": format!("/per/misc/r{i}"), "object_type": "per", "entity_type": "misc", "definition": "x"})
    });
    let none = json!({"name": "none", "object_type": null, "entity_type": null, "definition": "x"});
    many["labels"] = labels.chain([none]).collect();
    let mut wordy = ontology();
    wordy["types"][0]["description"] = json!("person ".repeat(50));
    for (field, value) in [
        ("enforce", json!("always")),
        ("scores", json!("yes")),
        ("abstain_below", json!(1.5)),
        ("abstain_below", json!("0.5")),
        ("ontology", json!("more")),
        ("ontology", untyped),
        ("ontology", nameless),
        ("ontology", partial),
        ("ontology", many),
        ("ontology", wordy),
        ("stream", json!(1)),
        ("stream_tokens", json!(true)),
    ] {
        let answer = ask(&state, post(with(field, value.clone()).to_string())).await;
        assert_eq!(
            answer.problem(),
            format!("422 invalid-field {field}"),
            "{value}"
        );
    }
}

/// The events of a stream: name and data.
async fn events(question: &Value, manner: Manner) -> Vec<(String, Value)> {
    let state = state(Stub::new(manner), 4);
    let response = app(state)
        .oneshot(post(question.to_string()))
        .await
        .expect("the service never fails");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("in memory");
    let text = String::from_utf8(body.to_vec()).expect("events are UTF-8");
    let event = |block: &str| {
        let mut lines = block.lines();
        let name = lines.next()?.strip_prefix("event: ")?.to_owned();
        let data = lines.next()?.strip_prefix("data: ")?;
        Some((name, serde_json::from_str(data).ok()?))
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_stream_tells_six_steps_and_ends_with_the_whole_answer() {
    let events = events(&with("stream", json!(true)), Manner::Answer).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "step", "step", "step", "step", "step", "step", "relation", "done"
        ]
    );
    let state = state(Stub::new(Manner::Answer), 4);
    let whole = ask(&state, post(question().to_string())).await;
    for (index, (_, step)) in events[..6].iter().enumerate() {
        assert_eq!(*step, whole.body["trace"]["steps"][index]);
    }
    assert_eq!(events[6].1, whole.body["relation"]);
    assert_eq!(events[7].1["trace"], whole.body["trace"]);
}

#[tokio::test]
async fn the_tokens_of_a_stream_are_the_answer() {
    let mut question = with("stream", json!(true));
    question["stream_tokens"] = json!(true);
    let events = events(&question, Manner::Answer).await;
    let tokens = events.iter().filter(|(name, _)| name == "token");
    let text: String = tokens
        .filter_map(|(_, data)| data["text"].as_str())
        .collect();
    let (_, done) = events.last().expect("events");
    assert_eq!(text, done["trace"]["raw"].as_str().expect("an answer"));
}

#[tokio::test]
async fn a_stream_that_fails_says_so_and_leaks_nothing() {
    let events = events(&with("stream", json!(true)), Manner::Fail("secret")).await;
    assert_eq!(events.len(), 1, "{events:?}");
    let (name, problem) = &events[0];
    assert_eq!((name.as_str(), &problem["status"]), ("error", &json!(500)));
    assert!(!problem.to_string().contains("secret"), "{problem}");
}

#[tokio::test]
async fn faults_before_the_stream_are_problems_as_always() {
    let state = state(Stub::new(Manner::Answer), 4);
    let mut question = with("stream", json!(true));
    question["entity"] = json!("Spain");
    let answer = ask(&state, post(question.to_string())).await;
    assert_eq!(answer.problem(), "422 entity-not-in-text entity");
}

#[tokio::test]
async fn pairs_share_the_wishes_of_their_batch_and_items_have_their_own() {
    let state = state(Stub::new(Manner::Answer), 8);
    let single = question();
    let pair = json!({"bbox": single["bbox"], "entity": single["entity"]});
    let batch = json!({
        "image": single["image"], "text": single["text"], "pairs": [pair],
        "scores": true, "ontology": ontology(),
    });
    let answer = ask(&state, post_to("/extract/batch", batch.to_string())).await;
    assert_eq!(
        answer.body["answer"]["scores"].as_array().map(Vec::len),
        Some(3),
        "{answer:?}"
    );
    let batch = json!({"items": [single], "scores": true});
    let answer = ask(&state, post_to("/extract/batch", batch.to_string())).await;
    assert_eq!(answer.problem(), "422 invalid-field scores");
    let batch = json!({"items": [with("stream", json!(true))]});
    let answer = ask(&state, post_to("/extract/batch", batch.to_string())).await;
    assert_eq!(answer.body["problem"]["field"], "stream", "{answer:?}");
    // A field given twice inside an item is seen: the item's own text is what is read.
    let twice = single.to_string().replacen('{', r#"{"text":"a","#, 1);
    let batch = format!(r#"{{"items":[{twice}]}}"#);
    let answer = ask(&state, post_to("/extract/batch", batch)).await;
    assert_eq!(answer.body["problem"]["field"], "text", "{answer:?}");
}
