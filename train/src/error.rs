//! The ways training and evaluation stop because of the world: files, records, configurations.

use std::path::PathBuf;

use crate::data::Record;

/// Everything that can stop a run. What was already written stays valid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {fault}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        fault: std::io::Error,
    },
    /// A configuration that cannot be meant.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A record that cannot be used.
    #[error("record of {image}: {reason}")]
    Record {
        /// Its image.
        image: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The loss or its gradient is no finite number any more.
    #[error(
        "the loss of step {step} is {loss}, the norm of its gradient {grad_norm}; the last checkpoint is untouched"
    )]
    Diverged {
        /// The step.
        step: usize,
        /// What was computed.
        loss: f64,
        /// Before clipping.
        grad_norm: f64,
    },
    /// The file of records is unreadable.
    #[error(transparent)]
    Data(#[from] crate::data::Error),
    /// The model refuses.
    #[error(transparent)]
    Model(#[from] model::Error),
}

impl Error {
    /// Goes on if step `step` can be made with this loss and this norm of its gradient.
    ///
    /// # Errors
    /// [`Error::Diverged`] if one of them is no finite number: the weights would not be either.
    pub(crate) fn unless_finite(step: usize, loss: f64, grad_norm: f64) -> Result<(), Self> {
        if loss.is_finite() && grad_norm.is_finite() {
            return Ok(());
        }
        Err(Self::Diverged {
            step,
            loss,
            grad_norm,
        })
    }

    /// Names `path`, the file or the run, beside what cannot be meant.
    pub fn config(path: impl Into<PathBuf>) -> impl Fn(String) -> Self {
        let path = path.into();
        move |reason| Self::Config {
            path: path.clone(),
            reason,
        }
    }

    /// Names the image of `record` in a fault of it.
    pub fn record(record: &Record) -> impl Fn(String) -> Self {
        let image = record.img_id.clone();
        move |reason| Self::Record {
            image: image.clone(),
            reason,
        }
    }

    /// Names `path` in an I/O error.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |fault| Self::Io { path, fault }
    }
}
