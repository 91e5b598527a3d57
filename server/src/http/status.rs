//! What the service says about itself: alive, ready, and the description of its interface.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use proto::Health;

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

/// `GET /openapi.json`.
pub async fn openapi() -> impl IntoResponse {
    Json(proto::openapi())
}
