//! One span and one line of log a request, under an id the client may choose. Images and texts are never logged,
//! nor the details of 4xx problems, which quote them.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::request_id::{MakeRequestId, MakeRequestUuid, RequestId};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::app::{AppState, PATHS};
use crate::error::ApiError;
use crate::http::page;
use crate::telemetry::continue_trace;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a client.
const ID_BYTES: usize = 128;

/// The outermost layer.
pub async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let path = known_path(request.uri().path());
    let id = request_id(&request);
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path,
        key = Empty,
        status = Empty,
        prompt_tokens = Empty,
        completion_tokens = Empty,
        queue_ms = Empty,
        prefill_ms = Empty,
        decode_ms = Empty,
    );
    continue_trace(&span, request.headers());
    request.extensions_mut().insert(RequestId::new(id.clone()));
    async move {
        let start = Instant::now();
        let mut response = next.run(request).await;
        response.headers_mut().insert(REQUEST_ID, id);
        log(&response, start);
        let status = response.status().as_u16();
        Span::current().record("status", status);
        state.metrics().answered(path, status, start.elapsed());
        response
    }
    .instrument(span)
    .await
}

fn log(response: &Response, start: Instant) {
    let status = response.status().as_u16();
    let millis = start.elapsed().as_millis();
    match response.extensions().get::<Arc<ApiError>>() {
        None => tracing::info!(status, millis, "answered"),
        Some(error) if status == 429 || status == 503 => {
            tracing::warn!(status, millis, problem = error.slug(), "turned away");
        }
        Some(error) if status < 500 => {
            tracing::info!(
                status,
                millis,
                problem = error.slug(),
                field = error.field(),
                "refused"
            );
        }
        Some(error) => {
            tracing::error!(status, millis, problem = error.slug(), detail = %error, "failed");
        }
    }
}

/// The client's id when it is short and plain, else one of ours.
fn request_id(request: &Request) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= ID_BYTES && bytes.iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = request.headers().get(REQUEST_ID).filter(plain) {
        return id.clone();
    }
    MakeRequestUuid
        .make_request_id(request)
        .expect("a fresh UUID is always a header value")
        .into_header_value()
}

/// Paths are logged by name: an unknown one may hold anything.
fn known_path(path: &str) -> &'static str {
    if path.starts_with("/docs") {
        return "/docs";
    }
    PATHS
        .into_iter()
        .chain(page::paths())
        .find(|known| *known == path)
        .unwrap_or("(unknown)")
}
