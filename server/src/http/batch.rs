//! `POST /extract/batch`: many questions in one request, answers as lines of JSON while they are ready. Each question succeeds or
//! fails alone; a body that is no batch fails whole. Nothing is kept for a client that leaves.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use proto::{BatchLine, BatchRequest, ExtractResponse, PairRequest};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::app::AppState;
use crate::engine::{Engine, Seat};
use crate::error::ApiError;
use crate::fields::{Asked, FieldError, Image, Wishes, box_format, image_from_text};
use crate::graph::{Fact, Format};
use crate::http::admit::{Admitted, admit};
use crate::http::extract::pose;
use crate::http::form::{Form, wanted};
use crate::http::json;

/// A question not yet read: its own JSON, or a pair of the shared photo and text.
enum Posed {
    Item(Box<RawValue>),
    Pair(Box<RawValue>, Arc<Shared>),
}

/// A batch, its questions not yet read.
enum Frame {
    Items(Vec<Box<RawValue>>),
    Pairs(Vec<Box<RawValue>>, Box<Shared>),
}

impl Frame {
    /// The questions. What pairs share is fetched and decoded once.
    async fn posed(self, state: &AppState) -> Result<Vec<Posed>, ApiError> {
        let (pairs, shared) = match self {
            Self::Items(items) => return Ok(items.into_iter().map(Posed::Item).collect()),
            Self::Pairs(pairs, shared) => (pairs, *shared),
        };
        let limits = state.limits().image;
        let image = state.fetched(shared.image).await?;
        let photo = state.pool().run(move || image.photo(&limits)).await??;
        let shared = Arc::new(Shared {
            image: Image::Photo(photo),
            ..shared
        });
        let pair = |pair| Posed::Pair(pair, Arc::clone(&shared));
        Ok(pairs.into_iter().map(pair).collect())
    }
}

/// What all pairs have in common.
struct Shared {
    image: Image,
    text: String,
    format: vision::BoxFormat,
    wishes: Wishes,
}

impl Posed {
    /// The question, or what is wrong with it alone.
    fn read(self) -> Result<Asked, ApiError> {
        match self {
            Self::Item(item) => {
                let asked = json::read(item.get().as_bytes())?;
                if asked.wishes.stream {
                    let reason = "an item of a batch has no stream of its own";
                    return Err(FieldError::invalid("stream", reason).into());
                }
                Ok(asked)
            }
            Self::Pair(pair, shared) => {
                let pair: PairRequest = json::parse(pair.get().as_bytes())?;
                Ok(Asked {
                    image: shared.image.clone(),
                    bbox: pair.bbox,
                    format: shared.format,
                    text: shared.text.clone(),
                    entity: pair.entity,
                    wishes: shared.wishes.clone(),
                })
            }
        }
    }
}

/// The handler. The place that lets the batch in is its first question's; the others wait for theirs, a quarter of the house at
/// once, so that single questions still find room. Only questions under way hold places, so batches never wait for each other.
pub async fn batch(State(state): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let format = wanted(&request)?;
    let admitted = admit(&state, request, &[Form::Json]).await?;
    let Admitted {
        engine,
        seat,
        bytes,
        ..
    } = admitted;
    let limit = state.limits().batch;
    let frame = state.pool().run(move || read(&bytes, limit));
    let posed = frame.await??.posed(&state).await?;
    let work = Work {
        at_once: (engine.places() / 4).max(1),
        engine,
        state,
        seat: Some(seat),
        waiting: posed.into_iter().enumerate(),
        running: JoinSet::new(),
        format,
    };
    let head = stream::iter([Ok(format.head())]);
    let lines = stream::unfold(work, |mut work| async move {
        let line = work.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), work))
    });
    let body = Body::from_stream(head.chain(lines));
    Ok(([(CONTENT_TYPE, format.media_type_of_many())], body).into_response())
}

/// Reads the frame of a batch: its questions stay unread.
fn read(bytes: &[u8], most: usize) -> Result<Frame, ApiError> {
    let request: BatchRequest = json::parse(bytes)?;
    let missing = |field: &'static str| FieldError::Missing {
        field: field.into(),
    };
    let check = |field: &'static str, got: usize| match got {
        0 => Err(FieldError::Empty { field }),
        _ if got > most => Err(FieldError::TooMany {
            field,
            got,
            limit: most,
        }),
        _ => Ok(()),
    };
    match (request.pairs, request.items) {
        (Some(pairs), None) => {
            check("pairs", pairs.len())?;
            let shared = Shared {
                image: image_from_text(&request.image.ok_or_else(|| missing("image"))?)?,
                text: request.text.ok_or_else(|| missing("text"))?,
                format: box_format(request.box_format),
                wishes: Wishes {
                    enforce: request.enforce.unwrap_or_default(),
                    scores: request.scores.unwrap_or_default(),
                    abstain_below: request.abstain_below,
                    source: request.source,
                    samples: request.samples.unwrap_or_default(),
                    ontology: request.ontology.map(Arc::new),
                    ..Wishes::default()
                },
            };
            Ok(Frame::Pairs(pairs, Box::new(shared)))
        }
        (None, Some(items)) => {
            check("items", items.len())?;
            for (field, given) in [
                ("image", request.image.is_some()),
                ("text", request.text.is_some()),
                ("enforce", request.enforce.is_some()),
                ("scores", request.scores.is_some()),
                ("abstain_below", request.abstain_below.is_some()),
                ("source", request.source.is_some()),
                ("samples", request.samples.is_some()),
                ("ontology", request.ontology.is_some()),
            ] {
                if given {
                    let reason = "belongs to pairs; every item has its own";
                    return Err(FieldError::invalid(field, reason).into());
                }
            }
            Ok(Frame::Items(items))
        }
        (None, None) => Err(missing("items").into()),
        (Some(_), Some(_)) => {
            Err(FieldError::invalid("pairs", "a batch has either pairs or items").into())
        }
    }
}

/// The questions of a batch; dropping it gives up those under way.
struct Work {
    state: AppState,
    engine: Arc<Engine>,
    /// The place of the first question.
    seat: Option<Seat>,
    waiting: std::iter::Enumerate<std::vec::IntoIter<Posed>>,
    running: JoinSet<String>,
    at_once: usize,
    format: Format,
}

impl Work {
    /// The next finished line.
    async fn next(&mut self) -> Option<String> {
        while self.running.len() < self.at_once {
            let Some((index, posed)) = self.waiting.next() else {
                break;
            };
            let (state, engine) = (self.state.clone(), Arc::clone(&self.engine));
            let (seat, format) = (self.seat.take(), self.format);
            self.running.spawn(async move {
                let result = one(&state, &engine, seat, posed).await;
                if let Err(error) = &result {
                    let problem = error.slug();
                    tracing::info!(index, problem, "a question of a batch failed");
                }
                line(index, result, format)
            });
        }
        match self.running.join_next().await? {
            Ok(line) => Some(line),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// What is said of one question: in JSON the answer or the problem, in other forms the answer or a remark.
fn line(
    index: usize,
    result: Result<(ExtractResponse, String), ApiError>,
    format: Format,
) -> String {
    let (answer, problem) = match result {
        Ok((answer, text)) if format != Format::Json => {
            return format.write(&Fact {
                answer: &answer,
                text: &text,
            });
        }
        Ok((answer, _)) => (Some(answer), None),
        Err(error) => match format.remark(index, error.slug()) {
            Some(remark) => return remark,
            None => (None, Some(error.problem())),
        },
    };
    let line = BatchLine {
        index,
        answer,
        problem,
    };
    serde_json::to_string(&line).expect("plain data") + "\n"
}

async fn one(
    state: &AppState,
    engine: &Engine,
    seat: Option<Seat>,
    posed: Posed,
) -> Result<(ExtractResponse, String), ApiError> {
    let seat = match seat {
        Some(seat) => seat,
        None => engine.wait().await,
    };
    let start = Instant::now();
    let asked = state.pool().run(move || posed.read()).await??;
    let asked = asked.check(state.limits().text)?;
    let mut pending = pose(state, engine, seat, start, asked, None).await?;
    let answer = pending.answer().await?;
    Ok((answer, pending.seen().text().to_owned()))
}
