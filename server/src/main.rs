//! `more-r1`: reads the command line and ends with 0 (done), 1 (failed) or 2 (asked for something impossible).

use std::process::ExitCode;

fn main() -> ExitCode {
    server::command::main(std::env::args_os())
}
