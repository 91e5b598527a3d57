//! `more-r1 data synth`.

use anyhow::anyhow;

use crate::args::SynthArgs;
use crate::command::Failure;

pub fn synth(_args: &SynthArgs, _json: bool) -> Result<(), Failure> {
    Err(Failure::Failed(anyhow!(
        "data synth is not in this build yet"
    )))
}
