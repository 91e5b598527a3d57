//! `more-r1 merge`: an adapter and its base become one checkpoint.

use safetensors::Dtype;
use serde::Serialize;
use train::merge::{MergeOptions, merge};

use crate::args::{DtypeName, MergeArgs};
use crate::command::{Failure, print};
use crate::settings::{adapter, files};

/// What is printed.
#[derive(Serialize)]
struct Report {
    /// The new checkpoint.
    out: String,
    /// What answers with `--model` and `--adapter` name the pair.
    hash: String,
}

pub fn run(args: &MergeArgs, json: bool) -> Result<(), Failure> {
    let (_, base) = files(args.model.as_deref())?;
    let hash = merge(&MergeOptions {
        base,
        adapter: adapter(&args.adapter)?,
        out: args.out.clone(),
        dtype: match args.dtype {
            DtypeName::F32 => Dtype::F32,
            DtypeName::F16 => Dtype::F16,
            DtypeName::Bf16 => Dtype::BF16,
        },
    })?;
    let report = Report {
        out: args.out.display().to_string(),
        hash,
    };
    print(json, &report, |it| format!("{}: written", it.out))
}
