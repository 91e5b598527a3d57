//! What the service says about itself: alive, ready, and the description of its interface.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use proto::{Health, OntologyReport};

use crate::app::AppState;
use crate::error::ApiError;

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
    let ontology = state.engine()?.model().ontology();
    Ok(Json(OntologyReport {
        hash: ontology.hash(),
        ontology: (*ontology).clone(),
    }))
}

/// `GET /openapi.json`.
pub async fn openapi() -> impl IntoResponse {
    Json(proto::openapi())
}
