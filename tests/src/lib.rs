//! What the end-to-end tests share: a model that always gives the same valid answer, questions, and two ways to ask
//! (inside the process, and over a socket). Holds no test.

pub mod annotation;
pub mod expert;
pub mod question;
pub mod socket;
pub mod stub;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use serde_json::Value;
use server::app::{Access, AppState, RequestLimits, Setup, Sources, app};
use server::engine::Engine;
use server::fields::TextLimits;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

use crate::stub::Stub;

/// Small limits, so that tests can break them.
pub const LIMITS: RequestLimits = RequestLimits {
    body: 4 << 20,
    image: vision::Limits {
        max_bytes: 2 << 20,
        max_pixels: 4_000_000,
        max_side: 4096,
    },
    text: TextLimits {
        text: 300,
        entity: 50,
    },
    batch: 8,
    answer_tokens: 64,
};

/// Nothing in the tests takes so long.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Small limits, nobody kept out.
pub fn setup(deadline: Duration) -> Setup {
    Setup {
        limits: LIMITS,
        decoders: 2,
        deadline,
        access: Access::default(),
        sources: Sources::default(),
        fetcher: None,
    }
}

/// A service over `stub` with `places` places, ready.
///
/// # Panics
/// When the system gives no thread.
pub fn state(stub: Stub, places: usize) -> AppState {
    hurried(stub, places, DEADLINE)
}

/// The same, with little patience.
///
/// # Panics
/// When the system gives no thread.
pub fn hurried(stub: Stub, places: usize, deadline: Duration) -> AppState {
    let state = AppState::new(setup(deadline));
    state.install(Engine::start(Arc::new(stub), places).expect("a thread"));
    state
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; a string when it is no JSON.
    pub body: Value,
}

/// Asks the service without a socket.
///
/// # Panics
/// Never: the service answers everything.
pub async fn ask(state: &AppState, request: Request<Body>) -> Answered {
    let response = app(state.clone())
        .oneshot(request)
        .await
        .expect("the service never fails");
    read(response).await
}

async fn read(response: Response) -> Answered {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 16 << 20).await.expect("a body in memory");
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
    Answered {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

impl Answered {
    /// A header as text, empty when absent.
    ///
    /// # Panics
    /// When it is no plain text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("plain text"))
    }

    /// Checks that this is a problem document whole in itself, and gives `status slug field`.
    ///
    /// # Panics
    /// When it is not.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header(header::CONTENT_TYPE.as_str()),
            "application/problem+json",
            "{self:?}"
        );
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        assert!(
            self.body["title"].is_string() && self.body["detail"].is_string(),
            "{self:?}"
        );
        let kind = self.body["type"].as_str().expect("a type");
        let slug = kind
            .strip_prefix("urn:more-r1:problem:")
            .expect("a type of ours");
        assert!(server::error::SLUGS.contains(&slug), "{slug} is not listed");
        format!(
            "{} {slug} {}",
            self.status.as_u16(),
            self.body["field"].as_str().unwrap_or("-")
        )
    }
}
