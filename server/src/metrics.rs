//! What dashboards and routers read: counts and times in Prometheus' text form. The stems of the names are vLLM's, so that known
//! dashboards need a new prefix only.
//!
//! Not here: who may read them, and logs. Labels of relations are no label of a metric: an ontology of one's own has any number.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use model::engine::Stats;
use model::generate::{FinishReason, Timings};
use model::{Info, extract};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info;
use prometheus_client::registry::{Metric, Registry};

use crate::engine::Written;

/// The media type of [`text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PREFIX: &str = "more_r1";

/// What an engine has done and holds.
#[derive(Debug)]
pub struct EngineMetrics {
    registry: Registry,
    running: Gauge,
    waiting: Gauge,
    /// Of all lanes; told as the share below.
    reserved_tokens: Gauge,
    most_tokens: Gauge,
    cache_usage: Gauge<f64, AtomicU64>,
    places_taken: Gauge,
    prefix_queries: Counter,
    prefix_hits: Counter,
    image_queries: Counter,
    image_hits: Counter,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    finished: Family<Finished, Counter>,
    queue: Histogram,
    vision: Histogram,
    prefill: Histogram,
    decode: Histogram,
    first_token: Histogram,
    between_tokens: Histogram,
    preprocess: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    finished_reason: &'static str,
}

/// From 0.1 ms to 52 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 20))
}

/// Makes metrics and registers them.
struct Registrar<'a>(&'a mut Registry);

impl Registrar<'_> {
    fn metric<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds(&mut self, name: &str, help: &str) -> Histogram {
        let metric = seconds();
        self.0
            .register(format!("{name}_seconds"), help, metric.clone());
        metric
    }
}

impl EngineMetrics {
    /// Nothing has happened yet to the engine of this model.
    pub fn new(model: &Info, places: usize) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let said = info::Info::new([
            ("id", model.id.clone()),
            ("hash", model.hash.clone()),
            ("dtype", model.dtype.clone()),
            ("template", model.template.to_string()),
        ]);
        registry.register("model", "The checkpoint that answers", said);
        let mut new = Registrar(&mut registry);
        let house: Gauge = new.metric("places", "Requests that may be in the house");
        house.set(places as i64);
        Self {
            places_taken: new.metric("places_taken", "Requests in the house"),
            reserved_tokens: Gauge::default(),
            most_tokens: Gauge::default(),
            running: new.metric("num_requests_running", "Sequences being written"),
            waiting: new.metric("num_requests_waiting", "Sequences in the engine's queue"),
            cache_usage: new.metric("kv_cache_usage_perc", "Reserved share of the token budget"),
            prefix_queries: new.metric("prefix_cache_queries", "Prompt tokens looked for"),
            prefix_hits: new.metric("prefix_cache_hits", "Prompt tokens found"),
            image_queries: new.metric("mm_cache_queries", "Images looked for"),
            image_hits: new.metric("mm_cache_hits", "Images found"),
            prompt_tokens: new.metric("prompt_tokens", "Prompt tokens of finished tasks"),
            generation_tokens: new.metric("generation_tokens", "Tokens written, forced too"),
            finished: new.metric("request_success", "Tasks that ended, by reason"),
            queue: new.seconds("request_queue_time", "Waiting in the engine's queue"),
            vision: new.seconds("request_vision_time", "Encoding images"),
            prefill: new.seconds("request_prefill_time", "Reading the prompt"),
            decode: new.seconds("request_decode_time", "Writing the answer"),
            first_token: new.seconds("time_to_first_token", "From the queue to the first token"),
            between_tokens: new.seconds("inter_token_latency", "Mean between two tokens of a task"),
            preprocess: new.seconds("request_preprocess_time", "Cropping and cutting patches"),
            registry,
        }
    }

    /// So many more tasks wait for a lane, or fewer.
    pub fn waits(&self, more: i64) {
        self.waiting.inc_by(more);
    }

    /// Notes the state of a lane, which was `counted` so far.
    pub fn observe(&self, stats: &Stats, counted: &Stats) {
        for (gauge, now, before) in [
            (&self.running, stats.running, counted.running),
            (&self.waiting, stats.waiting, counted.waiting),
            (
                &self.reserved_tokens,
                stats.reserved_tokens,
                counted.reserved_tokens,
            ),
            (&self.most_tokens, stats.most_tokens, counted.most_tokens),
        ] {
            gauge.inc_by(now as i64 - before as i64);
        }
        self.prefix_queries
            .inc_by(stats.prompt_tokens - counted.prompt_tokens);
        self.prefix_hits
            .inc_by(stats.reused_tokens - counted.reused_tokens);
        self.image_queries.inc_by(stats.images - counted.images);
        self.image_hits
            .inc_by(stats.reused_images - counted.reused_images);
    }

    /// Notes a task whose client left.
    pub fn aborted(&self) {
        self.count("abort");
    }

    /// Notes a task that a panic took along.
    pub fn panicked(&self) {
        self.count("error");
    }

    /// Notes a task that ended.
    pub fn finished(&self, written: &Result<Written, model::Error>) {
        match written {
            Err(_) => self.count("error"),
            Ok(Written::Answer(answer)) => {
                let extract::Timings { preprocess, engine } = answer.timings;
                self.preprocess.observe(preprocess.as_secs_f64());
                self.written(engine, answer.usage.completion_tokens, answer.finish_reason);
                self.prompt_tokens.inc_by(answer.usage.prompt_tokens as u64);
            }
            Ok(Written::Turn(turn)) => {
                self.written(turn.timings, turn.token_ids.len(), turn.finish_reason);
                self.prompt_tokens.inc_by(turn.prompt_tokens as u64);
            }
        }
    }

    fn written(&self, times: Timings, tokens: usize, reason: FinishReason) {
        self.count(reason.name());
        self.generation_tokens.inc_by(tokens as u64);
        self.queue.observe(times.queue.as_secs_f64());
        self.vision.observe(times.vision.as_secs_f64());
        self.prefill.observe(times.prefill.as_secs_f64());
        self.decode.observe(times.decode.as_secs_f64());
        let first = times.queue + times.vision + times.prefill;
        self.first_token.observe(first.as_secs_f64());
        if tokens > 1 {
            let between = times.decode.as_secs_f64() / (tokens - 1) as f64;
            self.between_tokens.observe(between);
        }
    }

    fn count(&self, finished_reason: &'static str) {
        let finished = Finished { finished_reason };
        self.finished.get_or_create(&finished).inc();
    }
}

/// What HTTP has seen.
#[derive(Debug)]
pub struct HttpMetrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    latency: Family<Path, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    path: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Path {
    path: &'static str,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let latency: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(seconds);
        let help = "From the head of a request to the head of its answer";
        registry.register("e2e_request_latency_seconds", help, latency.clone());
        let mut new = Registrar(&mut registry);
        Self {
            requests: new.metric("http_requests", "Answers sent, by path and status"),
            latency,
            registry,
        }
    }
}

impl HttpMetrics {
    /// Notes an answer.
    pub fn answered(&self, path: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { path, status }).inc();
        let latency = self.latency.get_or_create(&Path { path });
        latency.observe(took.as_secs_f64());
    }
}

/// Everything, in the text form of `OpenMetrics`. With an engine, so many of its places are `taken`.
///
/// # Errors
/// Never: a string takes any text.
pub fn text(
    http: &HttpMetrics,
    engine: Option<(&EngineMetrics, usize)>,
) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode_registry(&mut text, &http.registry)?;
    if let Some((engine, taken)) = engine {
        engine.places_taken.set(taken as i64);
        let most = engine.most_tokens.get().max(1);
        let usage = engine.reserved_tokens.get() as f64 / most as f64;
        engine.cache_usage.set(usage);
        encode_registry(&mut text, &engine.registry)?;
    }
    encode_eof(&mut text)?;
    Ok(text)
}
