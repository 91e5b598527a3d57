//! `more-r1 train sft`.

use anyhow::anyhow;

use crate::args::SftArgs;
use crate::command::Failure;

pub fn sft(_args: &SftArgs, _json: bool) -> Result<(), Failure> {
    Err(Failure::Failed(anyhow!(
        "train sft is not in this build yet"
    )))
}
