//! The binary as a shell runs it.

use std::path::Path;
use std::process::{Command, Output};

/// What came of these arguments in this folder.
pub fn more_r1(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_more-r1"))
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the binary runs")
}
