//! The service: its paths, its layers, what they share. `app(state)` needs no socket and is tested without one.
//!
//! Not here: settings (`settings.rs`), the socket and the signals (`serve.rs`).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use vision::Limits;

use crate::engine::{Engine, panic_text};
use crate::error::ApiError;
use crate::fields::TextLimits;
use crate::http::{batch, extract, observe, page, status};
use crate::metrics::HttpMetrics;
use crate::pool::Pool;

/// What a request may ask for at most.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Bytes of a body.
    pub body: usize,
    /// Of the image.
    pub image: Limits,
    /// Of the texts.
    pub text: TextLimits,
    /// Questions of a batch.
    pub batch: usize,
}

/// What all requests share.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    engine: OnceLock<Arc<Engine>>,
    draining: AtomicBool,
    pool: Pool,
    limits: RequestLimits,
    deadline: Duration,
    metrics: HttpMetrics,
}

impl AppState {
    /// A state without an engine: it answers 503 until [`AppState::install`]. A question that has no answer after `deadline` is
    /// given up.
    pub fn new(limits: RequestLimits, decoders: usize, deadline: Duration) -> Self {
        let inner = Inner {
            engine: OnceLock::new(),
            draining: AtomicBool::new(false),
            pool: Pool::new(decoders),
            limits,
            deadline,
            metrics: HttpMetrics::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Gives the service its model; it is ready from here on. A second engine is dropped.
    pub fn install(&self, engine: Engine) {
        let _ = self.inner.engine.set(Arc::new(engine));
    }

    /// Says that the service is about to end: it is not ready any more, what has begun is finished.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// The engine, when the service takes questions.
    ///
    /// # Errors
    /// [`ApiError::NotReady`] before [`AppState::install`], [`ApiError::ShuttingDown`] after [`AppState::drain`].
    pub fn engine(&self) -> Result<&Arc<Engine>, ApiError> {
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(ApiError::ShuttingDown);
        }
        self.inner.engine.get().ok_or(ApiError::NotReady)
    }

    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.inner.metrics
    }

    /// The engine, whether or not it takes questions.
    pub(crate) fn loaded(&self) -> Option<&Arc<Engine>> {
        self.inner.engine.get()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    pub(crate) fn limits(&self) -> &RequestLimits {
        &self.inner.limits
    }
}

/// The service.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/extract", post(extract::extract))
        .route("/extract/batch", post(batch::batch))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/ontology", get(status::ontology))
        .route("/openapi.json", get(status::openapi))
        .route("/metrics", get(status::metrics))
        .merge(page::routes())
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|method: Method| async move {
            ApiError::MethodNotAllowed {
                method: method.to_string(),
            }
        })
        .with_state(state.clone())
        .layer(DefaultBodyLimit::disable()) // `http/body.rs` has a limit of its own, with an answer of ours.
        .layer(CatchPanicLayer::custom(
            |panic: Box<dyn std::any::Any + Send>| {
                use axum::response::IntoResponse;
                ApiError::Internal(format!(
                    "a handler panicked: {}",
                    panic_text(panic.as_ref())
                ))
                .into_response()
            },
        ))
        .layer(from_fn_with_state(state, observe::observe))
}
