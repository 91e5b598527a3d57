//! How every question comes in: the engine, the media type, a place, then the body; a full house costs no work.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::request::Parts;

use crate::app::AppState;
use crate::engine::{Engine, Seat};
use crate::error::ApiError;
use crate::fields::{FieldError, Image};
use crate::http::body;
use crate::http::form::Form;

/// A request that has a place.
pub struct Admitted {
    /// When it came.
    pub start: Instant,
    /// Who will answer.
    pub engine: Arc<Engine>,
    /// Its place.
    pub seat: Seat,
    /// How its body travels.
    pub form: Form,
    /// Its head.
    pub parts: Parts,
    /// Its body.
    pub bytes: Vec<u8>,
}

/// Lets `request` in, whose body comes in one of the forms `taken`.
///
/// # Errors
/// A service that takes no questions, another form, no free place, a body that is too long or too slow.
pub async fn admit(
    state: &AppState,
    request: Request,
    taken: &'static [Form],
) -> Result<Admitted, ApiError> {
    let start = Instant::now();
    let engine = Arc::clone(state.engine()?);
    let form = Form::of(&request, taken)?;
    let (parts, sent) = request.into_parts();
    let seat = match engine.reserve() {
        Ok(seat) => seat,
        Err(full) => {
            body::skim(&parts.headers, sent).await;
            return Err(full.into());
        }
    };
    let bytes = body::read(&parts.headers, sent, state.limits().body).await?;
    Ok(Admitted {
        start,
        engine,
        seat,
        form,
        parts,
        bytes,
    })
}

/// The images of one request, one after another: those that are addresses are fetched, together they are as long as a body, and
/// none is fetched after the time of a question.
pub struct Fetching<'a> {
    state: &'a AppState,
    start: Instant,
    bytes: usize,
}

impl<'a> Fetching<'a> {
    /// For a request that came at `start`.
    pub fn new(state: &'a AppState, start: Instant) -> Self {
        Self {
            state,
            start,
            bytes: 0,
        }
    }

    /// `image`, fetched; `blame` names its field.
    ///
    /// # Errors
    /// As [`AppState::fetched`], and the two limits.
    pub async fn fetch(
        &mut self,
        image: Image,
        blame: impl Fn(FieldError) -> FieldError,
    ) -> Result<Image, ApiError> {
        let (limit, deadline) = (self.state.limits().body, self.state.deadline());
        if matches!(image, Image::Address(_)) && self.start.elapsed() > deadline {
            let seconds = deadline.as_secs();
            return Err(ApiError::TooLate { seconds });
        }
        let image = self.state.fetched(image).await.map_err(blame)?;
        if let Image::File(file) = &image {
            self.bytes += file.len();
        }
        if self.bytes > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
        Ok(image)
    }
}
