//! `more-r1 train`: the stages of training, or what they would take.

use train::config::SftConfig;
use train::sft;

use crate::args::SftArgs;
use crate::command::{Failure, plan, print, read_file};
use crate::settings::device;

pub fn sft(args: &SftArgs, json: bool) -> Result<(), Failure> {
    read_file("--config", &args.config)?;
    let config = SftConfig::read(&args.config)?;
    if args.dry_run {
        return plan::run(&config, &args.plan, json);
    }
    let summary = sft::run(&config, &device(args.device)?)?;
    print(json, &summary, |summary| {
        format!(
            "{}: {} steps over {} records, loss {:.4}, {:.0} s",
            summary.checkpoint.display(),
            summary.steps,
            summary.records,
            summary.loss,
            summary.seconds
        )
    })
}
