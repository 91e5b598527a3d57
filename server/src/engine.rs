//! Where answers are made: a bounded number of places in front of a few threads, each of which owns an engine of the model, a lane.
//!
//! The contract: [`Engine::reserve`] a place, [`Engine::submit`] a prepared task for it, await the reply; who drops the reply
//! frees the place within one step. Tasks wait together, and a lane takes one when it has room. Not here: HTTP, decoding of images, retries.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use image::RgbImage;
use model::engine::{Id, Picture, Stats};
use model::extract::Prepared;
use model::generate::Chat;
use model::guide::Script;
use model::template::Message;
use model::tokenizer::Tokenizer;
use model::{Answer, Completion, Extractor, Info, Question, Sampling, Scene, Terms};
use proto::Ontology;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use vision::{PixelBox, Processor};

use crate::metrics::EngineMetrics;
use crate::queue::Queue;

/// What the service needs of a model; [`model::Extractor`] is the one that is shipped, tests bring a fixed one.
pub trait Extract: Send + Sync + 'static {
    /// Makes a question ready. Blocks; runs beside the engine.
    ///
    /// # Errors
    /// What the caller can mend is named.
    fn prepare(&self, question: &Question<'_>) -> Result<Prepared, model::Error>;

    /// Makes a conversation ready; `pictures` in the order of its image parts.
    ///
    /// # Errors
    /// What the caller can mend is named.
    fn chat(
        &self,
        messages: &[Message],
        pictures: Vec<Picture>,
        max_new_tokens: usize,
    ) -> Result<Chat, model::Error>;

    /// What its token ids mean.
    fn tokenizer(&self) -> &Tokenizer;

    /// How the checkpoint itself chooses tokens in a conversation.
    fn sampling(&self) -> &Sampling;

    /// How many sessions may work side by side.
    fn lanes(&self) -> usize;

    /// Begins the work of a lane's thread.
    fn open(self: Arc<Self>) -> Box<dyn Session>;

    /// The checkpoint behind the answers.
    fn info(&self) -> &Info;

    /// The relations that questions without their own are answered with.
    fn script(&self) -> Arc<Script>;

    /// Answers with other relations from here on; questions that are prepared keep theirs.
    fn set_ontology(&self, ontology: Ontology);

    /// How the checkpoint wants its images.
    fn processor(&self) -> &Processor;
}

/// Something to be written.
pub enum Task {
    /// An answer to a question.
    Question(Prepared),
    /// The next turn of a conversation.
    Chat(Chat),
}

/// What was written.
pub enum Written {
    /// An answer to a question.
    Answer(Box<Answer>),
    /// The next turn of a conversation.
    Turn(Box<Completion>),
}

/// Tasks under way, on a lane's thread.
pub trait Session {
    /// Takes a task.
    ///
    /// # Errors
    /// If it could never be done.
    fn submit(&mut self, task: Task) -> Result<Id, model::Error>;

    /// Forgets a task.
    fn cancel(&mut self, id: Id);

    /// Goes on with all tasks a little; gives those that ended. Uses the processor heavily.
    fn step(&mut self) -> Vec<(Id, Result<Written, model::Error>)>;

    /// The tokens that have been written of a task under way.
    fn written(&self, id: Id) -> &[u32];

    /// Whether a task that is submitted now would begin soon.
    fn has_room(&self) -> bool;

    /// What the engine has done and holds.
    fn stats(&self) -> Stats;
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
    /// A lane's thread is gone.
    #[error("the engine has stopped")]
    Stopped,
}

/// A place in the house, given back when dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// The reply to a submitted task.
pub type Reply = oneshot::Receiver<Result<Written, EngineError>>;

/// Who reads along gets the tokens as they are written.
pub type Reader = UnboundedSender<Vec<u32>>;

/// A model, its lanes and the places in front of them.
pub struct Engine {
    extract: Arc<dyn Extract>,
    lanes: Vec<JoinHandle<()>>,
    queue: Arc<Queue<Waiting>>,
    seats: Arc<Semaphore>,
    places: usize,
    metrics: Arc<EngineMetrics>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// After so many panics with no task done in between a lane gives up: the service is not ready any more, and its supervisor
/// starts a new one.
const MOST_PANICS: usize = 3;

struct Waiting {
    task: Task,
    ticket: Ticket,
    since: Instant,
}

/// Who waits for an answer, on which place.
struct Ticket {
    reply: oneshot::Sender<Result<Written, EngineError>>,
    reader: Option<Reader>,
    /// Tokens that the reader has.
    read: usize,
    seat: Seat,
    /// How long it waited for a lane.
    waited: Duration,
}

impl Engine {
    /// Starts the threads. `places` bounds the requests in the house, the running ones included.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(extract: Arc<dyn Extract>, places: usize) -> std::io::Result<Self> {
        let metrics = Arc::new(EngineMetrics::new(extract.info(), places));
        let queue = Arc::new(Queue::new(extract.lanes()));
        let lane = |number: usize| {
            let lane = Lane {
                number,
                extract: Arc::clone(&extract),
                queue: Arc::clone(&queue),
                metrics: Arc::clone(&metrics),
            };
            thread::Builder::new()
                .name(format!("engine-{number}"))
                .spawn(move || lane.work())
        };
        Ok(Self {
            lanes: (0..extract.lanes()).map(lane).collect::<Result<_, _>>()?,
            queue,
            seats: Arc::new(Semaphore::new(places)),
            extract,
            places,
            metrics,
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

    /// Queues a task; the seat is given back when it is done or nobody waits for it any more. A `reader` gets the tokens while they
    /// are written, the last ones perhaps only with the reply.
    pub fn submit(&self, seat: Seat, task: Task, reader: Option<Reader>) -> Reply {
        let (reply, receiver) = oneshot::channel();
        let waiting = Waiting {
            task,
            ticket: Ticket {
                reply,
                reader,
                read: 0,
                seat,
                waited: Duration::ZERO,
            },
            since: Instant::now(),
        };
        self.metrics.waits(1);
        if let Err(refused) = self.queue.push(waiting) {
            self.metrics.waits(-1);
            refused.ticket.send(Err(EngineError::Stopped));
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

    /// How many there are now.
    pub fn taken(&self) -> usize {
        self.places.saturating_sub(self.seats.available_permits())
    }

    /// Whether one of its threads has given up.
    pub fn has_stopped(&self) -> bool {
        self.lanes.iter().any(JoinHandle::is_finished)
    }

    /// Reads the prompt of a question and writes one token: what is loaded or computed only once is there afterwards, and so is the
    /// beginning that all prompts share. Blocks until then.
    ///
    /// # Errors
    /// A model that cannot answer.
    pub fn warm_up(&self) -> Result<(), EngineError> {
        let scene = Scene::new(RgbImage::new(64, 64));
        let question = Question {
            scene: &scene,
            region: PixelBox {
                x0: 0,
                y0: 0,
                x1: 32,
                y1: 32,
            },
            text: "Warm-up",
            entity: "Warm-up",
            terms: &Terms::default(),
        };
        let Prepared {
            prompt, pictures, ..
        } = self.extract.prepare(&question)?;
        let chat = Chat::over(prompt, pictures.to_vec(), 1);
        let reply = self.submit(self.reserve()?, Task::Chat(chat), None);
        let written = reply.blocking_recv();
        written.unwrap_or(Err(EngineError::Stopped)).map(drop)
    }

    /// What it has done and holds.
    pub fn metrics(&self) -> &EngineMetrics {
        &self.metrics
    }
}

/// A thread that answers.
struct Lane {
    number: usize,
    extract: Arc<dyn Extract>,
    queue: Arc<Queue<Waiting>>,
    metrics: Arc<EngineMetrics>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        for waiting in self.queue.leave(self.number) {
            self.metrics.waits(-1);
            waiting.ticket.send(Err(EngineError::Stopped));
        }
    }
}

impl Lane {
    /// Takes tasks, goes on with all of them step by step, replies; until the engine is dropped.
    fn work(self) {
        let metrics = &self.metrics;
        let mut session = Arc::clone(&self.extract).open();
        let mut tickets: BTreeMap<Id, Ticket> = BTreeMap::new();
        let mut panics = 0;
        let mut counted = Stats::default();
        loop {
            let stats = session.stats();
            metrics.observe(&stats, &counted);
            counted = stats;
            self.forget(session.as_mut(), &mut tickets);
            while let Some(waiting) =
                self.queue
                    .next(self.number, tickets.len(), session.has_room())
            {
                metrics.waits(-1);
                take(session.as_mut(), &mut tickets, waiting);
            }
            if tickets.is_empty() {
                return; // an idle lane waits above, until there is no engine any more
            }
            match catch_unwind(AssertUnwindSafe(|| session.step())) {
                Ok(ended) => {
                    for (id, written) in ended {
                        panics = 0;
                        if let Some(ticket) = tickets.remove(&id) {
                            let written = ticket.timed(written);
                            metrics.finished(&written);
                            ticket.send(written.map_err(EngineError::Model));
                        }
                    }
                    for (&id, ticket) in &mut tickets {
                        ticket.tell(session.written(id));
                    }
                }
                Err(panic) => {
                    let why = panic_text(panic.as_ref());
                    for (_, ticket) in std::mem::take(&mut tickets) {
                        metrics.panicked();
                        ticket.send(Err(EngineError::Panicked(why.clone())));
                    }
                    panics += 1;
                    if panics == MOST_PANICS {
                        tracing::error!(panics, why, "the engine gives up");
                        return;
                    }
                    session = Arc::clone(&self.extract).open(); // what the panic left behind is not to be trusted
                    counted = Stats {
                        prompt_tokens: 0,
                        reused_tokens: 0,
                        images: 0,
                        reused_images: 0,
                        ..counted
                    };
                }
            }
        }
    }

    /// Forgets the tasks that nobody waits for any more, here and in the queue.
    fn forget(&self, session: &mut dyn Session, tickets: &mut BTreeMap<Id, Ticket>) {
        let left = |ticket: &Ticket| ticket.reply.is_closed();
        for _ in 0..self.queue.retain(|waiting| !left(&waiting.ticket)) {
            self.metrics.waits(-1);
            self.metrics.aborted();
        }
        for (id, _) in tickets.extract_if(.., |_, ticket| left(ticket)) {
            session.cancel(id);
            self.metrics.aborted();
        }
    }
}

fn take(session: &mut dyn Session, tickets: &mut BTreeMap<Id, Ticket>, waiting: Waiting) {
    let Waiting {
        task,
        mut ticket,
        since,
    } = waiting;
    ticket.waited = since.elapsed();
    match session.submit(task) {
        Ok(id) => drop(tickets.insert(id, ticket)),
        Err(error) => ticket.send(Err(error.into())),
    }
}

impl Ticket {
    /// Gives the reader what it does not have yet of the tokens `written`.
    fn tell(&mut self, written: &[u32]) {
        let Some(reader) = &self.reader else { return };
        if written.len() > self.read {
            let _ = reader.send(written[self.read..].to_vec()); // Nobody reading is no fault.
            self.read = written.len();
        }
    }

    /// What was written, with the time it waited for a lane.
    fn timed(&self, written: Result<Written, model::Error>) -> Result<Written, model::Error> {
        let mut written = written?;
        match &mut written {
            Written::Answer(answer) => answer.timings.engine.queue += self.waited,
            Written::Turn(turn) => turn.timings.queue += self.waited,
        }
        Ok(written)
    }

    /// Replies; the place is free before the client can know.
    fn send(self, result: Result<Written, EngineError>) {
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

    fn chat(
        &self,
        messages: &[Message],
        pictures: Vec<Picture>,
        max_new_tokens: usize,
    ) -> Result<Chat, model::Error> {
        Self::chat(self, messages, pictures, max_new_tokens)
    }

    fn tokenizer(&self) -> &Tokenizer {
        &self.checkpoint().tokenizer
    }

    fn sampling(&self) -> &Sampling {
        &self.checkpoint().generation.sampling
    }

    fn lanes(&self) -> usize {
        self.lanes().count()
    }

    fn open(self: Arc<Self>) -> Box<dyn Session> {
        Box::new(Running {
            engine: self.lanes().engine(),
            extractor: self,
            underway: BTreeMap::new(),
            owners: BTreeMap::new(),
        })
    }

    fn info(&self) -> &Info {
        Self::info(self)
    }

    fn script(&self) -> Arc<Script> {
        Self::script(self)
    }

    fn set_ontology(&self, ontology: Ontology) {
        Self::set_ontology(self, ontology);
    }

    fn processor(&self) -> &Processor {
        Self::processor(self)
    }
}

/// The session of the shipped model. A task is one sequence of the engine or, with samples, several; its id is the first one's.
struct Running {
    extractor: Arc<Extractor>,
    engine: model::Engine,
    underway: BTreeMap<Id, Underway>,
    /// By sequence: its task.
    owners: BTreeMap<Id, Id>,
}

struct Underway {
    task: Task,
    sequences: Vec<Id>,
    ended: BTreeMap<Id, Completion>,
}

impl Session for Running {
    fn submit(&mut self, task: Task) -> Result<Id, model::Error> {
        let jobs = match &task {
            Task::Question(prepared) => self.extractor.jobs(prepared),
            Task::Chat(chat) => vec![chat.job(self.extractor.checkpoint())],
        };
        let mut sequences = vec![];
        for job in jobs {
            match self.engine.submit(job) {
                Ok(id) => sequences.push(id),
                Err(error) => {
                    for id in sequences {
                        self.engine.cancel(id);
                    }
                    return Err(error.into());
                }
            }
        }
        let first = sequences[0];
        self.owners.extend(sequences.iter().map(|&id| (id, first)));
        let ended = BTreeMap::new();
        self.underway.insert(
            first,
            Underway {
                task,
                sequences,
                ended,
            },
        );
        Ok(first)
    }

    fn cancel(&mut self, id: Id) {
        for sequence in self.underway.remove(&id).map_or(vec![], |it| it.sequences) {
            self.engine.cancel(sequence);
            self.owners.remove(&sequence);
        }
    }

    fn step(&mut self) -> Vec<(Id, Result<Written, model::Error>)> {
        let mut done = vec![];
        for (id, completion) in self.engine.step() {
            let owner = self.owners.remove(&id).expect("every sequence has a task");
            let task = self.underway.get_mut(&owner).expect("it has not ended");
            task.ended.insert(id, completion);
            if task.ended.len() == task.sequences.len() {
                let task = self.underway.remove(&owner).expect("just seen");
                done.push((owner, self.write(task)));
            }
        }
        done
    }

    fn written(&self, id: Id) -> &[u32] {
        self.engine.generated(id).unwrap_or_default()
    }

    fn has_room(&self) -> bool {
        self.engine.has_room()
    }

    fn stats(&self) -> Stats {
        self.engine.stats()
    }
}

impl Running {
    fn write(&self, task: Underway) -> Result<Written, model::Error> {
        let mut completions: Vec<Completion> = task.ended.into_values().collect();
        match task.task {
            Task::Question(prepared) => {
                let answer = self.extractor.answer(&prepared, &completions)?;
                Ok(Written::Answer(Box::new(answer)))
            }
            Task::Chat(_) => Ok(Written::Turn(Box::new(completions.remove(0)))),
        }
    }
}
