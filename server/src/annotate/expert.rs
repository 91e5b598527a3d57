//! One request to an expert that speaks `OpenAI`'s chat interface: how it is put, and what each way of not answering means. Tries once;
//! `desk.rs` knows about again.

use std::fmt::{Debug, Formatter};
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use train::annotate::Usage;
use url::Host;

use crate::fetch::{Unread, provide_crypto, read};
use crate::settings::UsageError;

/// A host that does not take the connection by then is down.
const CONNECTING: Duration = Duration::from_secs(10);

/// Longest reply that is read; 4,096 tokens are about 16 kB.
const MOST_BYTES: usize = 4 << 20;

/// More tokens than a request can take: who claims them does not count.
const MOST_TOKENS: u64 = 1_000_000_000;

const OPENAI: &str = "https://api.openai.com";

/// Longest complaint of an expert that is repeated, in characters.
const COMPLAINT: usize = 300;

/// `OpenAI`'s name for an account without money: its 429 does not pass.
const NO_MONEY: &str = "insufficient_quota";

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub struct ExpertSettings {
    /// What its paths start with, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// Its name there.
    pub model: String,
    /// The secret, if it wants one.
    pub key: Option<Key>,
    /// How freely it writes; its own choice without.
    pub temperature: Option<f64>,
    /// Most tokens of an answer.
    pub max_tokens: u64,
    /// From the connection to the last byte.
    pub patience: Duration,
}

/// A secret that no message shows.
#[derive(Clone)]
pub struct Key(pub String);

impl Debug for Key {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// Asks.
#[derive(Debug)]
pub struct Expert {
    client: Client,
    url: Url,
    settings: ExpertSettings,
}

/// What an expert wrote.
#[derive(Debug)]
pub struct Answer {
    /// Its words, which may be none.
    pub text: String,
    /// What they took, if it says so.
    pub usage: Option<Usage>,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Fault {
    /// What can be done.
    pub kind: FaultKind,
    /// In words.
    pub why: String,
}

/// What can be done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Too many requests: ask again, but not before.
    Busy(Option<Duration>),
    /// The expert is not well: ask again, but not before.
    Ill(Option<Duration>),
    /// It may have answered, and may charge for it, but nothing readable arrived: ask again.
    Lost,
    /// This question is not answered.
    Refused,
    /// No question will be.
    Closed,
}

/// What is read of a reply.
#[derive(Deserialize)]
struct Reply {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Value,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

impl Expert {
    /// Somebody to ask.
    ///
    /// # Errors
    /// An address or a key that cannot be used.
    pub fn new(settings: ExpertSettings) -> Result<Self, UsageError> {
        let url = address(&settings.base_url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(Key(key)) = &settings.key {
            if url.scheme() != "https" && !is_local(&url) {
                let base = &settings.base_url;
                let reason = format!("--base-url {base}: a key is sent over https only");
                return Err(UsageError(reason));
            }
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value = value.map_err(|_| UsageError("the key is no plain text".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        provide_crypto();
        let mut client = Client::builder()
            .default_headers(headers)
            .redirect(Policy::none()) // a key goes where the user sent it
            .pool_max_idle_per_host(0) // one that was closed meanwhile would count as a paid request
            .connect_timeout(CONNECTING.min(settings.patience))
            .timeout(settings.patience);
        if is_local(&url) {
            client = client.no_proxy(); // the environment's proxy is on the way to others
        }
        let client = client
            .build()
            .map_err(|error| UsageError(format!("--base-url: {error}")))?;
        Ok(Self {
            client,
            url,
            settings,
        })
    }

    /// The body of a request with this content of the user's message.
    pub fn body(&self, content: &[Value]) -> Bytes {
        let mut body = json!({
            "model": self.settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.settings.max_tokens,
        });
        if let Some(temperature) = self.settings.temperature {
            body["temperature"] = json!(temperature);
        }
        body.to_string().into()
    }

    /// Asks once.
    ///
    /// # Errors
    /// Everything but an answer.
    pub async fn ask(&self, body: Bytes) -> Result<Answer, Fault> {
        let sent = self.client.post(self.url.clone()).body(body).send().await;
        let mut response = sent.map_err(|error| self.broken(&error))?;
        let (status, wait) = (response.status(), wait(response.headers()));
        let bytes = read(&mut response, MOST_BYTES).await.map_err(|unread| {
            let kind = if status.is_success() {
                FaultKind::Lost
            } else {
                FaultKind::Ill(wait)
            };
            let why = match unread {
                Unread::TooLong { .. } => format!("the reply has more than {MOST_BYTES} bytes"),
                Unread::Broken(error) => innermost(&error),
            };
            self.fault(kind, &why)
        })?;
        if !status.is_success() {
            return Err(self.complaint(status, wait, &bytes));
        }
        let reply: Result<Reply, _> = serde_json::from_slice(&bytes);
        let reply = reply.map_err(|error| self.fault(FaultKind::Lost, &error.to_string()))?;
        let Some(choice) = reply.choices.into_iter().next() else {
            return Err(self.fault(FaultKind::Lost, "the reply has no choices"));
        };
        Ok(Answer {
            text: choice.message.content.unwrap_or_default(), // a refusal in a field of its own
            usage: serde_json::from_value(reply.usage).ok().filter(believable),
        })
    }

    /// What a status of failure means.
    fn complaint(&self, status: StatusCode, wait: Option<Duration>, body: &[u8]) -> Fault {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = &parsed["error"];
        let said = [
            &error["message"],
            error,
            &parsed["detail"],
            &parsed["title"],
        ]
        .into_iter()
        .find_map(Value::as_str);
        let raw = String::from_utf8_lossy(body);
        let why = format!("{status}: {}", said.unwrap_or(&raw));
        let broke = [&error["code"], &error["type"]]
            .into_iter()
            .any(|it| it == NO_MONEY);
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS if !broke => FaultKind::Busy(wait),
            StatusCode::REQUEST_TIMEOUT => FaultKind::Ill(wait),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::UNAUTHORIZED
            | StatusCode::PAYMENT_REQUIRED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND => FaultKind::Closed,
            other if other.is_client_error() => FaultKind::Refused,
            other if other.is_server_error() => FaultKind::Ill(wait),
            _ => FaultKind::Closed, // a redirect: the address is wrong
        };
        self.fault(kind, &why)
    }

    /// What an exchange that broke off means: without a connection nothing was asked.
    fn broken(&self, error: &reqwest::Error) -> Fault {
        let (kind, why) = if error.is_connect() {
            (FaultKind::Ill(None), "it cannot be reached")
        } else if error.is_timeout() {
            (FaultKind::Lost, "it did not answer in time")
        } else {
            (FaultKind::Lost, "the connection broke")
        };
        self.fault(kind, &format!("{why} ({})", innermost(error)))
    }

    fn fault(&self, kind: FaultKind, why: &str) -> Fault {
        let mut why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(Key(key)) = &self.settings.key {
            why = why.replace(key.as_str(), "…"); // some experts repeat it in their complaint
        }
        let why = why.chars().take(COMPLAINT).collect();
        Fault { kind, why }
    }
}

/// Where conversations are put.
fn address(base: &str) -> Result<Url, UsageError> {
    let wrong = |reason: &str| UsageError(format!("--base-url {base}: {reason}"));
    let text = format!("{}/chat/completions", base.trim_end_matches('/'));
    let url = Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    let bare = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "https" | "http") || !bare {
        return Err(wrong("not an address such as https://api.openai.com/v1"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UsageError(
            "--base-url: a secret belongs into the variable that --key-env names".to_owned(),
        ));
    }
    Ok(url)
}

/// Whether a base address is `OpenAI`'s own.
pub fn is_openai(base: &str) -> bool {
    Url::parse(base).is_ok_and(|url| url.origin().ascii_serialization() == OPENAI)
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn believable(usage: &Usage) -> bool {
    usage.prompt_tokens.max(usage.completion_tokens) <= MOST_TOKENS
}

/// The last cause: what the system said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// How long the expert wants to be left alone: seconds, or a date.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(base_url: &str, key: Option<&str>) -> ExpertSettings {
        ExpertSettings {
            base_url: base_url.to_owned(),
            model: "m".to_owned(),
            key: key.map(|key| Key(key.to_owned())),
            temperature: None,
            max_tokens: 1,
            patience: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("plain text"));
            wait(&headers)
        };
        assert_eq!(read("2"), Some(Duration::from_secs(2)));
        assert_eq!(read("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let soon = SystemTime::now() + Duration::from_mins(1);
        let wait = read(&httpdate::fmt_http_date(soon)).expect("a date");
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_mins(1));
        assert_eq!(read("-1"), None);
        assert_eq!(read("soon"), None);
    }

    #[test]
    fn an_address_has_no_secrets_and_one_slash() {
        let right = address("http://127.0.0.1:8080/v1/").expect("an address");
        assert_eq!(right.as_str(), "http://127.0.0.1:8080/v1/chat/completions");
        for wrong in [
            "api.openai.com",
            "ftp://a.org/v1",
            "https://u:p@a.org",
            "https://a.org/v1?x=1",
            "https://a.org/v1#x",
            "",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        let message = address("https://u:secret@a.org").expect_err("a secret").0;
        assert!(!message.contains("secret@"), "{message}");
    }

    #[test]
    fn a_key_is_never_shown() {
        let expert = Expert::new(settings("http://127.0.0.1:9/v1", Some("sk-secret")));
        let expert = expert.expect("settings");
        assert!(!format!("{expert:?}").contains("sk-secret"));
        let body = br#"{"error": {"message": "Incorrect API key: sk-secret"}}"#;
        let fault = expert.complaint(StatusCode::UNAUTHORIZED, None, body);
        assert_eq!(fault.kind, FaultKind::Closed);
        assert_eq!(fault.why, "401 Unauthorized: Incorrect API key: …");
    }

    #[test]
    fn a_key_leaves_this_machine_over_https_only() {
        let refused = |base: &str, key| Expert::new(settings(base, key)).is_err();
        for base in [
            "https://a.org/v1",
            "http://localhost:1/v1",
            "http://[::1]:1/v1",
        ] {
            assert!(!refused(base, Some("sk-secret")), "{base}");
        }
        for base in [
            "http://a.org/v1",
            "http://10.0.0.1/v1",
            "http://localhost.a.org/v1",
        ] {
            assert!(refused(base, Some("sk-secret")), "{base}");
            assert!(!refused(base, None), "{base}");
        }
        for (base, own) in [
            ("https://api.openai.com/v1", true),
            ("https://API.openai.com:443/v1/", true),
            ("http://api.openai.com/v1", false),
            ("https://api.openai.com.a.org/v1", false),
            ("https://a.org/https://api.openai.com", false),
        ] {
            assert_eq!(is_openai(base), own, "{base}");
        }
    }

    #[test]
    fn a_status_says_what_can_be_done() {
        let expert = Expert::new(settings("http://127.0.0.1:9/v1", None)).expect("settings");
        let some = Some(Duration::from_secs(3));
        let broke = r#"{"error": {"code": "insufficient_quota"}}"#;
        for (status, body, kind) in [
            (429, "{}", FaultKind::Busy(some)),
            (429, broke, FaultKind::Closed),
            (408, "", FaultKind::Ill(some)),
            (500, "<html>", FaultKind::Ill(some)),
            (503, "", FaultKind::Ill(some)),
            (400, r#"{"error": "no"}"#, FaultKind::Refused),
            (413, "", FaultKind::Refused),
            (422, r#"{"detail": "no"}"#, FaultKind::Refused),
            (401, "", FaultKind::Closed),
            (402, "", FaultKind::Closed),
            (403, "", FaultKind::Closed),
            (404, "", FaultKind::Closed),
            (308, "", FaultKind::Closed),
        ] {
            let code = StatusCode::from_u16(status).expect("a status");
            let fault = expert.complaint(code, some, body.as_bytes());
            assert_eq!(fault.kind, kind, "{status} {body}");
        }
    }
}
