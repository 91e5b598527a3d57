//! How fast a device is with this network, and how exact: the parts of `more-r1 bench` and its gate. Measures from outside, by what
//! the other rooms offer in public; predicts from `config.json` and two ceilings. Knows no command line, compares with nobody else's
//! program (`peer_transformers.py` beside it does the same work), trains nothing.
//!
//! `shape`, `weights` random models · `clock` repeats within a budget · `line` what is said · `roofline` what to expect · `matmul`,
//! `attention` pieces · `network` vision, prompts, steps · `samples` whole answers · `memory` bytes and idleness · `gate` numbers

mod attention;
pub mod clock;
mod error;
pub mod gate;
mod jobs;
pub mod line;
mod matmul;
mod memory;
mod network;
pub mod roofline;
mod samples;
pub mod shape;
mod weights;

use std::sync::Arc;
use std::time::Duration;

use burn::tensor::{DType, Device};
use model::{Checkpoint, Config};

use crate::clock::Budget;
pub use crate::error::Error;
pub use crate::line::{Line, Setting};
pub use crate::memory::machine;
use crate::roofline::{Ceilings, Sizes};

/// What a run of the bench is about.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it computes.
    pub device: Device,
    /// The type of weights and activations.
    pub dtype: DType,
    /// How long a part may take; the measurement under way when it ends is finished, the rest is left out by name.
    pub budget: Duration,
    /// Operations and bytes a second that the device is known to reach; what is not given is measured.
    pub peak_operations: Option<f64>,
    /// As above.
    pub peak_bytes: Option<f64>,
    /// Sequences that a step goes on with, of each run of steps.
    pub batches: Vec<usize>,
    /// Tokens that each of them has before it.
    pub contexts: Vec<usize>,
    /// Requests of the workload, 3,036 in MORE's test set.
    pub requests: usize,
    /// How many of them run at once.
    pub sequences: usize,
}

/// Makes the checkpoint when a part first needs it.
pub type Open<'a> = Box<dyn FnOnce() -> Result<Checkpoint, Error> + 'a>;

/// Where lines go as soon as they are measured.
pub type Emit<'a> = Box<dyn FnMut(&Line) -> Result<(), Error> + 'a>;

/// One run. Every part ends with an error where a model cannot be opened, a device fails, or a line cannot be written.
pub struct Bench<'a> {
    options: Options,
    config: Config,
    setting: Setting,
    open: Option<Open<'a>>,
    checkpoint: Option<Arc<Checkpoint>>,
    ceilings: Option<Ceilings>,
    emit: Emit<'a>,
}

impl<'a> Bench<'a> {
    /// A run over the network of `config`, which `open` makes; nothing is measured yet.
    pub fn new(
        options: Options,
        config: Config,
        setting: Setting,
        open: Open<'a>,
        emit: Emit<'a>,
    ) -> Self {
        Self {
            options,
            config,
            setting,
            open: Some(open),
            checkpoint: None,
            ceilings: None,
            emit,
        }
    }

    /// Products of the network's shapes, and the ceilings.
    ///
    /// # Errors
    /// As every part.
    pub fn matmul(&mut self) -> Result<(), Error> {
        matmul::run(self)
    }

    /// Attention of steps and of prompts.
    ///
    /// # Errors
    /// As every part.
    pub fn attention(&mut self) -> Result<(), Error> {
        attention::run(self)
    }

    /// Photos and crops to tokens.
    ///
    /// # Errors
    /// As every part.
    pub fn vision(&mut self) -> Result<(), Error> {
        network::vision(self)
    }

    /// Prompts.
    ///
    /// # Errors
    /// As every part.
    pub fn prefill(&mut self) -> Result<(), Error> {
        network::prefill(self)
    }

    /// One token for each of many.
    ///
    /// # Errors
    /// As every part.
    pub fn decode(&mut self) -> Result<(), Error> {
        network::decode(self)
    }

    /// Whole answers on a workload like MORE.
    ///
    /// # Errors
    /// As every part.
    pub fn samples(&mut self) -> Result<(), Error> {
        samples::run(self)
    }

    /// The tokens of one greedy answer, for comparing with another program.
    ///
    /// # Errors
    /// As every part.
    pub fn greedy(&mut self) -> Result<(), Error> {
        network::greedy(self)
    }

    /// Bytes, after what was measured before.
    ///
    /// # Errors
    /// As every part.
    pub fn memory(&mut self) -> Result<(), Error> {
        memory::run(self)
    }

    /// The checkpoint, opened by the first who asks.
    ///
    /// # Errors
    /// As opening it.
    pub fn checkpoint(&mut self) -> Result<Arc<Checkpoint>, Error> {
        if let Some(open) = self.open.take() {
            self.checkpoint = Some(Arc::new(open()?.for_answering()));
        }
        let opened = self.checkpoint.as_ref();
        Ok(Arc::clone(opened.ok_or(Error::Gone)?))
    }

    /// What the device reaches: what was said, and what was not is found by [`Bench::matmul`].
    fn ceilings(&mut self) -> Result<Ceilings, Error> {
        if self.ceilings.is_none()
            && let (Some(operations), Some(bytes)) =
                (self.options.peak_operations, self.options.peak_bytes)
        {
            self.ceilings = Some(Ceilings { operations, bytes });
        }
        if let Some(ceilings) = self.ceilings {
            return Ok(ceilings);
        }
        matmul::run(self)?;
        self.ceilings()
    }

    fn sizes(&self) -> Sizes {
        Sizes::new(&self.config, self.options.dtype)
    }

    fn budget(&self) -> Budget {
        Budget::new(self.options.budget)
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> f64 {
        let sizes = self.sizes();
        sizes.all * sizes.width
    }

    /// Reports a figure.
    ///
    /// # Errors
    /// A line that cannot be written.
    pub fn emit(&mut self, mut line: Line) -> Result<(), Error> {
        line.setting = self.setting.clone();
        (self.emit)(&line)
    }

    /// Whether a processor computes, not a GPU.
    fn on_cpu(&self) -> bool {
        self.options.device == Device::flex()
    }
}
