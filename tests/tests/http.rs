//! The service, mostly without a socket: what a right question gets, and what the service says about itself.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;
use tests::question::{get, multipart, photo, post, question, request, with};
use tests::socket::{exchange, raw_post, start};
use tests::stub::{Manner, Stub};
use tests::{ask, state};

#[tokio::test]
async fn a_question_is_answered() {
    let state = state(Stub::new(Manner::Answer), 4);
    let answer = ask(&state, post(question().to_string())).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = &answer.body;
    assert_eq!(
        body["relation"],
        json!({"label": "/per/misc/present_in", "object_type": "per", "entity_type": "misc"})
    );
    assert_eq!(body["trace"]["steps"].as_array().map(Vec::len), Some(6));
    assert_eq!(body["trace"]["steps"][3]["title"], "Entity types");
    assert_eq!(body["trace"]["consistent"], true);
    assert_eq!(
        body["trace"]["candidates"].as_array().map(Vec::len),
        Some(6)
    );
    // 120×90 becomes 112×84 in steps of 28, and patches of 14.
    let id = format!("urn:blake3:{}", blake3::hash(&photo(120, 90)).to_hex());
    assert_eq!(
        body["image"],
        json!({"id": id, "width": 120, "height": 90, "format": "png", "grid": [1, 6, 8], "tokens": 12})
    );
    assert_eq!(
        body["crop"],
        json!({"box": [10, 20, 61, 80], "clipped": false, "width": 51, "height": 60, "grid": [1, 4, 4], "tokens": 4})
    );
    assert_eq!(
        body["usage"],
        json!({"prompt_tokens": 100, "image_tokens": 60, "completion_tokens": 50, "forced_tokens": 30, "cached_tokens": 0, "total_tokens": 150})
    );
    assert_eq!(body["model"]["id"], "stub");
    assert_eq!(body["finish_reason"], "stop");
    for name in [
        "queue",
        "preprocess",
        "vision",
        "prefill",
        "decode",
        "total",
    ] {
        assert!(body["timings_ms"][name].is_number(), "{name}");
    }
}

#[tokio::test]
async fn a_form_is_answered_like_json() {
    let state = state(Stub::new(Manner::Answer), 4);
    let image = photo(120, 90);
    let form = multipart(&[
        ("text", b"Italy Storms Back Into the World Cup"),
        ("entity", b"world  cup"),
        ("bbox", b"10, 20, 50, 60"),
        ("box_format", b"xywh"),
        ("image", &image),
    ]);
    let formed = ask(&state, form).await;
    assert_eq!(formed.status, StatusCode::OK, "{formed:?}");
    let plain = ask(
        &state,
        post(with("bbox", json!([10, 20, 60, 80])).to_string()),
    )
    .await;
    for part in ["relation", "trace", "image", "crop", "usage"] {
        assert_eq!(formed.body[part], plain.body[part], "{part}");
    }
}

#[tokio::test]
async fn a_box_partly_outside_is_cut_and_reported() {
    let state = state(Stub::new(Manner::Answer), 4);
    let answer = ask(
        &state,
        post(with("bbox", json!([-5, 20, 500, 80])).to_string()),
    )
    .await;
    assert_eq!(answer.body["crop"]["box"], json!([0, 20, 120, 80]));
    assert_eq!(answer.body["crop"]["clipped"], true);
}

#[tokio::test]
async fn the_probes_tell_alive_from_ready() {
    let loading = server::app::AppState::new(tests::setup(tests::DEADLINE));
    assert_eq!(
        ask(&loading, get("/healthz")).await.body,
        json!({"status": "ok"})
    );
    let early = ask(&loading, get("/readyz")).await;
    assert_eq!(early.problem(), "503 not-ready -");
    assert!(!early.header("retry-after").is_empty());
    assert_eq!(
        ask(&loading, post(question().to_string())).await.problem(),
        "503 not-ready -"
    );

    let state = state(Stub::new(Manner::Answer), 1);
    assert_eq!(
        ask(&state, get("/readyz")).await.body,
        json!({"status": "ready"})
    );
    state.drain(std::time::Duration::ZERO);
    assert_eq!(
        ask(&state, get("/readyz")).await.problem(),
        "503 shutting-down -"
    );
    assert_eq!(ask(&state, get("/healthz")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_description_names_every_path() {
    let state = state(Stub::new(Manner::Answer), 1);
    let answer = ask(&state, get("/openapi.json")).await;
    let paths = answer.body["paths"].as_object().expect("paths");
    let mut names: Vec<&str> = paths.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "/admin/reload",
            "/extract",
            "/extract/batch",
            "/healthz",
            "/labelstudio/health",
            "/labelstudio/predict",
            "/labelstudio/setup",
            "/metrics",
            "/ontology",
            "/openapi.json",
            "/readyz",
            "/v1/chat/completions",
            "/v1/models"
        ]
    );
}

#[tokio::test]
async fn wrong_ways_in_are_problems_too() {
    let state = state(Stub::new(Manner::Answer), 1);
    let none = Body::empty;
    assert_eq!(
        ask(&state, get("/nowhere")).await.problem(),
        "404 not-found -"
    );
    let wrong = ask(&state, get("/extract")).await;
    assert_eq!(wrong.problem(), "405 method-not-allowed -");
    assert_eq!(wrong.header("allow"), "POST");
    let wrong = ask(&state, request(Method::DELETE, "/readyz", "", none())).await;
    assert_eq!(wrong.problem(), "405 method-not-allowed -");
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "image/png",
    ] {
        let wrong = ask(&state, request(Method::POST, "/extract", kind, none())).await;
        assert_eq!(wrong.problem(), "415 unsupported-media-type -", "{kind}");
    }
    let charset = request(
        Method::POST,
        "/extract",
        "Application/JSON; charset=utf-8",
        question().to_string().into(),
    );
    assert_eq!(ask(&state, charset).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_plain_request_id_is_kept() {
    let state = state(Stub::new(Manner::Answer), 1);
    let asked = |id: &str| {
        let mut request = get("/healthz");
        request
            .headers_mut()
            .insert("x-request-id", id.parse().expect("a header"));
        request
    };
    assert_eq!(
        ask(&state, asked("abc-1")).await.header("x-request-id"),
        "abc-1"
    );
    assert_eq!(
        ask(&state, asked("a b")).await.header("x-request-id").len(),
        36
    );
    assert_eq!(
        ask(&state, asked(&"a".repeat(129)))
            .await
            .header("x-request-id")
            .len(),
        36
    );
}

/// vllm#9238, #29869, #58192: preprocessing starves the engine, a 503 comes after seconds of image work.
#[tokio::test]
async fn a_full_house_says_so_before_it_reads() {
    let (go, signal) = channel();
    let state = state(Stub::new(Manner::Wait(Mutex::new(signal))), 1);
    let first = tokio::spawn({
        let state = state.clone();
        async move { ask(&state, post(question().to_string())).await }
    });
    // Until the first request has the only place, the second takes it and waits.
    let busy = loop {
        tokio::task::yield_now().await;
        if state.engine().is_ok_and(|engine| engine.reserve().is_err()) {
            break ask(&state, post("not even JSON")).await;
        }
    };
    assert_eq!(busy.problem(), "429 overloaded -");
    assert_eq!(busy.header("retry-after"), "2");
    go.send(()).expect("the stub waits");
    assert_eq!(first.await.expect("no panic").status, StatusCode::OK);
    drop(go);
    assert_eq!(
        ask(&state, post(question().to_string())).await.status,
        StatusCode::OK
    );
}

/// vllm#54947: work goes on after the client left.
#[tokio::test]
async fn a_client_that_leaves_frees_its_place_within_a_step() {
    let (steps, under_way) = channel();
    let state = state(Stub::new(Manner::Never(Mutex::new(steps))), 1);
    let asking = tokio::spawn({
        let state = state.clone();
        async move { ask(&state, post(question().to_string())).await }
    });
    let under_way = tokio::task::spawn_blocking(move || {
        assert_eq!(under_way.recv(), Ok(1), "the question is under way");
        under_way
    });
    let under_way = under_way.await.expect("it was");
    asking.abort();
    assert!(asking.await.is_err());
    // Steps that had begun may still report it; then the thread waits for new questions.
    let last = tokio::task::spawn_blocking(move || {
        let patience = std::time::Duration::from_millis(500);
        std::iter::from_fn(|| under_way.recv_timeout(patience).ok()).last()
    });
    assert_eq!(last.await.expect("no panic"), Some(0));
    let engine = state.engine().expect("ready");
    assert!(engine.reserve().is_ok(), "the place is free again");
}

#[tokio::test]
async fn a_question_without_an_answer_is_given_up() {
    let (steps, _under_way) = channel();
    let stub = Stub::new(Manner::Never(Mutex::new(steps)));
    let state = tests::hurried(stub, 1, std::time::Duration::from_millis(50));
    let late = ask(&state, post(question().to_string())).await;
    assert_eq!(late.problem(), "504 too-late -");
}

/// Who refuses at once looks idle to a balancer that counts connections.
#[tokio::test]
async fn refusals_of_a_draining_service_are_held_back() {
    let state = state(Stub::new(Manner::Answer), 1);
    let hold = std::time::Duration::from_millis(300);
    let begin = std::time::Instant::now();
    state.drain(hold);
    assert_eq!(
        ask(&state, get("/readyz")).await.problem(),
        "503 shutting-down -"
    );
    assert!(begin.elapsed() < hold, "balancers are told at once");
    let refused = ask(&state, post(question().to_string())).await;
    assert_eq!(refused.problem(), "503 shutting-down -");
    assert!(begin.elapsed() >= hold);
}

#[tokio::test]
async fn an_engine_that_panics_on_everything_is_not_ready() {
    let state = state(Stub::new(Manner::Panic), 1);
    for _ in 0..3 {
        assert_eq!(ask(&state, get("/readyz")).await.status, StatusCode::OK);
        let answer = ask(&state, post(question().to_string())).await;
        assert_eq!(answer.problem(), "500 internal -");
    }
    // The thread ends after its last reply.
    for _ in 0..100 {
        let ready = ask(&state, get("/readyz")).await;
        if ready.status != StatusCode::OK {
            assert_eq!(ready.problem(), "503 not-ready -");
            let refused = ask(&state, post(question().to_string())).await;
            assert_eq!(refused.problem(), "503 not-ready -");
            assert_eq!(ask(&state, get("/healthz")).await.status, StatusCode::OK);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("still ready");
}

#[tokio::test]
async fn failures_of_the_model_stay_inside() {
    for manner in [Manner::Panic, Manner::Fail("hunter2")] {
        let state = state(Stub::new(manner), 1);
        for _ in 0..2 {
            // The second time shows that the engine's thread and the place survived the first.
            let answer = ask(&state, post(question().to_string())).await;
            assert_eq!(answer.problem(), "500 internal -");
            let text = answer.body.to_string();
            assert!(
                !text.contains("hunter2") && !text.contains("secret") && !text.contains("Italy"),
                "{text}"
            );
        }
    }
}

/// A balancer that is refused asks the next question over the same connection: opening one while the house is full costs more than
/// the refusal.
#[tokio::test]
async fn a_refusal_keeps_the_connection() {
    let state = state(Stub::new(Manner::Answer), 1);
    let taken = state.engine().expect("ready").reserve().expect("a place");
    let running = start(state, Duration::from_secs(5)).await;
    let address = running.address;
    let last = raw_post(&vec![b' '; 200_000]); // more than is read with the head
    let first = String::from_utf8(last.clone()).expect("spaces");
    let first = first.replacen("connection: close\r\n", "", 1);
    let both = [first.into_bytes(), last].concat();
    let told = tokio::task::spawn_blocking(move || exchange(address, &both));
    let told = told.await.expect("no panic");
    assert_eq!(told.matches("HTTP/1.1 429").count(), 2, "{told}");
    drop(taken);
}
