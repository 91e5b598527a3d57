//! `more-r1`: reads the command line and ends with 0 (done), 1 (failed), 2 (asked for something impossible) or 3 (stopped at a budget).

use std::process::ExitCode;

/// Training frees and takes megabytes an operation; this allocator keeps them at hand (`docs/log.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::command::main(std::env::args_os())
}
