//! `more-r1 eval`.

use anyhow::anyhow;

use crate::args::EvalArgs;
use crate::command::Failure;

pub fn run(_args: &EvalArgs, _json: bool) -> Result<(), Failure> {
    Err(Failure::Failed(anyhow!("eval is not in this build yet")))
}
