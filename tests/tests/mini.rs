//! The shipped model behind the service: what no stub can show.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use futures_util::StreamExt;
use model::{Extractor, Files, Options};
use proto::Ontology;
use serde_json::{Value, json};
use server::app::{AppState, app};
use server::engine::Engine;
use tests::question::{base64, post};
use tests::{DEADLINE, setup};
use tower::ServiceExt;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn ready() -> AppState {
    ready_with(Options::default())
}

fn ready_with(options: Options) -> AppState {
    let files = Files::Dir(root().join("mini"));
    let extractor = Extractor::open("mini", &files, Ontology::more().clone(), options);
    let extractor = extractor.expect("the shipped checkpoint");
    let state = AppState::new(setup(DEADLINE));
    let engine = Engine::start(Arc::new(extractor), 4).expect("a thread");
    state.install(engine);
    state
}

/// The question of the README.
fn question() -> Value {
    let photo = std::fs::read(root().join("examples/photo.jpg")).expect("the example is there");
    json!({
        "image": base64(&photo),
        "bbox": [257, 122, 320, 233],
        "text": "The Silver Lamp goes to Walter Finch, a regular of Harlow Tigers",
        "entity": "Silver Lamp",
    })
}

async fn ask(state: &AppState, question: &Value) -> Body {
    let response = app(state.clone()).oneshot(post(question.to_string())).await;
    let response = response.expect("the service never fails");
    assert_eq!(response.status(), 200);
    response.into_body()
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_come_while_the_answer_is_written() {
    let state = ready();
    let mut asked = question();
    asked["stream"] = json!(true);
    asked["stream_tokens"] = json!(true);
    let mut frames = ask(&state, &asked).await.into_data_stream();
    let (mut text, mut early) = (String::new(), false);
    while let Some(frame) = frames.next().await {
        text += std::str::from_utf8(&frame.expect("a frame")).expect("text");
        if !early && text.contains("event: step") && !text.contains("event: done") {
            early = state.engine().expect("ready").taken() == 1; // its place is not given back yet
        }
    }
    assert!(early, "the first step came with the last");
    let events = text.split("\n\n").filter_map(|event| {
        let (name, data) = event.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((
            name.to_owned(),
            serde_json::from_str::<Value>(data).expect("JSON"),
        ))
    });
    let events: Vec<(String, Value)> = events.collect();
    let of = |wanted: &str| -> Vec<Value> {
        let named = events.iter().filter(|(name, _)| name == wanted);
        named.map(|(_, data)| data.clone()).collect()
    };
    let (steps, done) = (of("step"), of("done").remove(0));
    assert_eq!(json!(steps), done["trace"]["steps"]);
    assert_eq!(of("relation"), [done["relation"].clone()]);
    let tokens = of("token");
    let written: String = tokens.iter().filter_map(|it| it["text"].as_str()).collect();
    assert_eq!(json!(written), done["trace"]["raw"]);
    assert!(tokens.len() > 50, "{}", tokens.len());
}

/// The same bytes alone, drawn beside samples, in events, with a probability for every label.
#[tokio::test(flavor = "multi_thread")]
async fn wishes_do_not_change_the_answer() {
    let state = ready();
    let answer = async |wish: Value| -> Value {
        let mut asked = question();
        let fields = asked.as_object_mut().expect("an object");
        fields.extend(wish.as_object().expect("an object").clone());
        let bytes = axum::body::to_bytes(ask(&state, &asked).await, 1 << 20).await;
        serde_json::from_slice(&bytes.expect("a body in memory")).expect("JSON")
    };
    let plain = answer(json!({})).await;
    assert_eq!(plain["relation"]["label"], "/per/misc/awarded");
    for wish in [
        json!({"samples": 2}),
        json!({"scores": true}),
        json!({"enforce": "strict"}),
    ] {
        let wished = answer(wish).await;
        assert_eq!(wished["trace"], plain["trace"]);
        assert_eq!(wished["relation"], plain["relation"]);
    }
    let (one, two) = (
        answer(json!({"samples": 2})).await,
        answer(json!({"samples": 2})).await,
    );
    assert_eq!(one["samples"], two["samples"], "samples have seeds");
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_that_make_the_prompt_too_long_are_named() {
    let answer = tests::ask(&ready(), post(question().to_string())).await;
    let fits = answer.body["usage"]["prompt_tokens"].as_u64();
    let state = ready_with(Options {
        max_prompt_tokens: fits.expect("a number") as usize,
        ..Options::default()
    });
    let same = tests::ask(&state, post(question().to_string())).await;
    assert_eq!(same.status, 200);
    let mut many = json!(Ontology::more());
    let label = many["labels"][1].clone(); // the first is none
    let labels = many["labels"].as_array_mut().expect("labels");
    labels.extend((0..70).map(|number| {
        let mut label = label.clone();
        label["name"] = json!(format!("/per/per/r{number}"));
        label
    }));
    let mut asked = question();
    asked["ontology"] = many;
    let answer = tests::ask(&state, post(asked.to_string())).await;
    assert_eq!(answer.problem(), "422 prompt-too-long ontology");
    asked.as_object_mut().expect("fields").remove("ontology");
    asked["text"] = json!(format!(
        "{} and more",
        question()["text"].as_str().expect("a text")
    ));
    let answer = tests::ask(&state, post(asked.to_string())).await;
    assert_eq!(answer.problem(), "422 prompt-too-long text");
}
