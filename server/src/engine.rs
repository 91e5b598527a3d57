//! Where answers are made: a bounded number of places in front of one thread that owns the model's engine.
//!
//! The contract: [`Engine::reserve`] a place, [`Engine::submit`] a prepared question for it, await the reply; who drops the reply
//! frees the place within one step. Not here: HTTP, decoding of images, retries.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use model::engine::Id;
use model::extract::Prepared;
use model::{Answer, Extractor, Info, Question};
use proto::Ontology;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use vision::Processor;

/// What the service needs of a model; [`model::Extractor`] is the one that is shipped, tests bring a fixed one.
pub trait Extract: Send + Sync + 'static {
    /// Makes a question ready. Blocks; runs beside the engine.
    ///
    /// # Errors
    /// What the caller can mend is named.
    fn prepare(&self, question: &Question<'_>) -> Result<Prepared, model::Error>;

    /// Begins the work of the engine's thread.
    fn open(self: Arc<Self>) -> Box<dyn Session>;

    /// The checkpoint behind the answers.
    fn info(&self) -> &Info;

    /// The relations that questions without their own are answered with.
    fn ontology(&self) -> Arc<Ontology>;

    /// Answers with other relations from here on; questions that are prepared keep theirs.
    fn set_ontology(&self, ontology: Ontology);

    /// How the checkpoint wants its images.
    fn processor(&self) -> &Processor;
}

/// Questions under way, on the engine's thread.
pub trait Session {
    /// Takes a question.
    ///
    /// # Errors
    /// If it could never be answered.
    fn submit(&mut self, prepared: Prepared) -> Result<Id, model::Error>;

    /// Forgets a question.
    fn cancel(&mut self, id: Id);

    /// Goes on with all questions a little; gives those that ended. Uses the processor heavily.
    fn step(&mut self) -> Vec<(Id, Result<Answer, model::Error>)>;

    /// What has been written of an answer under way.
    fn written(&self, id: Id) -> String;
}

/// Why a job got no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// All places are taken.
    #[error("all {places} places are taken")]
    Full {
        /// How many requests may be in the house.
        places: usize,
    },
    /// The model refused the question or failed.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// The model panicked; the thread went on with the next job.
    #[error("the model panicked: {0}")]
    Panicked(String),
    /// The engine's thread is gone.
    #[error("the engine has stopped")]
    Stopped,
}

/// A place in the house, given back when dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// The reply to a submitted question.
pub type Reply = oneshot::Receiver<Result<Answer, EngineError>>;

/// A model, its thread and the places in front of it.
pub struct Engine {
    extract: Arc<dyn Extract>,
    queue: SyncSender<Waiting>,
    seats: Arc<Semaphore>,
    places: usize,
}

struct Waiting {
    prepared: Prepared,
    ticket: Ticket,
}

/// Who waits for an answer, on which place.
struct Ticket {
    reply: oneshot::Sender<Result<Answer, EngineError>>,
    /// Who reads along.
    reader: Option<UnboundedSender<String>>,
    /// Bytes of the answer that the reader has.
    read: usize,
    seat: Seat,
}

impl Engine {
    /// Starts the thread. `places` bounds the requests in the house, the running ones included.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(extract: Arc<dyn Extract>, places: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(places);
        let model = Arc::clone(&extract);
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || work(&model, &jobs))?;
        let seats = Arc::new(Semaphore::new(places));
        Ok(Self {
            extract,
            queue,
            seats,
            places,
        })
    }

    /// Takes a place before any work is done for a request, or says at once that there is none.
    ///
    /// # Errors
    /// [`EngineError::Full`].
    pub fn reserve(&self) -> Result<Seat, EngineError> {
        Arc::clone(&self.seats)
            .try_acquire_owned()
            .map(Seat)
            .map_err(|_| EngineError::Full {
                places: self.places,
            })
    }

    /// Takes a place as soon as there is one: for the questions of a batch, which has a place already.
    pub async fn wait(&self) -> Seat {
        let permit = Arc::clone(&self.seats).acquire_owned().await;
        Seat(permit.expect("the semaphore is never closed"))
    }

    /// Queues a question; the seat is given back when it is answered or nobody waits for it any more. A `reader` gets the answer
    /// piece by piece while it is written.
    pub fn submit(
        &self,
        seat: Seat,
        prepared: Prepared,
        reader: Option<UnboundedSender<String>>,
    ) -> Reply {
        let (reply, receiver) = oneshot::channel();
        let ticket = Ticket {
            reply,
            reader,
            read: 0,
            seat,
        };
        if let Err(refused) = self.queue.try_send(Waiting { prepared, ticket }) {
            // As many places in the queue as seats: only a stopped thread refuses. A dropped receiver is fine.
            let (waiting, why) = match refused {
                TrySendError::Disconnected(waiting) => (waiting, EngineError::Stopped),
                TrySendError::Full(waiting) => (
                    waiting,
                    EngineError::Full {
                        places: self.places,
                    },
                ),
            };
            let _ = waiting.ticket.reply.send(Err(why));
        }
        receiver
    }

    /// The model behind the engine.
    pub fn model(&self) -> &Arc<dyn Extract> {
        &self.extract
    }

    /// How many requests may be in the house.
    pub fn places(&self) -> usize {
        self.places
    }

    /// How many more there may be now.
    pub fn free(&self) -> usize {
        self.seats.available_permits()
    }
}

/// The thread: takes questions, goes on with all of them step by step, replies; until every sender is gone.
fn work(extract: &Arc<dyn Extract>, jobs: &Receiver<Waiting>) {
    let mut session = Arc::clone(extract).open();
    let mut tickets: BTreeMap<Id, Ticket> = BTreeMap::new();
    loop {
        if tickets.is_empty() {
            match jobs.recv() {
                Ok(waiting) => take(session.as_mut(), &mut tickets, waiting),
                Err(_) => return,
            }
        }
        while let Ok(waiting) = jobs.try_recv() {
            take(session.as_mut(), &mut tickets, waiting);
        }
        let left: Vec<Id> = tickets
            .iter()
            .filter(|(_, ticket)| ticket.reply.is_closed())
            .map(|(&id, _)| id)
            .collect();
        for id in left {
            session.cancel(id);
            tickets.remove(&id);
        }
        match catch_unwind(AssertUnwindSafe(|| session.step())) {
            Ok(ended) => {
                for (id, answer) in ended {
                    if let Some(mut ticket) = tickets.remove(&id) {
                        if let Ok(answer) = &answer {
                            ticket.tell(&answer.raw);
                        }
                        ticket.send(answer.map_err(EngineError::Model));
                    }
                }
                for (&id, ticket) in &mut tickets {
                    if ticket.reader.is_some() {
                        ticket.tell(&session.written(id));
                    }
                }
            }
            Err(panic) => {
                let why = panic_text(panic.as_ref());
                for (_, ticket) in std::mem::take(&mut tickets) {
                    ticket.send(Err(EngineError::Panicked(why.clone())));
                }
                session = Arc::clone(extract).open(); // what the panic left behind is not to be trusted
            }
        }
    }
}

fn take(session: &mut dyn Session, tickets: &mut BTreeMap<Id, Ticket>, waiting: Waiting) {
    if waiting.ticket.reply.is_closed() {
        return; // The client left while the question waited.
    }
    match session.submit(waiting.prepared) {
        Ok(id) => drop(tickets.insert(id, waiting.ticket)),
        Err(error) => waiting.ticket.send(Err(error.into())),
    }
}

impl Ticket {
    /// Gives the reader what it does not have yet of what is `written`.
    fn tell(&mut self, written: &str) {
        let Some(reader) = &self.reader else { return };
        // Half a character at the end becomes a whole one with the next token.
        let whole = written.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if let Some(piece) = whole.get(self.read..).filter(|piece| !piece.is_empty()) {
            self.read = whole.len();
            let _ = reader.send(piece.to_owned()); // Nobody reading is no fault.
        }
    }

    /// Replies; the place is free before the client can know.
    fn send(self, result: Result<Answer, EngineError>) {
        let Self { reply, seat, .. } = self;
        drop(seat);
        let _ = reply.send(result); // Nobody waiting is no fault.
    }
}

/// What a panic said, if it said a string.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

impl Extract for Extractor {
    fn prepare(&self, question: &Question<'_>) -> Result<Prepared, model::Error> {
        Self::prepare(self, question)
    }

    fn open(self: Arc<Self>) -> Box<dyn Session> {
        Box::new(Running {
            engine: self.engine(),
            extractor: self,
            questions: BTreeMap::new(),
        })
    }

    fn info(&self) -> &Info {
        Self::info(self)
    }

    fn ontology(&self) -> Arc<Ontology> {
        Self::ontology(self)
    }

    fn set_ontology(&self, ontology: Ontology) {
        Self::set_ontology(self, ontology);
    }

    fn processor(&self) -> &Processor {
        Self::processor(self)
    }
}

/// The session of the shipped model.
struct Running {
    extractor: Arc<Extractor>,
    engine: model::Engine,
    questions: BTreeMap<Id, Prepared>,
}

impl Session for Running {
    fn submit(&mut self, prepared: Prepared) -> Result<Id, model::Error> {
        let id = self.engine.submit(self.extractor.job(&prepared))?;
        self.questions.insert(id, prepared);
        Ok(id)
    }

    fn cancel(&mut self, id: Id) {
        self.engine.cancel(id);
        self.questions.remove(&id);
    }

    fn step(&mut self) -> Vec<(Id, Result<Answer, model::Error>)> {
        let ended = self.engine.step().into_iter();
        let answer = |(id, completion)| {
            let prepared = self.questions.remove(&id);
            let prepared = prepared.expect("every sequence is a question");
            (id, self.extractor.answer(&prepared, &completion))
        };
        ended.map(answer).collect()
    }

    fn written(&self, id: Id) -> String {
        let ids = self.engine.generated(id).unwrap_or_default();
        self.extractor.checkpoint().tokenizer.decode(ids, false)
    }
}
