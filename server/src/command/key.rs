//! `more-r1 key`: a new key for the service. It is shown once; the file gets its hash only.

use serde::Serialize;

use crate::args::KeyArgs;
use crate::auth::make;
use crate::command::{Failure, print};

/// What is printed.
#[derive(Serialize)]
struct Report {
    /// For the client.
    key: String,
    /// For the file.
    line: String,
}

pub fn run(args: &KeyArgs, json: bool) -> Result<(), Failure> {
    let (key, line) = make(&args.name, args.admin);
    print(json, &Report { key, line }, |it| {
        format!(
            "key, for the client: {}\nline, for the file of --api-keys: {}",
            it.key, it.line
        )
    })
}
