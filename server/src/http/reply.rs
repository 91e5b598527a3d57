//! The engine's reply: awaited no longer than the service has patience, whole or as events while it is written.
//!
//! Not here: what the events say (`stream.rs`, `chat.rs`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{Stream, unfold};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant as Moment, timeout_at};

use crate::engine::{EngineError, Reply, Written};
use crate::error::ApiError;

/// Proxies close connections that say nothing for a minute or less.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A task that the engine has; dropping it gives the task up.
pub struct Awaited {
    reply: Reply,
    until: Moment,
    patience: Duration,
}

impl Awaited {
    /// Waits for `reply` until `patience` after `start`.
    pub fn new(reply: Reply, start: Instant, patience: Duration) -> Self {
        Self {
            reply,
            until: (start + patience).into(),
            patience,
        }
    }

    /// What was written.
    ///
    /// # Errors
    /// A model that refuses or fails, no reply in time.
    pub async fn written(&mut self) -> Result<Written, ApiError> {
        let written = timeout_at(self.until, &mut self.reply).await;
        let written = written.map_err(|_| ApiError::TooLate {
            seconds: self.patience.as_secs(),
        })?;
        Ok(written.unwrap_or(Err(EngineError::Stopped))?)
    }
}

/// Who turns a reply into events.
pub trait Tell: Send + 'static {
    /// Tokens were written.
    fn read(&mut self, ids: &[u32]) -> Vec<Event>;

    /// The reply is there, or it failed: the last events.
    fn end(&mut self, written: Result<Written, ApiError>) -> Vec<Event>;
}

/// The events that `teller` makes, those of `first` before, of a task whose tokens come as they are `read`.
pub fn events(
    teller: impl Tell,
    first: Vec<Event>,
    awaited: Awaited,
    read: UnboundedReceiver<Vec<u32>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let telling = Telling {
        teller,
        ready: first.into(),
        awaited: Some(awaited),
        read,
    };
    let events = unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((Ok(event), telling))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

struct Telling<T> {
    teller: T,
    ready: VecDeque<Event>,
    /// Nothing once the reply was told.
    awaited: Option<Awaited>,
    read: UnboundedReceiver<Vec<u32>>,
}

impl<T: Tell> Telling<T> {
    async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty()
            && let Some(awaited) = &mut self.awaited
        {
            tokio::select! {
                biased; // what was written before the end comes before it
                Some(ids) = self.read.recv() => self.ready.extend(self.teller.read(&ids)),
                written = awaited.written() => {
                    if let Err(error) = &written {
                        tracing::info!(problem = error.slug(), detail = %error, "a stream failed");
                    }
                    self.ready.extend(self.teller.end(written));
                    self.awaited = None;
                }
            }
        }
        self.ready.pop_front()
    }
}
