//! A machine-learning backend for Label Studio under `/labelstudio`: boxes and spans that people have drawn come in, the relations between
//! them go out. Draws no boxes and no spans itself, and learns nothing from annotations.

use std::convert::identity;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use futures_util::stream::{self, StreamExt};
use proto::NONE;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use vision::BoxFormat;

use crate::app::AppState;
use crate::engine::{Engine, Seat};
use crate::error::ApiError;
use crate::fields::{Asked, FieldError, Image, Wishes, image_from_text};
use crate::http::admit::{Admitted, Fetching, admit};
use crate::http::extract::pose;
use crate::http::form::Form;
use crate::http::json;
use crate::prepare::Photo;

/// `GET /labelstudio/health`.
pub async fn health(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    state.engine()?;
    Ok(Json(json!({"status": "UP", "model_class": "MORE-R1"})))
}

/// `POST /labelstudio/setup`: which model will predict. The labelling set-up itself comes with every prediction.
pub async fn setup(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"model_version": version(state.engine()?)})))
}

fn version(engine: &Engine) -> String {
    let info = engine.model().info();
    format!("{}@{}", info.id, &info.hash[..12.min(info.hash.len())])
}

/// What Label Studio sends; what else it sends is not looked at.
#[derive(Deserialize)]
struct Predict {
    tasks: Vec<Task>,
    label_config: String,
    #[serde(default)]
    params: Params,
}

#[derive(Deserialize, Default)]
struct Params {
    context: Option<Drawn>,
}

#[derive(Deserialize)]
struct Task {
    data: Map<String, Value>,
    #[serde(default)]
    annotations: Vec<Drawn>,
    #[serde(default)]
    predictions: Vec<Drawn>,
}

impl Task {
    /// A string of its data.
    fn text(&self, key: &str) -> Result<&str, FieldError> {
        let value = self.data.get(key).and_then(Value::as_str);
        value.ok_or_else(|| FieldError::Missing {
            field: format!("data.{key}").into(),
        })
    }
}

/// What was drawn: boxes, spans, relations.
#[derive(Deserialize, Clone, Default)]
struct Drawn {
    #[serde(default)]
    result: Vec<Value>,
}

/// A prediction for one task.
#[derive(Serialize)]
struct Prediction {
    result: Vec<Value>,
    /// The mean probability of the labels, `none` included.
    score: f64,
    model_version: String,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<proto::Problem>,
}

#[derive(Serialize)]
pub struct Predictions {
    results: Vec<Prediction>,
}

/// A box and a span with their ids.
struct Pair {
    object: String,
    entity: String,
    asked: Asked,
}

/// `POST /labelstudio/predict`.
pub async fn predict(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<Predictions>, ApiError> {
    let admitted = admit(&state, request, &[Form::Json]).await?;
    let Admitted {
        start,
        engine,
        seat,
        bytes,
        ..
    } = admitted;
    let limits = *state.limits();
    let read = move || {
        let asked: Predict = json::parse(&bytes)?;
        let (got, limit) = (asked.tasks.len(), limits.batch);
        if got > limit {
            let field = "tasks";
            return Err(FieldError::TooMany { field, got, limit }.into());
        }
        let names = Names::of(&asked.label_config)?;
        let image = |task: &Task| image_from_text(task.text(&names.image.1)?);
        let images: Vec<Result<Image, FieldError>> = asked.tasks.iter().map(image).collect();
        Ok::<_, ApiError>((asked, names, images))
    };
    let (asked, names, images) = state.pool().run(read).await??;
    let mut fetching = Fetching::new(&state, start);
    let mut files = vec![];
    for image in images {
        files.push(match image {
            Ok(image) => fetching.fetch(image, identity).await,
            Err(error) => Err(error.into()),
        });
    }
    let read = move || {
        let mut context = asked.params.context;
        let mut room = limits.batch;
        let tasks = asked.tasks.iter().zip(files).map(|(task, image)| {
            let drawn = context.take(); // the first task's
            let photo = image?.photo(&limits.image)?;
            pairs(task, &photo, drawn, &names, &mut room)
        });
        tasks.collect::<Vec<_>>()
    };
    let tasks = state.pool().run(read).await?;
    let first = Mutex::new(Some(seat));
    let mut results = vec![];
    for task in tasks {
        let prediction = match task {
            Ok((regions, pairs)) => answer(&state, &engine, &first, regions, pairs).await,
            Err(error) => Err(error),
        };
        results.push(prediction.unwrap_or_else(|error| {
            tracing::info!(problem = error.slug(), "a task has no prediction");
            Prediction {
                result: vec![],
                score: 0.0,
                model_version: version(&engine),
                problem: Some(error.problem()),
            }
        }));
    }
    Ok(Json(Predictions { results }))
}

/// Asks about every pair of a task, a quarter of the house at once.
async fn answer(
    state: &AppState,
    engine: &Engine,
    first: &Mutex<Option<Seat>>,
    mut result: Vec<Value>,
    pairs: Vec<Pair>,
) -> Result<Prediction, ApiError> {
    let ask = async |pair: Pair| {
        let held = first.lock().await.take();
        let seat = match held {
            Some(seat) => seat,
            None => engine.wait().await,
        };
        let asked = pair.asked.check(state.limits().text)?;
        let mut pending = pose(state, engine, seat, Instant::now(), asked, None).await?;
        let answer = pending.answer().await?;
        Ok::<_, ApiError>((pair.object, pair.entity, answer))
    };
    let at_once = (engine.places() / 4).max(1);
    let mut answers = stream::iter(pairs).map(ask).buffered(at_once);
    let mut probabilities = vec![];
    while let Some(answered) = answers.next().await {
        let (object, entity, answer) = answered?;
        probabilities.push(answer.probability().unwrap_or_default());
        if answer.relation.label != NONE {
            result.push(json!({
                "type": "relation", "from_id": object, "to_id": entity, "direction": "right",
                "labels": [answer.relation.label],
            }));
        }
    }
    let count = probabilities.len().max(1) as f64;
    Ok(Prediction {
        result,
        score: probabilities.iter().sum::<f64>() / count,
        model_version: version(engine),
        problem: None,
    })
}

/// Under which names a set-up has photo and text: of the task's data, and of the tags that regions refer to.
struct Names {
    image: (String, String),
    text: (String, String),
}

impl Names {
    fn of(config: &str) -> Result<Self, ApiError> {
        let wrong = |reason: String| ApiError::from(FieldError::invalid("label_config", reason));
        let document = roxmltree::Document::parse(config);
        let document = document.map_err(|error| wrong(error.to_string()))?;
        let find = |tag: &str| {
            let mut nodes = document.descendants();
            let node = nodes.find(|node| node.has_tag_name(tag));
            let (name, value) = node
                .and_then(|it| Some((it.attribute("name")?, it.attribute("value")?)))
                .ok_or_else(|| wrong(format!("there is no tag {tag} with name and value")))?;
            let value = value.trim_start_matches('$');
            Ok::<_, ApiError>((name.to_owned(), value.to_owned()))
        };
        Ok(Self {
            image: find("Image")?,
            text: find("Text")?,
        })
    }
}

/// The regions of a task, and every box of it with every span. What was just drawn counts, then the last annotation, then the last
/// prediction.
fn pairs(
    task: &Task,
    photo: &Arc<Photo>,
    drawn: Option<Drawn>,
    names: &Names,
    room: &mut usize,
) -> Result<(Vec<Value>, Vec<Pair>), ApiError> {
    let text = task.text(&names.text.1)?;
    let drawn = drawn
        .or_else(|| task.annotations.last().cloned())
        .or_else(|| task.predictions.last().cloned())
        .unwrap_or_default();
    let of = |name: &str| -> Vec<Value> {
        let belongs = |it: &&Value| it["to_name"] == name && it["value"].is_object();
        drawn.result.iter().filter(belongs).cloned().collect()
    };
    let (boxes, spans) = (of(&names.image.0), of(&names.text.0));
    let got = boxes.len() * spans.len();
    if got > *room {
        return Err(FieldError::TooMany {
            field: "tasks",
            got,
            limit: *room,
        }
        .into());
    }
    *room -= got;
    let mut pairs = vec![];
    for object in &boxes {
        let bbox = area(&object["value"])?;
        for span in &spans {
            let entity = span["value"]["text"].as_str().unwrap_or_default();
            pairs.push(Pair {
                object: object["id"].as_str().unwrap_or_default().to_owned(),
                entity: span["id"].as_str().unwrap_or_default().to_owned(),
                asked: Asked {
                    image: Image::Photo(Arc::clone(photo)),
                    bbox,
                    format: BoxFormat::Percent,
                    text: text.to_owned(),
                    entity: entity.to_owned(),
                    wishes: Wishes {
                        scores: true,
                        ..Wishes::default()
                    },
                },
            });
        }
    }
    Ok(([boxes, spans].concat(), pairs))
}

/// A box in percent; turned ones are refused.
fn area(value: &Value) -> Result<[f64; 4], ApiError> {
    if value["rotation"].as_f64().is_some_and(|it| it != 0.0) {
        let reason = "a box that is turned cannot be cut out";
        return Err(FieldError::invalid("value.rotation", reason).into());
    }
    let number = |key: &str| {
        value[key].as_f64().ok_or_else(|| FieldError::Missing {
            field: format!("value.{key}").into(),
        })
    };
    Ok([
        number("x")?,
        number("y")?,
        number("width")?,
        number("height")?,
    ])
}
