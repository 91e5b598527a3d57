//! `POST /extract` with `stream`: the answer as events while it is written. Each step when it is complete, every piece of text if asked
//! for, then the relation and the whole answer; a failure on the way is the last event.

use axum::response::sse::Event;
use model::tokenizer::Growing;
use proto::{TokenEvent, steps_so_far};
use serde::Serialize;

use crate::engine::Written;
use crate::error::ApiError;
use crate::http::extract::Posed;
use crate::http::reply::Tell;

/// An answer that is read while it is written.
pub struct Reading {
    posed: Posed,
    /// Whether every piece of text is an event.
    tokens: bool,
    growing: Growing,
    /// What has been told of the answer.
    raw: String,
    /// Steps told.
    steps: usize,
}

impl Reading {
    /// Nothing has been written yet.
    pub fn new(posed: Posed, tokens: bool) -> Self {
        Self {
            posed,
            tokens,
            growing: Growing::default(),
            raw: String::new(),
            steps: 0,
        }
    }

    fn tell(&mut self, piece: &str) -> Vec<Event> {
        let mut events = vec![];
        if piece.is_empty() {
            return events;
        }
        self.raw += piece;
        if self.tokens {
            let text = piece.to_owned();
            events.push(event("token", &TokenEvent { text }));
        }
        let steps = steps_so_far(&self.raw);
        events.extend(steps[self.steps..].iter().map(|step| event("step", step)));
        self.steps = steps.len();
        events
    }
}

impl Tell for Reading {
    fn read(&mut self, ids: &[u32]) -> Vec<Event> {
        let tokenizer = self.posed.model().tokenizer();
        let piece = tokenizer.read_on(&mut self.growing, ids, false);
        self.tell(&piece)
    }

    fn end(&mut self, written: Result<Written, ApiError>) -> Vec<Event> {
        match written {
            Ok(written) => {
                let answer = self.posed.answer(written);
                // The last tokens come with the answer only.
                let told = self.raw.len();
                let mut events = self.tell(answer.trace.raw.get(told..).unwrap_or_default());
                events.push(event("relation", &answer.relation));
                events.push(event("done", &answer));
                events
            }
            Err(error) => vec![event("error", &error.problem())],
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("plain data");
    Event::default().event(name).data(data)
}
