//! Reads a request's body: at most so long, within so much time. Knows nothing of what is in it.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use tokio::time::timeout;

use crate::error::ApiError;

/// How long a body may take: 20 MiB over a slow mobile line.
const DEADLINE: Duration = Duration::from_mins(1);

/// How long we listen to a body that is too long, so that the client reads our answer instead of a broken pipe.
const LINGER: Duration = Duration::from_secs(2);

/// A body of a request that is refused: up to so many bytes, for so long, are passed over for the connection's sake.
const SKIMMED: usize = 1 << 20;
const SKIM: Duration = Duration::from_millis(5);

/// Passes over a body that has arrived or is about to, so that the connection outlives a refusal: what is left unread closes it, and who
/// asks again would have to open another while the house is full.
pub async fn skim(headers: &HeaderMap, mut body: Body) {
    if announced(headers).is_some_and(|length| length <= SKIMMED) {
        // Too slow is fine here: the connection closes.
        let _ = timeout(SKIM, async {
            while let Some(Ok(_)) = next(&mut body).await {}
        })
        .await;
    }
}

/// What the header says of the length.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body.
///
/// # Errors
/// When it is longer than `limit`, breaks off, or takes too long.
pub async fn read(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let announced = announced(headers);
    let result = if announced.is_some_and(|length| length > limit) {
        Err(ApiError::BodyTooLarge { limit })
    } else {
        let collected = timeout(DEADLINE, collect(&mut body, limit, announced.unwrap_or(0))).await;
        collected.unwrap_or(Err(ApiError::BodyTooSlow {
            seconds: DEADLINE.as_secs(),
        }))
    };
    if matches!(result, Err(ApiError::BodyTooLarge { .. })) {
        // Too slow is fine here: the answer goes out either way.
        let _ = timeout(LINGER, async {
            while let Some(Ok(_)) = next(&mut body).await {}
        })
        .await;
    }
    result
}

async fn collect(body: &mut Body, limit: usize, announced: usize) -> Result<Vec<u8>, ApiError> {
    // An announced length is only a promise: room for a megabyte, the rest as it comes.
    let mut bytes = Vec::with_capacity(announced.min(1 << 20));
    while let Some(frame) = next(body).await {
        let frame = frame.map_err(|error| ApiError::BodyBroken {
            reason: error.to_string(),
        })?;
        if bytes.len() + frame.len() > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}
