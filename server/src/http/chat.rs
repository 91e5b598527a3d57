//! `POST /v1/chat/completions` and `GET /v1/models`: the bare model under `OpenAI`'s interface, on the same engine as every question.
//! No protocol and no grammar, unless the request names the possible answers.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use model::engine::Picture;
use model::generate::Chat;
use model::template::{Content, ContentPart, Message};
use model::tokenizer::{Growing, Tokenizer};
use model::{Completion, Sampling};
use proto::chat::{
    ChatChoice, ChatContent, ChatLogprobs, ChatPart, ChatRequest, ChatResponse, ChatToken,
    ChatTurn, ChatUsage, ModelCard, ModelList, PromptDetails, ResponseFormat, Stop,
};
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;
use tower_http::request_id::RequestId;

use crate::app::{AppState, RequestLimits};
use crate::engine::{Extract, Task, Written};
use crate::error::ApiError;
use crate::fields::{FieldError, Image, image_from_text};
use crate::http::admit::{Admitted, Fetching, admit};
use crate::http::form::Form;
use crate::http::reply::{Awaited, Tell};
use crate::http::{json, reply};

/// Images of a conversation.
const MAX_IMAGES: usize = 16;
/// Possible answers a request may name, and characters of all of them.
const MAX_CHOICES: usize = 256;
const CHOICE_CHARS: usize = 16_384;
/// Strings that may end an answer (as at `OpenAI`), and characters of one.
const MAX_STOPS: usize = 4;
const STOP_CHARS: usize = 64;
/// As at `OpenAI`.
const MAX_ALTERNATIVES: usize = 20;

/// `GET /v1/models`.
pub async fn models(State(state): State<AppState>) -> Result<Json<ModelList>, ApiError> {
    let info = state.engine()?.model().info().clone();
    Ok(Json(ModelList {
        object: "list",
        data: vec![ModelCard {
            id: info.id,
            object: "model",
            created: 0,
            owned_by: "more-r1",
            root: info.hash,
        }],
    }))
}

/// The handler.
pub async fn completions(
    State(state): State<AppState>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let admitted = admit(&state, request, &[Form::Json]).await?;
    let Admitted {
        start,
        engine,
        seat,
        bytes,
        ..
    } = admitted;
    let model = Arc::clone(engine.model());
    let read = move || {
        let asked: ChatRequest = json::parse(&bytes)?;
        let images = images(&asked)?;
        Ok::<_, ApiError>((asked, images))
    };
    let (asked, images) = state.pool().run(read).await??;
    let mut fetching = Fetching::new(&state, start);
    let mut files = vec![];
    for image in images {
        files.push(fetching.fetch(image, in_messages).await?);
    }
    let limits = *state.limits();
    let prepare = move || {
        let chat = prepare(&asked, files, model.as_ref(), &limits)?;
        Ok::<_, ApiError>((asked, chat))
    };
    let (asked, chat) = state.pool().run(prepare).await??;
    let turn = Turn {
        id: format!(
            "chatcmpl-{}",
            id.header_value().to_str().unwrap_or_default()
        ),
        created: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        model: Arc::clone(engine.model()),
        logprobs: asked.logprobs,
        stop: chat.stop.clone(),
    };
    let (reader, written) = unbounded_channel(); // at most an answer's length is ever in it
    let reader = asked.stream.then_some(reader);
    let reply = engine.submit(seat, Task::Chat(chat), reader);
    let mut awaited = Awaited::new(reply, start, state.deadline());
    if !asked.stream {
        let completion = turn_of(awaited.written().await?);
        return Ok(Json(turn.whole(&completion)).into_response());
    }
    let begin = ChatTurn {
        role: Some("assistant"),
        ..said("")
    };
    let first = vec![event(&turn.chunk(begin, None))];
    let telling = Telling {
        turn,
        usage: asked.stream_options.unwrap_or_default().include_usage,
        growing: Growing::default(),
        text: String::new(),
        told: 0,
    };
    Ok(reply::events(telling, first, awaited, written).into_response())
}

fn invalid(field: &'static str, reason: impl Into<String>) -> ApiError {
    FieldError::invalid(field, reason).into()
}

/// Checks every field, decodes the images one after another and writes the prompt.
fn prepare(
    asked: &ChatRequest,
    images: Vec<Image>,
    model: &dyn Extract,
    limits: &RequestLimits,
) -> Result<Chat, ApiError> {
    let info = model.info();
    if let Some(named) = asked.model.as_ref().filter(|named| **named != info.id) {
        return Err(ApiError::UnknownModel {
            got: named.clone(),
            there: info.id.clone(),
        });
    }
    let longest = limits.answer_tokens;
    let max_tokens = asked.max_tokens.unwrap_or(longest);
    if max_tokens == 0 || max_tokens > longest {
        return Err(invalid(
            "max_tokens",
            format!("{max_tokens} is not between 1 and {longest}"),
        ));
    }
    let sampling = sampling(asked, model.sampling())?;
    let top_logprobs = asked.top_logprobs.unwrap_or_default();
    if top_logprobs > MAX_ALTERNATIVES {
        return Err(FieldError::TooMany {
            field: "top_logprobs",
            got: top_logprobs,
            limit: MAX_ALTERNATIVES,
        }
        .into());
    }
    if top_logprobs > 0 && !asked.logprobs {
        return Err(invalid("top_logprobs", "needs logprobs as well"));
    }
    if asked.stream_options.is_some() && !asked.stream {
        return Err(invalid("stream_options", "needs stream as well"));
    }
    let stop = stops(asked.stop.as_ref())?;
    let choices = choices(asked)?;
    let photos = images.into_iter().map(|image| {
        let photo = image.photo(&limits.image).map_err(in_messages)?;
        let patches = model.processor().patches(&photo.scene.pixels);
        let patches = patches.map_err(|source| FieldError::Image {
            field: "messages",
            source,
        })?;
        Ok(Picture::new(patches))
    });
    let pictures = photos.collect::<Result<Vec<Picture>, ApiError>>()?;
    let mut chat = model.chat(&messages(asked), pictures, max_tokens)?;
    chat.sampling = sampling;
    chat.stop = stop;
    chat.choices = choices;
    chat.top_logprobs = top_logprobs;
    Ok(chat)
}

/// An image's fault, told of the field it came in.
fn in_messages(error: FieldError) -> FieldError {
    match error {
        FieldError::Image { source, .. } => FieldError::Image {
            field: "messages",
            source,
        },
        FieldError::Invalid { reason, .. } | FieldError::Unreachable { reason } => {
            FieldError::invalid("messages", reason)
        }
        FieldError::Empty { .. } => FieldError::invalid("messages", "an image is empty"),
        other => other,
    }
}

fn sampling(asked: &ChatRequest, own: &Sampling) -> Result<Sampling, ApiError> {
    for (field, value, least, most) in [
        ("temperature", asked.temperature, 0.0, 2.0),
        ("top_p", asked.top_p, 0.0, 1.0),
        ("repetition_penalty", asked.repetition_penalty, 0.01, 10.0),
        ("presence_penalty", asked.presence_penalty, 0.0, 0.0),
        ("frequency_penalty", asked.frequency_penalty, 0.0, 0.0),
    ] {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            let reason = if least < most {
                format!("has to be from {least} to {most}")
            } else {
                format!("has to be {least}: there is no such penalty here")
            };
            return Err(invalid(field, reason));
        }
    }
    if asked.n.is_some_and(|n| n != 1) {
        return Err(invalid(
            "n",
            "has to be 1: ask several times, with several seeds",
        ));
    }
    Ok(Sampling {
        temperature: asked.temperature.unwrap_or(own.temperature),
        top_p: asked.top_p.unwrap_or(own.top_p),
        top_k: asked.top_k.unwrap_or(own.top_k),
        repetition_penalty: asked.repetition_penalty.unwrap_or(own.repetition_penalty),
        seed: asked.seed.unwrap_or_default().cast_unsigned(),
    })
}

fn stops(stop: Option<&Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => vec![],
        Some(Stop::One(one)) => vec![one.clone()],
        Some(Stop::Many(many)) => many.clone(),
    };
    if stops.len() > MAX_STOPS {
        return Err(FieldError::TooMany {
            field: "stop",
            got: stops.len(),
            limit: MAX_STOPS,
        }
        .into());
    }
    let fits = |text: &String| (1..=STOP_CHARS).contains(&text.chars().count());
    if !stops.iter().all(fits) {
        let reason = format!("every string has to have 1 to {STOP_CHARS} characters");
        return Err(invalid("stop", reason));
    }
    Ok(stops)
}

/// The answers among which the model has to choose; none for any.
fn choices(asked: &ChatRequest) -> Result<Vec<String>, ApiError> {
    let (field, choices) = match (&asked.structured_outputs, &asked.response_format) {
        (Some(_), Some(ResponseFormat::JsonSchema { .. })) => {
            let reason = "say it here or in response_format, not in both";
            return Err(invalid("structured_outputs", reason));
        }
        (Some(named), _) => ("structured_outputs", named.choice.clone()),
        (None, Some(ResponseFormat::JsonSchema { json_schema })) => {
            ("response_format", values(&json_schema.schema)?)
        }
        (None, _) => return Ok(vec![]),
    };
    let characters: usize = choices.iter().map(|it| it.chars().count()).sum();
    if choices.is_empty() || choices.iter().any(String::is_empty) {
        return Err(invalid(
            field,
            "there has to be a choice, and none may be empty",
        ));
    }
    if choices.len() > MAX_CHOICES || characters > CHOICE_CHARS {
        let reason = format!(
            "{} choices of {characters} characters together; the limits are {MAX_CHOICES} and {CHOICE_CHARS}",
            choices.len()
        );
        return Err(invalid(field, reason));
    }
    Ok(choices)
}

/// The values of a schema that lists them, as JSON.
fn values(schema: &Value) -> Result<Vec<String>, ApiError> {
    let listed = schema.get("enum").and_then(Value::as_array);
    let listed = listed
        .cloned()
        .or_else(|| Some(vec![schema.get("const")?.clone()]));
    let listed = listed.ok_or_else(|| {
        let reason =
            "only schemas with `enum` or `const` are kept to; send text, or name the values";
        invalid("response_format", reason)
    })?;
    Ok(listed.iter().map(Value::to_string).collect())
}

/// The images of a conversation, in order.
fn images(asked: &ChatRequest) -> Result<Vec<Image>, ApiError> {
    if asked.messages.is_empty() {
        return Err(FieldError::Empty { field: "messages" }.into());
    }
    let parts = asked
        .messages
        .iter()
        .flat_map(|message| match &message.content {
            ChatContent::Text(_) => &[],
            ChatContent::Parts(parts) => &parts[..],
        });
    let addresses: Vec<&str> = parts
        .filter_map(|part| match part {
            ChatPart::Text { .. } => None,
            ChatPart::ImageUrl { image_url } => Some(image_url.url.as_str()),
        })
        .collect();
    if addresses.len() > MAX_IMAGES {
        let reason = format!("{} images, the limit is {MAX_IMAGES}", addresses.len());
        return Err(invalid("messages", reason));
    }
    let images = addresses.into_iter().map(image_from_text);
    let images = images.collect::<Result<_, _>>();
    images.map_err(|error| in_messages(error).into())
}

/// The conversation as the template takes it.
fn messages(asked: &ChatRequest) -> Vec<Message> {
    let part = |part: &ChatPart| match part {
        ChatPart::Text { text } => ContentPart::Text { text: text.clone() },
        ChatPart::ImageUrl { .. } => ContentPart::Image,
    };
    let messages = asked.messages.iter().map(|message| Message {
        role: message.role.name().to_owned(),
        content: match &message.content {
            ChatContent::Text(text) => Content::Text(text.clone()),
            ChatContent::Parts(parts) => Content::Parts(parts.iter().map(part).collect()),
        },
    });
    messages.collect()
}

/// What makes a response of the next turn.
struct Turn {
    id: String,
    created: u64,
    model: Arc<dyn Extract>,
    logprobs: bool,
    stop: Vec<String>,
}

impl Turn {
    fn response(&self, object: &'static str, choices: Vec<ChatChoice>) -> ChatResponse {
        let info = self.model.info();
        ChatResponse {
            id: self.id.clone(),
            object,
            created: self.created,
            model: info.id.clone(),
            system_fingerprint: info.hash.clone(),
            choices,
            usage: None,
        }
    }

    fn whole(&self, completion: &Completion) -> ChatResponse {
        let tokenizer = self.model.tokenizer();
        let text = tokenizer.decode(&completion.token_ids, true);
        let end = first_stop(&text, &self.stop).unwrap_or(text.len());
        let choice = ChatChoice {
            index: 0,
            message: Some(ChatTurn {
                role: Some("assistant"),
                content: Some(text[..end].to_owned()),
            }),
            delta: None,
            logprobs: self.logprobs.then(|| logprobs(tokenizer, completion)),
            finish_reason: Some(completion.finish_reason.name()),
        };
        ChatResponse {
            usage: Some(usage(completion)),
            ..self.response("chat.completion", vec![choice])
        }
    }

    /// A piece of the answer in an event.
    fn chunk(&self, delta: ChatTurn, finish_reason: Option<&'static str>) -> ChatResponse {
        let choice = ChatChoice {
            index: 0,
            message: None,
            delta: Some(delta),
            logprobs: None,
            finish_reason,
        };
        self.response("chat.completion.chunk", vec![choice])
    }
}

fn usage(completion: &Completion) -> ChatUsage {
    let (prompt_tokens, completion_tokens) = (completion.prompt_tokens, completion.token_ids.len());
    ChatUsage {
        prompt_tokens,
        completion_tokens,
        total_tokens: prompt_tokens + completion_tokens,
        prompt_tokens_details: PromptDetails {
            cached_tokens: completion.reused,
        },
    }
}

fn logprobs(tokenizer: &Tokenizer, completion: &Completion) -> ChatLogprobs {
    let token = |id: u32, logprob: f32| ChatToken {
        token: tokenizer.decode(&[id], false),
        bytes: tokenizer.bytes(id),
        logprob,
        top_logprobs: vec![],
    };
    let places = completion.token_ids.iter().zip(&completion.logprobs);
    let content = places
        .zip(&completion.tops)
        .map(|((&id, &logprob), tops)| ChatToken {
            top_logprobs: tops.iter().map(|&(id, it)| token(id, it)).collect(),
            ..token(id, logprob)
        });
    ChatLogprobs {
        content: content.collect(),
    }
}

/// Where the first of the strings that end a text begins in it.
fn first_stop(text: &str, stops: &[String]) -> Option<usize> {
    stops.iter().filter_map(|stop| text.find(stop)).min()
}

/// How much of a text can be told although more may come: not what a string that ends it may begin with.
fn safe(text: &str, stops: &[String]) -> usize {
    if let Some(end) = first_stop(text, stops) {
        return end;
    }
    let begun = |stop: &String| {
        let lengths = stop.char_indices().map(|(at, _)| at).skip(1);
        lengths
            .filter(|&length| text.ends_with(&stop[..length]))
            .max()
    };
    text.len() - stops.iter().filter_map(begun).max().unwrap_or(0)
}

/// An answer told while it is written. With `logprobs` it is told at the end, whole, with its tokens.
struct Telling {
    turn: Turn,
    /// Whether the last piece says how many tokens there were.
    usage: bool,
    growing: Growing,
    text: String,
    /// Bytes of the text that were told.
    told: usize,
}

impl Tell for Telling {
    fn read(&mut self, ids: &[u32]) -> Vec<Event> {
        let tokenizer = self.turn.model.tokenizer();
        self.text += &tokenizer.read_on(&mut self.growing, ids, true);
        let end = safe(&self.text, &self.turn.stop);
        self.tell(end).into_iter().collect()
    }

    fn end(&mut self, written: Result<Written, ApiError>) -> Vec<Event> {
        let completion = match written {
            Ok(written) => turn_of(written),
            Err(error) => {
                return vec![event(&serde_json::json!({"error": error.problem()}))];
            }
        };
        let tokenizer = self.turn.model.tokenizer();
        self.text = tokenizer.decode(&completion.token_ids, true);
        let end = first_stop(&self.text, &self.turn.stop).unwrap_or(self.text.len());
        let mut events = vec![];
        if self.turn.logprobs {
            let mut chunk = self.turn.chunk(said(&self.text[..end]), None);
            chunk.choices[0].logprobs = Some(logprobs(tokenizer, &completion));
            events.push(event(&chunk));
        }
        events.extend(self.tell(end));
        let reason = completion.finish_reason.name();
        events.push(event(&self.turn.chunk(ChatTurn::default(), Some(reason))));
        if self.usage {
            let mut spent = self.turn.response("chat.completion.chunk", vec![]);
            spent.usage = Some(usage(&completion));
            events.push(event(&spent));
        }
        events.push(Event::default().data("[DONE]"));
        events
    }
}

impl Telling {
    fn tell(&mut self, end: usize) -> Option<Event> {
        if end <= self.told || self.turn.logprobs {
            return None;
        }
        let delta = said(&self.text[self.told..end]);
        self.told = end;
        Some(event(&self.turn.chunk(delta, None)))
    }
}

/// A piece of the answer.
fn said(text: &str) -> ChatTurn {
    ChatTurn {
        role: None,
        content: Some(text.to_owned()),
    }
}

fn turn_of(written: Written) -> Completion {
    match written {
        Written::Turn(completion) => *completion,
        Written::Answer(_) => unreachable!("a conversation was submitted"),
    }
}

fn event(data: &impl serde::Serialize) -> Event {
    Event::default().data(serde_json::to_string(data).expect("plain data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_begin_an_end_is_kept_back() {
        let stops = ["END".to_owned(), "\n\n".to_owned()];
        for (text, told) in [
            ("a", 1),
            ("aE", 1),
            ("aEN", 1),
            ("aENx", 4),
            ("aENDb", 1),
            ("a\n", 1),
            ("a\n\nEND", 1),
            ("", 0),
        ] {
            assert_eq!(safe(text, &stops), told, "{text:?}");
        }
        assert_eq!(safe("aE", &[]), 2);
    }
}
