//! Lets in who has a key, where the service has keys. `authorization: Bearer KEY`, or `x-api-key: KEY`.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use crate::app::AppState;
use crate::auth::{Key, Keys};
use crate::error::ApiError;

/// For everything that computes: any key, where there are keys.
pub async fn user(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(keys) = state.keys() {
        identify(&keys, request.headers())?;
    }
    state.hold().await;
    Ok(next.run(request).await)
}

/// For what changes the service: a key with that right. Without keys nobody has it.
pub async fn admin(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let keys = state.keys().ok_or(ApiError::Forbidden)?;
    if !identify(&keys, request.headers())?.admin {
        return Err(ApiError::Forbidden);
    }
    Ok(next.run(request).await)
}

/// The key that was sent; the request's span learns its name.
fn identify<'a>(keys: &'a Keys, headers: &HeaderMap) -> Result<&'a Key, ApiError> {
    let sent = sent(headers).ok_or(ApiError::Unauthorized)?;
    let key = keys.find(sent).ok_or(ApiError::Unauthorized)?;
    tracing::Span::current().record("key", &key.name);
    Ok(key)
}

fn sent(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let bearer = bearer.and_then(|it| {
        let (scheme, key) = it.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer.or_else(|| headers.get("x-api-key")?.to_str().ok())
}
