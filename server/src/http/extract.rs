//! `POST /extract`: a place, the body, the pixels, the answer, in this order, so that a full house costs no work.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use model::Answer;
use proto::ExtractResponse;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant as Moment, timeout_at};

use tracing::Span;

use crate::app::AppState;
use crate::engine::{Engine, EngineError, Extract, Reader, Reply, Seat, Task, Written};
use crate::error::ApiError;
use crate::fields::{Asked, FieldError};
use crate::graph::{Fact, Format};
use crate::http::answer::{Seen, answer};
use crate::http::form::{Form, wanted};
use crate::http::{body, stream};
use crate::prepare::prepare;

/// The handler.
pub async fn extract(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let engine = state.engine()?;
    let form = Form::of(&request, &[Form::Json, Form::Multipart])?;
    let format = wanted(&request)?;
    let seat = engine.reserve()?;

    let (parts, sent) = request.into_parts();
    let limits = *state.limits();
    let bytes = body::read(&parts.headers, sent, limits.body).await?;

    let asked = form.read(parts, bytes, &state).await?.check(limits.text)?;
    let wishes = &asked.wishes;
    if wishes.stream {
        if format != Format::Json {
            let reason = "events are JSON: ask for another format without stream";
            return Err(FieldError::invalid("stream", reason).into());
        }
        let tokens = wishes.stream_tokens;
        let (reader, written) = unbounded_channel(); // at most an answer's length is ever in it
        let pending = pose(&state, engine, seat, start, asked, Some(reader)).await?;
        return Ok(stream::events(pending, written, tokens).into_response());
    }
    let mut pending = pose(&state, engine, seat, start, asked, None).await?;
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
    model: Arc<dyn Extract>,
    seen: Seen,
    scores: bool,
    abstain_below: Option<f64>,
    reply: Reply,
    until: Moment,
    patience: u64,
}

impl Pending {
    /// What is known of the question.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Who answers.
    pub fn model(&self) -> &dyn Extract {
        self.model.as_ref()
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// A model that refuses or fails, no answer in time.
    pub async fn answer(&mut self) -> Result<ExtractResponse, ApiError> {
        let answered = timeout_at(self.until, &mut self.reply).await;
        let answered = answered.map_err(|_| ApiError::TooLate {
            seconds: self.patience,
        })?;
        let Written::Answer(answered) = answered.unwrap_or(Err(EngineError::Stopped))? else {
            unreachable!("a question was submitted");
        };
        note(&answered);
        Ok(answer(
            self.model.as_ref(),
            &self.seen,
            &answered,
            self.scores,
            self.abstain_below,
        ))
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
    let (scores, abstain_below) = (asked.wishes.scores, asked.wishes.abstain_below);
    let preparing = Instant::now();
    let model = Arc::clone(engine.model());
    let (seen, prepared) = state
        .pool()
        .run(move || {
            let pixels = prepare(asked, &limits.image, model.processor())?;
            let seen = Seen::of(&pixels, start, preparing.elapsed());
            let question = pixels.question();
            let prepared = model
                .prepare(&question)
                .map_err(|error| ApiError::from(error).with_image_tokens(pixels.image_tokens))?;
            Ok::<_, ApiError>((seen, prepared))
        })
        .await
        .map_err(|panic| ApiError::Internal(panic.to_string()))??;
    Ok(Pending {
        model: Arc::clone(engine.model()),
        seen,
        scores,
        abstain_below,
        reply: engine.submit(seat, Task::Question(prepared), reader),
        until: (start + state.deadline()).into(),
        patience: state.deadline().as_secs(),
    })
}
