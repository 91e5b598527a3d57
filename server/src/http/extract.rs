//! `POST /extract`: a place, the body, the pixels, the answer, in this order, so that a full house costs no work.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use proto::ExtractResponse;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant as Moment, timeout_at};

use crate::app::AppState;
use crate::engine::{Engine, EngineError, Extract, Reader, Reply, Seat, Task, Written};
use crate::error::ApiError;
use crate::fields::Asked;
use crate::http::answer::{Seen, answer};
use crate::http::{body, json, multipart, stream};
use crate::prepare::prepare;

/// The handler.
pub async fn extract(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let start = Instant::now();
    let engine = state.engine()?;
    let form = Form::of(&request, &[Form::Json, Form::Multipart])?;
    let seat = engine.reserve()?;

    let (parts, sent) = request.into_parts();
    let limits = *state.limits();
    let bytes = body::read(&parts.headers, sent, limits.body).await?;

    let asked = form.read(parts, bytes, &state).await?.check(limits.text)?;
    let wishes = &asked.wishes;
    if wishes.stream {
        let tokens = wishes.stream_tokens;
        let (reader, written) = unbounded_channel(); // at most an answer's length is ever in it
        let pending = pose(&state, engine, seat, start, asked, Some(reader)).await?;
        return Ok(stream::events(pending, written, tokens).into_response());
    }
    let mut pending = pose(&state, engine, seat, start, asked, None).await?;
    Ok(Json(pending.answer().await?).into_response())
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
        Ok(answer(
            self.model.as_ref(),
            &self.seen,
            &answered,
            self.scores,
            self.abstain_below,
        ))
    }
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

/// How a question travels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`
    Json,
    /// `multipart/form-data`
    Multipart,
}

impl Form {
    /// As the header says.
    ///
    /// # Errors
    /// None of those `taken`.
    pub fn of(request: &Request, taken: &'static [Self]) -> Result<Self, ApiError> {
        let header = request.headers().get(CONTENT_TYPE);
        let given = header
            .and_then(|value| value.to_str().ok())
            .unwrap_or("missing");
        let essence = given
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let form = taken.iter().find(|form| form.name() == essence);
        form.copied().ok_or_else(|| ApiError::UnsupportedMediaType {
            got: given.to_owned(),
            taken: taken.iter().map(|form| form.name()).collect(),
        })
    }

    /// The media type.
    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Multipart => "multipart/form-data",
        }
    }

    async fn read(self, parts: Parts, bytes: Vec<u8>, state: &AppState) -> Result<Asked, ApiError> {
        match self {
            // Parsing and base64 of twenty megabytes is work: not on a thread that serves sockets.
            Self::Json => state
                .pool()
                .run(move || json::read(&bytes))
                .await
                .map_err(|panic| ApiError::Internal(panic.to_string()))?,
            Self::Multipart => multipart::read(parts, bytes).await,
        }
    }
}
