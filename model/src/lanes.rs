//! Engines side by side over one checkpoint and shared caches, one a core (ADR 10). Knows no questions.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::checkpoint::Checkpoint;
use crate::engine::{Caches, Engine, Job, Settings, TooLong};
use crate::generate::Completion;

/// The engines of one extractor.
pub struct Lanes {
    checkpoint: Arc<Checkpoint>,
    /// Of one lane.
    settings: Settings,
    caches: Caches,
    /// Those of [`Lanes::run`]; a service makes its own.
    engines: Vec<Mutex<Engine>>,
}

impl Lanes {
    /// As many as `settings` wants, fewer where one could not hold `longest` tokens.
    pub fn new(checkpoint: Arc<Checkpoint>, settings: Settings, longest: usize) -> Self {
        let settings = settings.divided(longest);
        let mut lanes = Self {
            checkpoint,
            caches: Caches::new(&settings),
            engines: vec![],
            settings,
        };
        let engines = (0..settings.lanes).map(|_| Mutex::new(lanes.engine()));
        lanes.engines = engines.collect();
        lanes
    }

    /// How many engines may work side by side.
    pub fn count(&self) -> usize {
        self.settings.lanes
    }

    /// An engine for one lane.
    pub fn engine(&self) -> Engine {
        let checkpoint = Arc::clone(&self.checkpoint);
        Engine::over(checkpoint, self.settings.limits, self.caches.clone())
    }

    /// Continues `jobs`, in every lane an equal run of neighbours: they often have a beginning in common.
    pub fn run(&self, jobs: Vec<Job>) -> Vec<Result<Completion, TooLong>> {
        let size = jobs.len().div_ceil(self.engines.len()).max(1);
        let mut jobs = jobs.into_iter();
        thread::scope(|scope| {
            let parts = self.engines.iter().map(|engine| {
                let part: Vec<Job> = jobs.by_ref().take(size).collect();
                scope.spawn(move || self.run_lane(engine, part))
            });
            let parts: Vec<_> = parts.collect();
            let ended = parts.into_iter().flat_map(|part| match part.join() {
                Ok(completions) => completions,
                Err(panic) => resume_unwind(panic),
            });
            ended.collect()
        })
    }

    fn run_lane(&self, engine: &Mutex<Engine>, jobs: Vec<Job>) -> Vec<Result<Completion, TooLong>> {
        let mut engine = engine.lock().unwrap_or_else(|poisoned| {
            // What a panic left behind is not to be trusted.
            let mut left = poisoned.into_inner();
            *left = self.engine();
            engine.clear_poison();
            left
        });
        engine.run(jobs)
    }
}
