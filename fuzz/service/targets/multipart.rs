//! A content type, a line feed, and any bytes as a form, through the whole service over a model without weights: an answer or a
//! problem of the client's, never a fault of ours.
#![no_main]

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;
use server::app::AppState;
use tests::stub::{Manner, Stub};
use tokio::runtime::{Builder, Runtime};

static SERVICE: LazyLock<(Runtime, AppState)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    let state = tests::state(Stub::new(Manner::Answer), 4);
    (runtime.expect("a runtime"), state)
});

fuzz_target!(|data: &[u8]| {
    let mut halves = data.splitn(2, |&byte| byte == b'\n');
    let (Some(kind), Some(body)) = (halves.next(), halves.next()) else {
        return;
    };
    let Ok(kind) = HeaderValue::from_bytes(kind) else {
        return;
    };
    let request = Request::post("/extract")
        .header(CONTENT_TYPE, kind)
        .body(Body::from(body.to_vec()));
    let (runtime, state) = &*SERVICE;
    let answered = runtime.block_on(tests::ask(state, request.expect("a request")));
    if answered.status != 200 {
        let problem = answered.problem();
        assert!(answered.status.is_client_error(), "{problem}");
    }
});
