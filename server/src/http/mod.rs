//! HTTP: reading questions, answering them, saying how the service is. Not here: what a field has to be (`fields.rs`).

pub(crate) mod admit;
pub(crate) mod answer;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod chat;
pub(crate) mod extract;
pub(crate) mod form;
pub(crate) mod guard;
pub(crate) mod json;
pub(crate) mod labelstudio;
pub(crate) mod multipart;
pub(crate) mod observe;
pub(crate) mod page;
pub(crate) mod reply;
pub(crate) mod status;
pub(crate) mod stream;
