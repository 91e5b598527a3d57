//! The ways a measurement fails. A figure that cannot be had is no failure: its line says why.

use std::path::PathBuf;

/// Why a part ended without its lines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A checkpoint, or an answer.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// An evaluation.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// The drawn records.
    #[error(transparent)]
    Synth(#[from] train::synth::Error),
    /// A picture.
    #[error(transparent)]
    Vision(#[from] vision::Error),
    /// The device gave an operation back undone.
    #[error("the device failed: {0}")]
    Device(String),
    /// The checkpoint could not be opened the first time.
    #[error("the model could not be opened before")]
    Gone,
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// A fault with the file or folder `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
