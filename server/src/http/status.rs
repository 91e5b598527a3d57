//! What the service says about itself: alive, ready, and the description of its interface.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use proto::{Health, Ontology, OntologyReport};

use crate::app::{AppState, ReloadError, Reloaded};
use crate::error::ApiError;
use crate::metrics;

/// `GET /healthz`: the process runs. Says nothing about the model.
pub async fn healthz() -> Json<Health> {
    Json(Health {
        status: "ok".to_owned(),
    })
}

/// `GET /readyz`: the model is loaded and questions are taken.
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Health>, ApiError> {
    state.engine()?;
    Ok(Json(Health {
        status: "ready".to_owned(),
    }))
}

/// `GET /ontology`: the relations that questions without their own are answered with.
pub async fn ontology(State(state): State<AppState>) -> Result<Json<OntologyReport>, ApiError> {
    let script = state.engine()?.model().script();
    Ok(Json(OntologyReport {
        hash: script.hash().to_owned(),
        ontology: Ontology::clone(script.ontology()),
    }))
}

/// `POST /admin/reload`: reads relations and keys again, as SIGHUP does.
pub async fn reload(State(state): State<AppState>) -> Result<Json<Reloaded>, ApiError> {
    match state.reload() {
        Ok(report) => Ok(Json(report)),
        Err(ReloadError::NotReady) => Err(ApiError::NotReady),
        Err(ReloadError::File(error)) => Err(ApiError::Internal(error.to_string())),
    }
}

/// `GET /metrics`: counts and times, of the engine too once it is loaded.
pub async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    let engine = state.loaded();
    let engine = engine.map(|it| (it.metrics(), it.taken()));
    let text = metrics::text(state.metrics(), engine);
    let text = text.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}

/// `GET /openapi.json`.
pub async fn openapi() -> impl IntoResponse {
    Json(proto::openapi())
}
