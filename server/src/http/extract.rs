//! `POST /extract`: a place, the body, the pixels, the answer, in this order, so that a full house costs no work.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use model::Answer;
use proto::ExtractResponse;
use tokio::sync::mpsc::unbounded_channel;
use tracing::Span;

use crate::app::AppState;
use crate::engine::{Engine, Extract, Reader, Seat, Task, Written};
use crate::error::ApiError;
use crate::fields::{Asked, FieldError};
use crate::graph::{Fact, Format};
use crate::http::admit::{Admitted, admit};
use crate::http::answer::{Seen, answer};
use crate::http::form::{Form, wanted};
use crate::http::reply;
use crate::http::reply::Awaited;
use crate::http::stream::Reading;
use crate::prepare::prepare;

/// The handler.
pub async fn extract(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let format = wanted(&request)?;
    let admitted = admit(&state, request, &[Form::Json, Form::Multipart]).await?;
    let Admitted {
        start,
        engine,
        seat,
        form,
        parts,
        bytes,
    } = admitted;
    let asked = form.read(parts, bytes, &state).await?;
    let asked = asked.check(state.limits().text)?;
    let wishes = &asked.wishes;
    if wishes.stream {
        if format != Format::Json {
            let reason = "events are JSON: ask for another format without stream";
            return Err(FieldError::invalid("stream", reason).into());
        }
        let tokens = wishes.stream_tokens;
        let (reader, written) = unbounded_channel(); // at most an answer's length is ever in it
        let Pending { posed, awaited } =
            pose(&state, &engine, seat, start, asked, Some(reader)).await?;
        let reading = Reading::new(posed, tokens);
        return Ok(reply::events(reading, vec![], awaited, written).into_response());
    }
    let mut pending = pose(&state, &engine, seat, start, asked, None).await?;
    let answer = pending.answer().await?;
    let text = pending.seen().text();
    let fact = Fact {
        answer: &answer,
        text,
    };
    let written = format.head() + &format.write(&fact);
    Ok(([(CONTENT_TYPE, format.media_type())], written).into_response())
}

/// A question that the engine has; dropping it gives it up.
pub struct Pending {
    posed: Posed,
    awaited: Awaited,
}

impl Pending {
    /// What is known of the question.
    pub fn seen(&self) -> &Seen {
        &self.posed.seen
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// A model that refuses or fails, no answer in time.
    pub async fn answer(&mut self) -> Result<ExtractResponse, ApiError> {
        let written = self.awaited.written().await?;
        Ok(self.posed.answer(written))
    }
}

/// What makes a response of what the engine writes.
pub struct Posed {
    model: Arc<dyn Extract>,
    seen: Seen,
    scores: bool,
    abstain_below: Option<f64>,
}

impl Posed {
    /// Who answers.
    pub fn model(&self) -> &dyn Extract {
        self.model.as_ref()
    }

    /// The response.
    ///
    /// # Panics
    /// When a conversation was written.
    pub fn answer(&self, written: Written) -> ExtractResponse {
        let Written::Answer(answered) = written else {
            unreachable!("a question was submitted");
        };
        note(&answered);
        answer(
            self.model.as_ref(),
            &self.seen,
            &answered,
            self.scores,
            self.abstain_below,
        )
    }
}

/// Tells the request's span what the answer took.
fn note(answer: &Answer) {
    let (span, times) = (Span::current(), answer.timings.engine);
    span.record("prompt_tokens", answer.usage.prompt_tokens);
    span.record("completion_tokens", answer.usage.completion_tokens);
    span.record("queue_ms", times.queue.as_millis() as u64);
    span.record(
        "prefill_ms",
        (times.vision + times.prefill).as_millis() as u64,
    );
    span.record("decode_ms", times.decode.as_millis() as u64);
}

/// Puts a checked question that came at `start` and has a place to the engine; a `reader` gets the answer while it is written.
///
/// # Errors
/// An unusable image or box, a model that refuses it.
pub async fn pose(
    state: &AppState,
    engine: &Engine,
    seat: Seat,
    start: Instant,
    asked: Asked,
    reader: Option<Reader>,
) -> Result<Pending, ApiError> {
    let limits = *state.limits();
    let asked = Asked {
        image: state.fetched(asked.image).await?,
        ..asked
    };
    let (scores, abstain_below) = (asked.wishes.scores, asked.wishes.abstain_below);
    let preparing = Instant::now();
    let model = Arc::clone(engine.model());
    let (seen, prepared) = state
        .pool()
        .run(move || {
            let pixels = prepare(asked, &limits.image, model.processor())?;
            let seen = Seen::of(&pixels, start, preparing.elapsed());
            let question = pixels.question();
            let prepared = model.prepare(&question).map_err(|error| {
                let own = pixels.terms.ontology.is_some();
                ApiError::from(error).blaming(pixels.image_tokens, own)
            })?;
            Ok::<_, ApiError>((seen, prepared))
        })
        .await??;
    let reply = engine.submit(seat, Task::Question(prepared), reader);
    Ok(Pending {
        posed: Posed {
            model: Arc::clone(engine.model()),
            seen,
            scores,
            abstain_below,
        },
        awaited: Awaited::new(reply, start, state.deadline()),
    })
}
