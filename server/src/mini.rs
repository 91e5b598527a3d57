//! The checkpoint inside the binary: more-r1-mini, compiled in by `build.rs` where the repository has it.

use model::Files;

include!(concat!(env!("OUT_DIR"), "/mini_files.rs"));

/// The name the embedded checkpoint answers under.
pub const ID: &str = "more-r1-mini";

/// The embedded checkpoint, unless this binary was built without one.
pub fn files() -> Option<Files> {
    (!MINI.is_empty()).then_some(Files::Embedded(MINI))
}
