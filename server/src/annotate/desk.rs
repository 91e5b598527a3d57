//! Gets one question answered: waits for money and for its turn, asks, writes down what was paid, asks again or gives up. Stops everybody
//! when going on would be pointless. Which questions there are, and what their answers are worth, is not known here.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use proto::Part;
use rand::RngExt;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use train::annotate::{
    Entry, Journal, Ledger, Question, Reason, Rejection, Reservation, Usage, Verdict,
};

use super::Asking;
use super::expert::{Answer, Expert, Fault, FaultKind};
use super::pace::Pace;
use super::picture::pictures;

/// Bytes of English that are a token at least; labels and their slashes take more tokens than prose.
const BYTES_A_TOKEN: u64 = 3;

/// The longest wait of our own choice.
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// What became of a question.
#[derive(Debug)]
pub enum Fate {
    /// The expert wrote this.
    Answered(String),
    /// It has no answer, for this reason.
    Rejected(Rejection),
    /// The run stopped before.
    Unasked,
}

/// Why a run ends before its last question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The next request might cost more than is left.
    Budget,
    /// The expert answers nobody.
    Expert(String),
}

/// What all questions share.
pub struct Desk<'a> {
    asking: &'a Asking,
    images: &'a Path,
    expert: Expert,
    pace: Pace,
    books: Mutex<Books>,
    /// A request has ended: what was set aside for it is free.
    ended: Notify,
    stop: watch::Sender<Option<Stop>>,
}

/// What is written down.
pub struct Books {
    journal: Journal,
    /// Money.
    pub ledger: Ledger,
    /// Requests sent.
    pub requests: usize,
    /// Questions answered.
    pub answered: usize,
    /// Questions refused that were not given up before.
    refused: usize,
    /// Requests that failed one after the other; those that the expert had no time for count once their question is given up.
    failing: usize,
}

/// A request that can be sent as often as necessary.
struct Request {
    key: String,
    body: Bytes,
    guess: Usage,
}

/// What follows a request.
enum Next {
    Done(Fate),
    Again(Again),
}

/// Why a request has to be repeated.
struct Again {
    why: String,
    /// The expert is well and has no time.
    busy: bool,
    /// How long nobody asks.
    held: Duration,
}

impl<'a> Desk<'a> {
    /// A desk that goes on with `journal`.
    pub fn new(
        asking: &'a Asking,
        images: &'a Path,
        expert: Expert,
        journal: Journal,
        ledger: Ledger,
    ) -> Self {
        Self {
            asking,
            images,
            expert,
            pace: Pace::new(asking.per_minute),
            books: Mutex::new(Books {
                journal,
                ledger,
                requests: 0,
                answered: 0,
                refused: 0,
                failing: 0,
            }),
            ended: Notify::new(),
            stop: watch::Sender::new(None),
        }
    }

    /// What is written down so far.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the run ends early, if it does.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.borrow().clone()
    }

    /// Gets `question` answered, which was given up before if it was `tried`.
    ///
    /// # Errors
    /// A journal that takes no more.
    pub async fn answer(&self, question: &Question<'_>, tried: bool) -> Result<Fate, train::Error> {
        if self.stopped().is_some() {
            return Ok(Fate::Unasked);
        }
        let fate = match self.request(question).await {
            Ok(request) => self.insist(&request, tried).await?,
            Err(why) => rejected(Reason::Record, why),
        };
        if let Fate::Rejected(why) = &fate {
            tracing::warn!(image = question.record.img_id, %why.reason, why.detail, "no answer");
            let entry = Entry {
                rejection: Some(why.clone()),
                ..self.entry(&question.key, None, Usage::default())
            };
            self.books().journal.append(&entry)?;
        }
        Ok(fate)
    }

    /// Sends `request` until it is answered or given up.
    async fn insist(&self, request: &Request, tried: bool) -> Result<Fate, train::Error> {
        let mut busy = 0;
        for attempt in 0.. {
            let Some(reservation) = self.admit(request.guess).await else {
                break;
            };
            let asked = Entry {
                asked: true,
                ..self.entry(&request.key, None, reservation.usage())
            };
            self.books().journal.append(&asked)?; // a kill does not make it free
            let result = self.expert.ask(request.body.clone()).await;
            let next = self.write_down(request, reservation, result, tried);
            self.ended.notify_waiters();
            let again = match next? {
                Next::Done(fate) => return Ok(fate),
                Next::Again(again) => again,
            };
            busy += usize::from(again.busy);
            if attempt == self.asking.retries {
                self.count_failures(busy, &again.why, &mut self.books());
                return Ok(rejected(Reason::Failed, again.why));
            }
            tracing::info!(question = request.key, again.why, "asked again");
            self.rest(attempt, again.held).await;
        }
        Ok(Fate::Unasked)
    }

    /// The request for `question`; its images are read beside the others' waiting.
    async fn request(&self, question: &Question<'_>) -> Result<Request, String> {
        let (images, record) = (self.images.to_owned(), question.record.clone());
        let read = spawn_blocking(move || pictures(&images, &record)).await;
        let pictures = read.map_err(|error| error.to_string())??;
        let mut urls = pictures.urls.into_iter();
        let content: Vec<Value> = question
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => json!({"type": "text", "text": text}),
                Part::Image => json!({"type": "image_url", "image_url": {"url": urls.next()}}),
            })
            .collect();
        let words: usize = question
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len(),
                Part::Image => 0,
            })
            .sum();
        Ok(Request {
            key: question.key.clone(),
            body: self.expert.body(&content),
            guess: Usage {
                prompt_tokens: words as u64 / BYTES_A_TOKEN + pictures.tokens,
                completion_tokens: self.asking.expert.max_tokens,
            },
        })
    }

    /// Waits for money and for a turn; `None` when the run stops before.
    async fn admit(&self, guess: Usage) -> Option<Reservation> {
        let reservation = loop {
            let ended = self.ended.notified(); // before the look at the books, so that no end is missed
            if self.stopped().is_some() {
                return None;
            }
            let verdict = self.books().ledger.reserve(guess);
            match verdict {
                Verdict::Go(reservation) => break reservation,
                Verdict::Over => self.halt(Stop::Budget),
                Verdict::Wait => ended.await,
            }
        };
        loop {
            let turn = self.pace.turn();
            if !self.sleep_until(turn).await {
                self.books().ledger.release(reservation);
                return None;
            }
            if self.pace.stands(turn) {
                return Some(reservation);
            }
        }
    }

    /// Writes down what a request came to, and decides what follows.
    fn write_down(
        &self,
        request: &Request,
        reservation: Reservation,
        result: Result<Answer, Fault>,
        tried: bool,
    ) -> Result<Next, train::Error> {
        let mut books = self.books();
        books.requests += 1;
        let set_aside = books.ledger.release(reservation);
        match result {
            Ok(Answer { text, usage }) => {
                // Who does not count is believed to take what was guessed.
                let seen = usage.unwrap_or(request.guess);
                books.ledger.learn(request.guess, seen);
                let usage = usage.unwrap_or(set_aside);
                books.pay(&self.entry(&request.key, Some(text.clone()), usage))?;
                books.answered += 1;
                books.failing = 0;
                Ok(Next::Done(Fate::Answered(text)))
            }
            Err(Fault { kind, why }) => {
                let usage = match kind {
                    FaultKind::Lost => set_aside,
                    _ => Usage::default(),
                };
                books.pay(&self.entry(&request.key, None, usage))?;
                Ok(self.after(kind, why, tried, &mut books))
            }
        }
    }

    /// What follows a fault.
    fn after(&self, kind: FaultKind, why: String, tried: bool, books: &mut Books) -> Next {
        let wait = match kind {
            FaultKind::Closed => {
                self.halt(Stop::Expert(why));
                return Next::Done(Fate::Unasked);
            }
            FaultKind::Refused => {
                books.refused += usize::from(!tried);
                books.failing = 0;
                // A wrong flag is refused with every question, a photo that the expert does not like now and then.
                if books.answered == 0 && books.refused >= self.asking.failures {
                    self.halt(Stop::Expert(why.clone()));
                }
                return Next::Done(rejected(Reason::Refused, why));
            }
            FaultKind::Busy(wait) => wait,
            FaultKind::Ill(wait) => {
                self.count_failures(1, &why, books);
                wait
            }
            FaultKind::Lost => {
                self.count_failures(1, &why, books);
                None
            }
        };
        Next::Again(Again {
            why,
            busy: matches!(kind, FaultKind::Busy(_)),
            held: wait.map_or(Duration::ZERO, |wait| self.pace.hold(wait)),
        })
    }

    /// So many requests more have failed; too many in a row end the run.
    fn count_failures(&self, more: usize, why: &str, books: &mut Books) {
        books.failing += more;
        if books.failing >= self.asking.failures {
            let times = books.failing;
            self.halt(Stop::Expert(format!(
                "{times} requests in a row failed, the last one: {why}"
            )));
        }
    }

    fn entry(&self, key: &str, answer: Option<String>, usage: Usage) -> Entry {
        Entry {
            key: key.to_owned(),
            model: self.asking.expert.model.clone(),
            answer,
            usage,
            asked: false,
            rejection: None,
        }
    }

    /// Waits before the next attempt: twice as long every time, behind what nobody asks in.
    async fn rest(&self, attempt: u32, held: Duration) {
        let doubling = 2_u32.saturating_pow(attempt);
        let doubled = self.asking.backoff.saturating_mul(doubling);
        // Requests that failed together do not come back together.
        let jitter = rand::rng().random_range(0.5..1.0);
        let own = doubled.min(LONGEST_BACKOFF).mul_f64(jitter);
        self.sleep_until(Instant::now() + held + own).await;
    }

    /// Whether the moment came before the end of the run.
    async fn sleep_until(&self, moment: Instant) -> bool {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some) => false,
            () = sleep_until(moment) => true,
        }
    }

    /// No further requests; those under way are waited for. The first reason counts.
    fn halt(&self, reason: Stop) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(reason);
            }
            first
        });
        self.ended.notify_waiters();
    }
}

impl Books {
    /// Counts what is on the disk.
    fn pay(&mut self, entry: &Entry) -> Result<(), train::Error> {
        self.journal.append(entry)?;
        self.ledger.pay(entry.usage);
        Ok(())
    }
}

fn rejected(reason: Reason, why: String) -> Fate {
    Fate::Rejected(Rejection::new(reason, why))
}
