//! `POST /extract/batch` over a model without weights: every question alone, the frame whole.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use serde_json::{Value, json};
use server::app::{AppState, app};
use tests::question::{post_to, question};
use tests::stub::{Manner, Stub};
use tests::{ask, state};
use tower::ServiceExt;

/// A photo and text with these pairs.
fn pairs(pairs: impl Into<Value>) -> Value {
    let question = question();
    json!({"image": question["image"], "text": question["text"], "pairs": pairs.into()})
}

async fn send(state: &AppState, batch: &Value) -> axum::response::Response {
    let request = post_to("/extract/batch", batch.to_string());
    app(state.clone())
        .oneshot(request)
        .await
        .expect("the service never fails")
}

/// The lines of the answer, by index.
async fn lines(state: &AppState, batch: &Value) -> BTreeMap<u64, Value> {
    let response = send(state, batch).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("in memory");
    let text = String::from_utf8(body.to_vec()).expect("JSON is UTF-8");
    assert!(text.ends_with('\n'));
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        (line["index"].as_u64().expect("an index"), line)
    });
    lines.collect()
}

#[tokio::test]
async fn pairs_of_one_photo_are_answered_as_single_questions_are() {
    let state = state(Stub::new(Manner::Answer), 8);
    let single = ask(&state, post_to("/extract", question().to_string())).await;
    let (bbox, entity) = (question()["bbox"].clone(), question()["entity"].clone());
    let batch = pairs(json!([
        {"bbox": bbox, "entity": entity},
        {"bbox": [1, 2, 30, 40], "entity": entity},
        {"bbox": bbox, "entity": entity},
    ]));
    let lines = lines(&state, &batch).await;
    assert_eq!(lines.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    for part in ["relation", "trace", "image", "crop", "model"] {
        assert_eq!(lines[&0]["answer"][part], single.body[part], "{part}");
        assert_eq!(lines[&2]["answer"][part], single.body[part], "{part}");
    }
    assert_eq!(lines[&1]["answer"]["crop"]["box"], json!([1, 2, 30, 40]));
}

#[tokio::test]
async fn a_question_fails_alone() {
    let state = state(Stub::new(Manner::Answer), 8);
    let mut broken = question();
    broken["image"] = json!("AQI=");
    let mut outside = question();
    outside["bbox"] = json!([1000, 1000, 1100, 1100]);
    let mut unknown = question();
    unknown["colour"] = json!("red");
    let batch = json!({"items": [question(), broken, outside, unknown, 7, question()]});
    let lines = lines(&state, &batch).await;
    let outcome = |index: u64| match &lines[&index]["problem"] {
        Value::Null => lines[&index]["answer"]["relation"]["label"].clone(),
        problem => json!([problem["status"], problem["field"]]),
    };
    assert_eq!(outcome(0), "/per/misc/present_in");
    assert_eq!(outcome(1), json!([422, "image"]));
    assert_eq!(outcome(2), json!([422, "bbox"]));
    assert_eq!(outcome(3), json!([422, "colour"]));
    assert_eq!(outcome(4), json!([422, null]));
    assert_eq!(outcome(5), "/per/misc/present_in");
}

#[tokio::test]
async fn a_body_that_is_no_batch_fails_whole() {
    let state = state(Stub::new(Manner::Answer), 8);
    let pair = json!({"bbox": [1, 2, 3, 4], "entity": "Italy"});
    let many: Vec<Value> = (0..9).map(|_| pair.clone()).collect();
    let mut no_text = pairs(json!([pair]));
    no_text.as_object_mut().expect("an object").remove("text");
    let mut both = pairs(json!([pair]));
    both["items"] = json!([question()]);
    for (batch, expected) in [
        (json!({}), "422 missing-field items"),
        (json!([]), "422 not-an-object -"),
        (json!({"items": []}), "422 invalid-field items"),
        (json!({"items": 1}), "422 invalid-field items"),
        (json!({"rows": []}), "422 unknown-field rows"),
        (
            json!({"items": [question()], "text": "x"}),
            "422 invalid-field text",
        ),
        (json!({"items": many}), "422 invalid-field items"),
        (pairs(many), "422 invalid-field pairs"),
        (no_text, "422 missing-field text"),
        (both, "422 invalid-field pairs"),
        (
            json!({"image": "AQI=", "text": "x", "pairs": [pair]}),
            "422 invalid-image image",
        ),
        (
            json!({"image": "AQI", "text": "x", "pairs": [pair]}),
            "422 invalid-field image",
        ),
    ] {
        let answer = ask(&state, post_to("/extract/batch", batch.to_string())).await;
        assert_eq!(answer.problem(), expected, "{batch}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_batch_along() {
    let (steps, under_way) = channel();
    let state = state(Stub::new(Manner::Never(Mutex::new(steps))), 8);
    let pair = json!({"bbox": question()["bbox"], "entity": question()["entity"]});
    let response = send(&state, &pairs(json!([pair, pair, pair, pair, pair]))).await;
    let reading = tokio::spawn(to_bytes(response.into_body(), 1 << 20));
    let under_way = tokio::task::spawn_blocking(move || {
        while under_way.recv() != Ok(2) {} // a quarter of the places
        under_way
    });
    let under_way = under_way.await.expect("no panic");
    assert!(
        state.engine().expect("ready").reserve().is_ok(),
        "single questions find room"
    );
    reading.abort();
    let last = tokio::task::spawn_blocking(move || {
        let patience = Duration::from_millis(500);
        std::iter::from_fn(|| under_way.recv_timeout(patience).ok()).last()
    });
    assert_eq!(last.await.expect("no panic"), Some(0));
    assert_eq!(state.engine().expect("ready").taken(), 0);
}

/// Two lanes have two questions each of four.
#[tokio::test]
async fn lanes_get_equal_parts() {
    let (steps, under_way) = channel();
    let mut stub = Stub::new(Manner::Never(Mutex::new(steps)));
    stub.lanes = 2;
    let state = state(stub, 16);
    let pair = json!({"bbox": question()["bbox"], "entity": question()["entity"]});
    let response = send(&state, &pairs(json!([pair, pair, pair, pair]))).await;
    let reading = tokio::spawn(to_bytes(response.into_body(), 1 << 20));
    while state.engine().expect("ready").taken() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let most = tokio::task::spawn_blocking(move || {
        while under_way.recv() != Ok(2) {}
        (0..200).filter_map(|_| under_way.recv().ok()).max()
    });
    assert_eq!(most.await.expect("no panic"), Some(2));
    reading.abort();
}

#[tokio::test]
async fn a_full_house_takes_no_batch() {
    let state = state(Stub::new(Manner::Answer), 1);
    let seat = state
        .engine()
        .expect("ready")
        .reserve()
        .expect("the first place");
    let full = ask(&state, post_to("/extract/batch", Body::empty())).await;
    assert_eq!(full.problem(), "429 overloaded -");
    drop(seat);
}

/// A batch that kept its own place while its questions waited for theirs would wait forever here.
#[tokio::test]
async fn batches_do_not_wait_for_each_other() {
    for places in [1, 2] {
        let state = state(Stub::new(Manner::Answer), places);
        let pair = json!({"bbox": question()["bbox"], "entity": question()["entity"]});
        let batch = pairs(json!([pair, pair, pair]));
        // As many as there are places, all let in before one question is answered.
        let mut reading = vec![];
        for _ in 0..places {
            let response = send(&state, &batch).await;
            assert_eq!(response.status(), StatusCode::OK);
            reading.push(tokio::spawn(to_bytes(response.into_body(), 1 << 20)));
        }
        for body in reading {
            let body = tokio::time::timeout(Duration::from_secs(20), body).await;
            let body = body.expect("nobody waits forever").expect("no panic");
            let lines = body.expect("in memory");
            assert_eq!(lines.split(|&byte| byte == b'\n').count(), 4);
            assert!(!String::from_utf8_lossy(&lines).contains("problem"));
        }
        assert_eq!(state.engine().expect("ready").taken(), 0);
    }
}

#[tokio::test]
async fn a_batch_that_has_begun_is_finished_while_the_service_ends() {
    let (go, signal) = channel();
    let state = state(Stub::new(Manner::Wait(Mutex::new(signal))), 4);
    let pair = json!({"bbox": question()["bbox"], "entity": question()["entity"]});
    let response = send(&state, &pairs(json!([pair, pair, pair]))).await;
    state.drain(std::time::Duration::ZERO);
    for _ in 0..3 {
        go.send(()).expect("the stub waits");
    }
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("in memory");
    let text = String::from_utf8_lossy(&body);
    assert_eq!(text.matches("\"answer\"").count(), 3, "{text}");
}

#[tokio::test]
async fn a_batch_is_json() {
    let state = state(Stub::new(Manner::Answer), 4);
    let form = tests::question::request(
        axum::http::Method::POST,
        "/extract/batch",
        "multipart/form-data; boundary=x",
        Body::empty(),
    );
    let refused = ask(&state, form).await;
    assert_eq!(refused.problem(), "415 unsupported-media-type -");
    let detail = refused.body["detail"].as_str().expect("a detail");
    assert!(detail.ends_with("send application/json"), "{detail}");
}
