//! `POST /extract` with `stream`: the answer as server-sent events while it is written. Each step when it is complete, every piece of
//! text if asked for, then the relation and the whole answer; a failure on the way is the last event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{Stream, unfold};
use proto::{TokenEvent, steps_so_far};
use serde::Serialize;

use crate::error::ApiError;
use crate::http::extract::Pending;

/// Proxies close connections that say nothing for a minute or less.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The events of `pending`, with every piece of text if `tokens`.
pub fn events(
    pending: Pending,
    tokens: bool,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let reading = Reading {
        pending: Some(pending),
        tokens,
        raw: String::new(),
        steps: 0,
        ready: VecDeque::new(),
    };
    let events = unfold(reading, |mut reading| async move {
        let event = reading.next().await?;
        Some((Ok(event), reading))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

/// An answer that is read while it is written.
struct Reading {
    /// None once it has ended.
    pending: Option<Pending>,
    tokens: bool,
    raw: String,
    /// Steps told.
    steps: usize,
    ready: VecDeque<Event>,
}

impl Reading {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let pending = self.pending.as_mut()?;
            let mut written = pending.written.take();
            let piece = match &mut written {
                None => None,
                Some(pieces) => tokio::select! {
                    biased; // what was written before the answer comes before it
                    piece = pieces.recv() => piece,
                    answer = pending.answer() => {
                        // The last piece may have come between the two looks.
                        while let Ok(piece) = pieces.try_recv() {
                            self.read(piece);
                        }
                        self.end(answer);
                        continue;
                    }
                },
            };
            if let Some(piece) = piece {
                pending.written = written;
                self.read(piece);
            } else {
                let answer = pending.answer().await; // nothing more is written
                self.end(answer);
            }
        }
    }

    fn read(&mut self, piece: String) {
        self.raw += &piece;
        if self.tokens {
            self.ready
                .push_back(event("token", &TokenEvent { text: piece }));
        }
        let steps = steps_so_far(&self.raw);
        for step in &steps[self.steps..] {
            self.ready.push_back(event("step", step));
        }
        self.steps = steps.len();
    }

    fn end(&mut self, answer: Result<proto::ExtractResponse, ApiError>) {
        self.pending = None;
        match answer {
            Ok(answer) => {
                self.ready.push_back(event("relation", &answer.relation));
                self.ready.push_back(event("done", &answer));
            }
            Err(error) => {
                tracing::info!(problem = error.slug(), detail = %error, "a stream failed");
                self.ready.push_back(event("error", &error.problem()));
            }
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("plain data");
    Event::default().event(name).data(data)
}
