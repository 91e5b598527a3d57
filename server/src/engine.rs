//! Where answers are made: a bounded number of places in front of one thread that owns the model.
//!
//! The contract is small so that a hardened engine (batches, cancellation inside a generation, shared prefixes)
//! can take this file's place: [`Engine::reserve`] a place, [`Engine::submit`] a job for it, await the reply.
//! Not here: HTTP, decoding of images, retries.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use image::RgbImage;
use model::{Answer, Info, Question};
use proto::Ontology;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use vision::{PixelBox, Processor};

/// What the engine needs of a model; [`model::Extractor`] is the one that is shipped, tests bring a fixed one.
pub trait Extract: Send + Sync + 'static {
    /// Answers every question, in order. Blocks, and uses the processor heavily.
    fn extract(&self, questions: &[Question<'_>]) -> Vec<Result<Answer, model::Error>>;

    /// The checkpoint behind the answers.
    fn info(&self) -> &Info;

    /// The labels the answers are chosen from.
    fn ontology(&self) -> &Ontology;

    /// How the checkpoint wants its images.
    fn processor(&self) -> &Processor;
}

/// One question, owned: it crosses from a request to the engine's thread.
#[derive(Debug)]
pub struct Job {
    /// The upright photo.
    pub photo: RgbImage,
    /// The object, inside the photo.
    pub region: PixelBox,
    /// The headline.
    pub text: String,
    /// The entity, a part of the text.
    pub entity: String,
}

/// A finished job.
#[derive(Debug)]
pub struct Done {
    /// What the model answered.
    pub answer: Answer,
    /// How long the job waited for the model.
    pub queued: Duration,
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
    /// The model gave another number of answers than there were questions.
    #[error("the model gave {got} answers to one question")]
    Answers {
        /// How many answers came.
        got: usize,
    },
    /// The engine's thread is gone.
    #[error("the engine has stopped")]
    Stopped,
}

/// A place in the house, given back when dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// The reply to a submitted job.
pub type Reply = oneshot::Receiver<Result<Done, EngineError>>;

/// A model, its thread and the places in front of it.
pub struct Engine {
    extract: Arc<dyn Extract>,
    queue: SyncSender<Waiting>,
    seats: Arc<Semaphore>,
    places: usize,
}

struct Waiting {
    job: Job,
    seat: Seat,
    since: Instant,
    reply: oneshot::Sender<Result<Done, EngineError>>,
}

impl Engine {
    /// Starts the thread. `places` bounds the requests in the house, the running one included.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(extract: Arc<dyn Extract>, places: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(places);
        let worker = Arc::clone(&extract);
        thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || work(worker.as_ref(), &jobs))?;
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

    /// Queues a job; the seat is given back when the job is done or nobody waits for it any more.
    pub fn submit(&self, seat: Seat, job: Job) -> Reply {
        let (reply, receiver) = oneshot::channel();
        let waiting = Waiting {
            job,
            seat,
            since: Instant::now(),
            reply,
        };
        if let Err(refused) = self.queue.try_send(waiting) {
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
            let _ = waiting.reply.send(Err(why));
        }
        receiver
    }

    /// The model behind the engine.
    pub fn model(&self) -> &dyn Extract {
        self.extract.as_ref()
    }
}

/// The thread: one job after the other until every sender is gone.
fn work(extract: &dyn Extract, jobs: &Receiver<Waiting>) {
    while let Ok(Waiting {
        job,
        seat,
        since,
        reply,
    }) = jobs.recv()
    {
        if reply.is_closed() {
            continue; // The client left while the job waited.
        }
        let queued = since.elapsed();
        let result = one(extract, &job).map(|answer| Done { answer, queued });
        drop(seat);
        let _ = reply.send(result); // Nobody waiting is no fault.
    }
}

fn one(extract: &dyn Extract, job: &Job) -> Result<Answer, EngineError> {
    let question = Question {
        image: &job.photo,
        region: job.region,
        text: &job.text,
        entity: &job.entity,
    };
    let mut answers = catch_unwind(AssertUnwindSafe(|| extract.extract(&[question])))
        .map_err(|panic| EngineError::Panicked(panic_text(panic.as_ref())))?;
    match (answers.pop(), answers.len()) {
        (Some(answer), 0) => Ok(answer?),
        (None, _) => Err(EngineError::Answers { got: 0 }),
        (Some(_), more) => Err(EngineError::Answers { got: more + 1 }),
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

impl Extract for model::Extractor {
    fn extract(&self, questions: &[Question<'_>]) -> Vec<Result<Answer, model::Error>> {
        Self::extract(self, questions)
    }

    fn info(&self) -> &Info {
        Self::info(self)
    }

    fn ontology(&self) -> &Ontology {
        Self::ontology(self)
    }

    fn processor(&self) -> &Processor {
        Self::processor(self)
    }
}
