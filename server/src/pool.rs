//! A bounded number of threads for work that blocks: decoding and cutting of images.
//!
//! Not here: what the work is. Waiters are bounded by the engine's places, not here.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::engine::panic_text;

/// At most so many blocking tasks at once.
#[derive(Debug, Clone)]
pub struct Pool {
    permits: Arc<Semaphore>,
}

/// The work panicked; carries what it said, for the log.
#[derive(Debug, thiserror::Error)]
#[error("image work panicked: {0}")]
pub struct Panicked(String);

impl Pool {
    /// A pool of `size` threads, at least one.
    pub fn new(size: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(size.max(1))),
        }
    }

    /// Waits for a thread and runs `work` on it.
    ///
    /// # Errors
    /// [`Panicked`] when `work` did.
    ///
    /// # Panics
    /// Never in practice: the semaphore is not closed.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the pool never closes its semaphore");
        // The permit moves into the task: a client that leaves does not free a thread that still works.
        let task = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(|error| {
            Panicked(match error.try_into_panic() {
                Ok(panic) => panic_text(panic.as_ref()),
                Err(cancelled) => cancelled.to_string(),
            })
        })
    }
}
