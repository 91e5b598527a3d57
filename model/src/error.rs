//! The ways this crate fails because of the world: files, checkpoints, requests. Wrong shapes inside the network are our
//! own bugs and panic.

use std::path::PathBuf;

/// Everything that can go wrong between a checkpoint directory, a request and an answer.
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
    /// A checkpoint lacks a file.
    #[error("the checkpoint {checkpoint} has no {file}")]
    MissingFile {
        /// Where it was looked for.
        checkpoint: String,
        /// What was looked for.
        file: String,
    },
    /// A file of the checkpoint does not say what it must.
    #[error("{file}: {reason}")]
    BadFile {
        /// File name inside the checkpoint.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Tensors and configuration disagree.
    #[error(
        "the checkpoint's tensors do not fit its config.json:{}",
        WeightFaults(missing, unexpected, misshaped)
    )]
    Weights {
        /// Tensors the network needs and the files lack.
        missing: Vec<String>,
        /// Tensors in the files that the network does not know.
        unexpected: Vec<String>,
        /// Tensors of another shape, as "name: got [..], needs [..]".
        misshaped: Vec<String>,
    },
    /// An adapter that is none, that is another kind than we merge, or that belongs to another base.
    #[error("the adapter cannot be used: {0}")]
    Adapter(String),
    /// A request that cannot be answered; the caller can mend it.
    #[error("{field}: {reason}")]
    Input {
        /// The request field at fault.
        field: &'static str,
        /// What is wrong, with the limit.
        reason: String,
    },
    /// The prompt is longer than allowed.
    #[error("the prompt has {got} tokens, the limit is {limit}")]
    PromptTooLong {
        /// Tokens after image expansion.
        got: usize,
        /// The configured limit.
        limit: usize,
    },
    /// Prompt and answer are longer than everything the engine may hold.
    #[error(transparent)]
    TooLong(#[from] crate::engine::TooLong),
    /// The image could not be made into patches.
    #[error(transparent)]
    Vision(#[from] vision::Error),
    /// The model produced something outside the protocol; with the grammar on this is our bug.
    #[error("the response does not follow the protocol: {0}")]
    Protocol(#[from] proto::ParseError),
}

impl Error {
    /// A fault in the file `file` of a checkpoint.
    pub fn bad(file: &str, reason: impl std::fmt::Display) -> Self {
        Self::BadFile {
            file: file.into(),
            reason: reason.to_string(),
        }
    }
}

/// Lists the faulty tensors of a checkpoint, twenty of a kind at most.
struct WeightFaults<'a>(&'a [String], &'a [String], &'a [String]);

impl std::fmt::Display for WeightFaults<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (kind, names) in [
            ("missing", self.0),
            ("unexpected", self.1),
            ("wrong shape", self.2),
        ] {
            if names.is_empty() {
                continue;
            }
            write!(
                f,
                " {kind} ({}): {}",
                names.len(),
                names[..names.len().min(20)].join(", ")
            )?;
            if names.len() > 20 {
                write!(f, ", …")?;
            }
            write!(f, ";")?;
        }
        Ok(())
    }
}
