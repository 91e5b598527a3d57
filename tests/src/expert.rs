//! An expert model that keeps to a script: answers, complains, breaks off, and remembers who asked what and when.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the expert does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Writes this, and takes 1,000 and 100 tokens.
    Write(String),
    /// Writes the right answer after this time.
    Late(Duration),
    /// Writes the right answer after a while, without saying what it took.
    Silent,
    /// Writes the right answer and claims that it took more tokens than there are.
    Boast,
    /// Sends who asks to this address.
    Moved(String),
    /// A status, a body, seconds for `Retry-After`.
    Status(u16, &'static str, Option<u32>),
    /// The beginning of an answer; then the connection breaks.
    Torn,
    /// Something that is no JSON.
    Garbage,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// About which entity.
    pub entity: String,
    /// When.
    pub at: Instant,
    /// What exactly.
    pub body: Value,
    /// With which `Authorization`.
    pub authorization: String,
}

/// A running expert.
#[derive(Clone)]
pub struct Expert {
    /// What `--base-url` takes.
    pub base_url: String,
    inner: Arc<Inner>,
}

/// What an answer takes of the question and of itself, in tokens.
const MODEST: [u64; 2] = [1000, 100];

/// What happens to the `usize`-th request about an entity, counted from 0.
type Script = dyn Fn(&str, usize) -> Reply + Send + Sync;

struct Inner {
    script: Box<Script>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    asked: Vec<Asked>,
    under_way: usize,
    most: usize,
}

/// The right answer to every question of the tests.
pub fn right() -> String {
    let texts = [
        "The photo shows a person on a lawn, and the object is this person in the middle of the scene.",
        "The photo shows the kind of scene that the text tells about, so that both belong together.",
        "The text does not name the person; the person is one of those who take part in the event.",
        "The object is of type per and the entity is of type misc.",
        "The candidates are /per/misc/present_in, /per/misc/awarded, /per/misc/party, /per/misc/nationality, \
         /per/misc/president and none.",
        "The person plays in the event, and nothing speaks of an award, a party or a nationality.",
    ];
    proto::render(&texts, "/per/misc/present_in").expect("the form")
}

impl Expert {
    /// Starts an expert on a free port.
    ///
    /// # Panics
    /// When the system gives no port.
    pub async fn start(script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound socket");
        let inner = Arc::new(Inner {
            script: Box::new(script),
            notes: Mutex::default(),
        });
        let paths = Router::new()
            .route("/v1/chat/completions", post(answer))
            .layer(DefaultBodyLimit::max(16 << 20))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, paths).await });
        Self {
            base_url: format!("http://{address}/v1"),
            inner,
        }
    }

    /// An expert that is always right.
    pub async fn right() -> Self {
        Self::start(|_, _| Reply::Write(right())).await
    }

    /// What came, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner.notes().asked.clone()
    }

    /// How often each entity was asked about.
    pub fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for asked in &self.inner.notes().asked {
            *counts.entry(asked.entity.clone()).or_default() += 1;
        }
        counts
    }

    /// The most requests that were under way together.
    pub fn most(&self) -> usize {
        self.inner.notes().most
    }
}

impl Inner {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).expect("a request is JSON");
    let authorization = headers
        .get(header::AUTHORIZATION)
        .map_or("", |value| value.to_str().expect("plain text"));
    let entity = entity(&body);
    let reply = {
        let mut notes = inner.notes();
        let earlier = notes.asked.iter().filter(|it| it.entity == entity).count();
        notes.asked.push(Asked {
            entity: entity.clone(),
            at: Instant::now(),
            body,
            authorization: authorization.to_owned(),
        });
        notes.under_way += 1;
        notes.most = notes.most.max(notes.under_way);
        (inner.script)(&entity, earlier)
    };
    let _leaves = Leaves(Arc::clone(&inner));
    match reply {
        Reply::Write(text) => written(&text, &MODEST),
        Reply::Boast => written(&right(), &[u64::MAX; 2]),
        Reply::Silent => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            written(&right(), &[])
        }
        Reply::Moved(address) => {
            let place = [(header::LOCATION, address)];
            (StatusCode::TEMPORARY_REDIRECT, place).into_response()
        }
        Reply::Late(time) => {
            tokio::time::sleep(time).await;
            written(&right(), &MODEST)
        }
        Reply::Status(code, body, wait) => {
            let status = StatusCode::from_u16(code).expect("a status");
            let mut response = (status, body).into_response();
            if let Some(wait) = wait {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, wait.into());
            }
            response
        }
        Reply::Torn => {
            let start = Ok::<_, std::io::Error>("{\"choices\": [{\"mess");
            let end = Err(std::io::Error::other("the script says so"));
            Body::from_stream(stream::iter([start, end])).into_response()
        }
        Reply::Garbage => "<html>busy</html>".into_response(),
    }
}

/// The request is over, also when who asked has left.
struct Leaves(Arc<Inner>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.notes().under_way -= 1;
    }
}

/// An answer that took this many tokens of the question and of itself, if it says so.
fn written(text: &str, usage: &[u64]) -> Response {
    let mut reply = json!({"choices": [{"message": {"role": "assistant", "content": text}}]});
    if let [prompt, completion] = usage {
        reply["usage"] = json!({"prompt_tokens": prompt, "completion_tokens": completion});
    }
    Ok::<_, Infallible>(axum::Json(reply)).into_response()
}

/// Which entity a request is about.
fn entity(body: &Value) -> String {
    let parts = body["messages"][0]["content"].as_array();
    let texts = parts
        .into_iter()
        .flatten()
        .filter_map(|it| it["text"].as_str());
    let mut quoted = texts.filter_map(|it| it.strip_prefix("Entity: '")?.split('\'').next());
    quoted.next().unwrap_or_default().to_owned()
}
