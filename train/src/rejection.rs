//! Why a row or an answer is not used: a reason that can be counted, and what exactly was wrong.

use serde::{Deserialize, Serialize};

/// A reason, and what is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection<R> {
    /// The kind.
    pub reason: R,
    /// What exactly, for people: with the values that disagreed.
    pub detail: String,
}

impl<R> Rejection<R> {
    /// A rejection.
    pub fn new(reason: R, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { reason, detail }
    }
}
