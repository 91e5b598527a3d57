//! The ways a measurement fails. A figure that cannot be had is no failure: its line says why.

use std::path::PathBuf;

/// Why a part ended without its lines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A checkpoint, or an answer.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// The drawn records, or their evaluation.
    #[error(transparent)]
    Train(#[from] train::Error),
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
    #[error("{path}: {fault}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        fault: std::io::Error,
    },
}

impl Error {
    /// A fault with the file or folder `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |fault| Self::Io { path, fault }
    }
}
