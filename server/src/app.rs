//! The service: its paths, its layers, what they share. `app(state)` needs no socket and is tested without one.
//!
//! Not here: settings (`settings.rs`), the socket and the signals (`serve.rs`).

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use proto::Ontology;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};
use vision::Limits;

use crate::auth::Keys;
use crate::engine::{Engine, panic_text};
use crate::error::ApiError;
use crate::fetch::Fetcher;
use crate::fields::{FieldError, Image, TextLimits};
use crate::http::{batch, chat, extract, guard, labelstudio, observe, page, status};
use crate::metrics::HttpMetrics;
use crate::pool::Pool;
use crate::settings::{UsageError, read_ontology};

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
    /// Tokens of a conversation's next turn.
    pub answer_tokens: usize,
}

/// What was read again; nothing for what has no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The hash of the relations.
    pub ontology_hash: Option<String>,
    /// How many keys there are.
    pub keys: Option<usize>,
}

/// Why nothing was read again.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no model yet to give relations to.
    #[error("the model is still being loaded")]
    NotReady,
    /// A file is unusable.
    #[error(transparent)]
    File(#[from] UsageError),
}

/// What all requests share.
#[derive(Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

struct Inner {
    engine: OnceLock<Arc<Engine>>,
    /// Since it is about to end: when refusals may be told.
    draining: OnceLock<Instant>,
    pool: Pool,
    limits: RequestLimits,
    deadline: Duration,
    metrics: HttpMetrics,
    keys: RwLock<Option<Arc<Keys>>>,
    origins: Vec<HeaderValue>,
    sources: Sources,
    fetcher: Option<Fetcher>,
}

/// The files that a running service reads again.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The relations.
    pub ontology: Option<PathBuf>,
    /// The keys.
    pub keys: Option<PathBuf>,
}

/// Who may ask, and from where.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Without keys everybody.
    pub keys: Option<Keys>,
    /// Origins of pages that may ask from a browser.
    pub origins: Vec<HeaderValue>,
}

/// How the service is set up, apart from its model.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What a request may ask for.
    pub limits: RequestLimits,
    /// Threads that decode.
    pub decoders: usize,
    /// A question that has no answer after so long is given up.
    pub deadline: Duration,
    /// Who is let in.
    pub access: Access,
    /// What [`AppState::reload`] reads.
    pub sources: Sources,
    /// Who fetches images by address; nobody without.
    pub fetcher: Option<Fetcher>,
}

impl AppState {
    /// A state without an engine: it answers 503 until [`AppState::install`].
    pub fn new(setup: Setup) -> Self {
        let inner = Inner {
            engine: OnceLock::new(),
            draining: OnceLock::new(),
            pool: Pool::new(setup.decoders),
            limits: setup.limits,
            deadline: setup.deadline,
            metrics: HttpMetrics::default(),
            keys: RwLock::new(setup.access.keys.map(Arc::new)),
            origins: setup.access.origins,
            sources: setup.sources,
            fetcher: setup.fetcher,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Gives the service its model; it is ready from here on. A second engine is dropped.
    pub fn install(&self, engine: Engine) {
        let _ = self.inner.engine.set(Arc::new(engine));
    }

    /// Says that the service is about to end: it is not ready any more, what has begun is finished, new work is refused. For as long as
    /// `hold` refusals are held back: who is refused at once looks idle, and a balancer would send it everything until its next check.
    pub fn drain(&self, hold: Duration) {
        let _ = self.inner.draining.set(Instant::now() + hold); // the first call counts
    }

    /// Waits until a refusal may be told, if there is to be one.
    pub(crate) async fn hold(&self) {
        if let Some(&until) = self.inner.draining.get() {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// The engine, when the service takes questions.
    ///
    /// # Errors
    /// [`ApiError::NotReady`] before [`AppState::install`], [`ApiError::ShuttingDown`] after [`AppState::drain`],
    /// [`ApiError::Broken`] when the engine has given up.
    pub fn engine(&self) -> Result<&Arc<Engine>, ApiError> {
        if self.inner.draining.get().is_some() {
            return Err(ApiError::ShuttingDown);
        }
        let engine = self.inner.engine.get().ok_or(ApiError::NotReady)?;
        if engine.has_stopped() {
            return Err(ApiError::Broken);
        }
        Ok(engine)
    }

    /// Reads relations and keys again; if one file is unusable, nothing changes.
    ///
    /// # Errors
    /// What is wrong with which file; no engine yet.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let engine = self.inner.engine.get().ok_or(ReloadError::NotReady)?;
        let Sources { ontology, keys } = &self.inner.sources;
        let ontology = ontology.as_deref().map(read_ontology).transpose()?;
        let keys = keys.as_deref().map(Keys::read).transpose()?;
        let report = Reloaded {
            ontology_hash: ontology.as_ref().map(Ontology::hash),
            keys: keys.as_ref().map(Keys::count),
        };
        if let Some(ontology) = ontology {
            engine.model().set_ontology(ontology);
        }
        if let Some(keys) = keys {
            let mut held = self
                .inner
                .keys
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            *held = Some(Arc::new(keys));
        }
        Ok(report)
    }

    /// `image`, fetched if it is an address and the service fetches any.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`].
    pub(crate) async fn fetched(&self, image: Image) -> Result<Image, FieldError> {
        match (image, &self.inner.fetcher) {
            (Image::Address(address), Some(fetcher)) => {
                Ok(Image::File(fetcher.fetch(address).await?))
            }
            (image, _) => Ok(image),
        }
    }

    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        let keys = self.inner.keys.read();
        keys.unwrap_or_else(PoisonError::into_inner).clone()
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

/// Every path that programs use; the page and the documents have their own.
pub(crate) const PATHS: [&str; 14] = [
    "/extract",
    "/extract/batch",
    "/v1/chat/completions",
    "/v1/models",
    "/ontology",
    "/labelstudio/health",
    "/labelstudio/setup",
    "/labelstudio/predict",
    "/admin/reload",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
];

/// The service.
pub fn app(state: AppState) -> Router {
    let guarded = Router::new()
        .route("/extract", post(extract::extract))
        .route("/extract/batch", post(batch::batch))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(chat::models))
        .route("/ontology", get(status::ontology))
        .route("/labelstudio/health", get(labelstudio::health))
        .route("/labelstudio/setup", post(labelstudio::setup))
        .route("/labelstudio/predict", post(labelstudio::predict))
        .route_layer(from_fn_with_state(state.clone(), guard::user));
    let admin = Router::new()
        .route("/admin/reload", post(status::reload))
        .route_layer(from_fn_with_state(state.clone(), guard::admin));
    let documents = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    let router = Router::new()
        .merge(guarded)
        .merge(admin)
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/openapi.json", get(status::openapi))
        .route("/metrics", get(status::metrics))
        .merge(page::routes())
        .merge(documents)
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
        ));
    let router = match &state.inner.origins[..] {
        [] => router,
        origins => router.layer(cors(origins)),
    };
    router.layer(from_fn_with_state(state, observe::observe))
}

/// Pages of these origins may ask, with a key if there are keys; cookies are never taken.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let id = HeaderName::from_static("x-request-id");
    let key = HeaderName::from_static("x-api-key");
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([CONTENT_TYPE, AUTHORIZATION, key, id.clone()])
        .expose_headers([RETRY_AFTER, id])
}
