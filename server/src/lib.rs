//! The service and the commands of the one binary, `more-r1`. Only this room knows HTTP and the command line.
//!
//! Start at [`app::app`] for the service, at [`command::main`] for the commands. Not here: what an image becomes
//! (`vision`), how the model answers (`model`), what crosses the wire (`proto`).

pub mod annotate;
pub mod app;
pub mod args;
pub mod auth;
pub mod command;
pub mod device;
pub mod engine;
pub mod error;
pub mod fetch;
mod field_error;
pub mod fields;
mod graph;
mod http;
mod metrics;
mod mini;
mod pool;
mod prepare;
mod queue;
pub mod serve;
pub mod settings;
mod telemetry;
