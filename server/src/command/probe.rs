//! `more-r1 probe`: looks at one GPU for the process that started this one (`server/src/device.rs`), and ends with it.

use std::io::{copy, sink, stdin};
use std::process::exit;
use std::thread;

use anyhow::Context;
use model::device::look;

use crate::args::ProbeArgs;
use crate::command::{Failure, say};

pub fn run(args: &ProbeArgs) -> Result<(), Failure> {
    // A look may hang. Whoever asked holds the other end of our input: when it ends, nobody waits for an answer any more.
    let watch = || {
        let _ = copy(&mut stdin(), &mut sink());
        exit(1);
    };
    thread::Builder::new()
        .spawn(watch)
        .context("cannot start a thread")?;
    look(args.number, args.dtype.into(), |found| {
        // A line that cannot be written is one that nobody reads.
        say(&serde_json::to_string(found).unwrap_or_default());
    });
    Ok(())
}
