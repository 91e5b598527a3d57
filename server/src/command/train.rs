//! `more-r1 train`: the stages of training.

use train::config::SftConfig;
use train::grpo::config::GrpoConfig;
use train::grpo::reward::Rewards;
use train::{grpo, sft};

use crate::args::TrainArgs;
use crate::command::{Failure, print, read_file};
use crate::settings::device;

pub fn sft(args: &TrainArgs, json: bool) -> Result<(), Failure> {
    read_file("--config", &args.config)?;
    let config = SftConfig::read(&args.config)?;
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

pub fn grpo(args: &TrainArgs, json: bool) -> Result<(), Failure> {
    read_file("--config", &args.config)?;
    let config = GrpoConfig::read(&args.config)?;
    let rewards = Rewards::paper(config.grpo.long_characters);
    let summary = grpo::run(&config, rewards, &device(args.device)?)?;
    print(json, &summary, |summary| {
        format!(
            "{}: {} updates, reward {:.3}, {:.0} s",
            summary.checkpoint.display(),
            summary.steps,
            summary.reward,
            summary.seconds
        )
    })
}
