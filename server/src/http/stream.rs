//! `POST /extract` with `stream`: the answer as server-sent events while it is written. Each step when it is complete, every piece of
//! text if asked for, then the relation and the whole answer; a failure on the way is the last event.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{Stream, unfold};
use model::tokenizer::Growing;
use proto::{TokenEvent, steps_so_far};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::ApiError;
use crate::http::extract::Pending;

/// Proxies close connections that say nothing for a minute or less.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// The events of `pending`, whose tokens come as they are `written`; with every piece of text if `tokens`.
pub fn events(
    pending: Pending,
    written: UnboundedReceiver<Vec<u32>>,
    tokens: bool,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let reading = Reading {
        pending,
        written,
        tokens,
        growing: Growing::default(),
        raw: String::new(),
        steps: 0,
        ready: VecDeque::new(),
        ended: false,
    };
    let events = unfold(reading, |mut reading| async move {
        let event = reading.next().await?;
        Some((Ok(event), reading))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

/// An answer that is read while it is written.
struct Reading {
    pending: Pending,
    written: UnboundedReceiver<Vec<u32>>,
    tokens: bool,
    growing: Growing,
    /// What has been told of the answer.
    raw: String,
    /// Steps told.
    steps: usize,
    ready: VecDeque<Event>,
    ended: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() && !self.ended {
            tokio::select! {
                biased; // what was written before the answer comes before it
                Some(ids) = self.written.recv() => {
                    let tokenizer = self.pending.model().tokenizer();
                    let piece = tokenizer.read_on(&mut self.growing, &ids, false);
                    self.read(&piece);
                }
                answer = self.pending.answer() => self.end(answer),
            }
        }
        self.ready.pop_front()
    }

    fn read(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.raw += piece;
        if self.tokens {
            let text = piece.to_owned();
            self.ready.push_back(event("token", &TokenEvent { text }));
        }
        let steps = steps_so_far(&self.raw);
        for step in &steps[self.steps..] {
            self.ready.push_back(event("step", step));
        }
        self.steps = steps.len();
    }

    fn end(&mut self, answer: Result<proto::ExtractResponse, ApiError>) {
        self.ended = true;
        match answer {
            Ok(answer) => {
                // The last tokens come with the answer only.
                let told = self.raw.len();
                self.read(answer.trace.raw.get(told..).unwrap_or_default());
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
