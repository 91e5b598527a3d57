//! `more-r1 train`: the stages of training, or what they would take.

use train::config::SftConfig;
use train::grpo::config::GrpoConfig;
use train::grpo::reward::Rewards;
use train::watch::Standing;
use train::{grpo, sft};

use crate::args::{SftArgs, TrainArgs};
use crate::command::{Failure, plan, print, read_file};
use crate::device::devices;

pub fn sft(args: &SftArgs, json: bool) -> Result<(), Failure> {
    let run = &args.run;
    read_file("--config", &run.config)?;
    let config = SftConfig::read(&run.config)?;
    if args.dry_run {
        return plan::run(&config, &args.plan, json);
    }
    let summary = sft::run(&config, &devices(&run.device)?)?;
    print(json, &summary, |summary| {
        format!(
            "{}: {} steps over {} records, loss {:.4}, {:.0} s{}",
            summary.checkpoint.display(),
            summary.steps,
            summary.records,
            summary.loss,
            summary.seconds,
            evaluated(&summary.standing, summary.stopped_early)
        )
    })
}

pub fn grpo(args: &TrainArgs, json: bool) -> Result<(), Failure> {
    read_file("--config", &args.config)?;
    let config = GrpoConfig::read(&args.config)?;
    let rewards = Rewards::paper(config.grpo.long_characters);
    let summary = grpo::run(&config, rewards, &devices(&args.device)?)?;
    print(json, &summary, |summary| {
        format!(
            "{}: {} updates, reward {:.3}, {:.0} s{}",
            summary.checkpoint.display(),
            summary.steps,
            summary.reward,
            summary.seconds,
            evaluated(&summary.standing, summary.stopped_early)
        )
    })
}

/// The best checkpoint, and whether the run ended for want of a better one.
fn evaluated(standing: &Standing, stopped_early: bool) -> String {
    let Some(best) = standing.best else {
        return String::new();
    };
    let (name, value, step) = (best.metric.name(), best.value, best.step);
    let best = format!("; best {name} {value:.4} at checkpoint-{step}");
    if stopped_early {
        let since = standing.since_best;
        format!("{best}, stopped early after {since} evaluations without a better one")
    } else {
        best
    }
}
