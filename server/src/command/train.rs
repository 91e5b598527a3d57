//! `more-r1 train`: the stages of training, or what they would take.

use train::config::SftConfig;
use train::grpo::config::GrpoConfig;
use train::grpo::reward::Rewards;
use train::watch::Standing;
use train::{grpo, sft};

use crate::args::{GrpoArgs, SftArgs};
use crate::command::{Failure, plan, print, read_file};
use crate::device::devices;

pub fn sft(args: &SftArgs, json: bool) -> Result<(), Failure> {
    let run = &args.run;
    read_file("--config", &run.config)?;
    let config = SftConfig::read(&run.config)?;
    if args.plan.dry_run {
        return plan::sft(&config, args, json);
    }
    let summary = sft::run(&config, &devices(&run.device, &run.kernels)?)?;
    print(json, &summary, |summary| {
        format!(
            "{}: {} steps over {} records, {}{}",
            summary.checkpoint.display(),
            summary.steps,
            summary.records,
            ended("loss", 4, summary.loss, summary.seconds),
            evaluated(&summary.standing, summary.stopped_early)
        )
    })
}

pub fn grpo(args: &GrpoArgs, json: bool) -> Result<(), Failure> {
    let run = &args.run;
    read_file("--config", &run.config)?;
    let config = GrpoConfig::read(&run.config)?;
    if args.plan.dry_run {
        return plan::grpo(&config, args, json);
    }
    let rewards = Rewards::paper(config.grpo.long_characters);
    let summary = grpo::run(&config, rewards, &devices(&run.device, &run.kernels)?)?;
    print(json, &summary, |summary| {
        format!(
            "{}: {} updates, {}{}",
            summary.checkpoint.display(),
            summary.steps,
            ended("reward", 3, summary.reward, summary.seconds),
            evaluated(&summary.standing, summary.stopped_early)
        )
    })
}

/// What the run ended with, unless it had ended before it was started.
fn ended(name: &str, digits: usize, value: Option<f64>, seconds: f64) -> String {
    match value {
        Some(value) => format!("{name} {value:.digits$}, {seconds:.0} s"),
        None => "nothing was left to do".to_owned(),
    }
}

/// The best checkpoint, and whether the run ended for want of a better one.
fn evaluated(standing: &Standing, stopped_early: bool) -> String {
    let best = standing.best.map(|best| {
        let (name, value, step) = (best.metric.name(), best.value, best.step);
        format!("; best {name} {value:.4} at checkpoint-{step}")
    });
    let stopped = stopped_early.then(|| {
        let since = standing.since_best;
        format!("; stopped early after {since} evaluations without a better one")
    });
    [best, stopped].into_iter().flatten().collect()
}
