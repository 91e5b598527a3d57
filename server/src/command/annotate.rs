//! `more-r1 data annotate`: traces from an expert.

use std::time::Duration;

use anyhow::{Context, anyhow};
use proto::Ontology;
use tokio::runtime::Builder;
use train::annotate::{Lengths, Prices};

use crate::annotate::{self, Asking, Error, ExpertSettings, Job, Key, Stop, Summary};
use crate::args::AnnotateArgs;
use crate::command::{Failure, print};
use crate::settings::{UsageError, read_ontology};

/// So many failed requests in a row say that nobody is there: with four at a time each has tried five times, over half a minute.
const FAILURES: usize = 20;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Usage(error) => error.into(),
            Error::Files(error) => error.into(),
        }
    }
}

pub fn run(args: &AnnotateArgs, json: bool) -> Result<(), Failure> {
    let job = job(args)?;
    let summary = if args.filter_only {
        annotate::filter(&job)?
    } else {
        let asking = asking(args)?;
        let runtime = Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.context("cannot start the runtime")?;
        runtime.block_on(annotate::run(&job, &asking))?
    };
    print(json, &summary, |summary| words(&job, summary))?;
    let kept = format!(
        "{} keeps what was answered: --resume goes on, --filter-only judges what is there",
        job.journal.display()
    );
    match summary.stopped {
        None => Ok(()),
        Some(Stop::Budget) => Err(Failure::Budget(format!(
            "the next request could exceed the budget; {kept}"
        ))),
        Some(Stop::Expert(why)) => {
            let url = &args.expert.base_url;
            Err(anyhow!("the expert at {url} answers nobody: {why}; {kept}").into())
        }
    }
}

fn job(args: &AnnotateArgs) -> Result<Job, Failure> {
    if !args.filter_only && !args.images.is_dir() {
        let reason = format!("--images {}: no such folder", args.images.display());
        return Err(UsageError(reason).into());
    }
    let ontology = match &args.ontology {
        Some(file) => read_ontology(file)?,
        None => Ontology::more().clone(),
    };
    let beside = |end| args.out.with_added_extension(end);
    Ok(Job {
        data: args.data.clone(),
        images: args.images.clone(),
        out: args.out.clone(),
        rejected: beside("rejected"),
        journal: args.journal.clone().unwrap_or_else(|| beside("journal")),
        ontology,
        lengths: Lengths {
            min: args.min_chars,
            max: args.max_chars,
        },
        prices: Prices {
            input: args.money.price_input,
            output: args.money.price_output,
        },
    })
}

fn asking(args: &AnnotateArgs) -> Result<Asking, UsageError> {
    let (expert, pace, money) = (&args.expert, &args.pace, &args.money);
    if money.budget.is_some() && money.price_input + money.price_output <= 0.0 {
        let reason = "--budget: needs --price-input and --price-output";
        return Err(UsageError(reason.to_owned()));
    }
    if pace.request_seconds <= 0.0 {
        let reason = "--request-seconds: has to be more than 0";
        return Err(UsageError(reason.to_owned()));
    }
    let key = std::env::var(&expert.key_env).unwrap_or_default();
    let key = key.trim();
    Ok(Asking {
        expert: ExpertSettings {
            base_url: expert.base_url.clone(),
            model: expert.model.clone().unwrap_or_default(), // clap asks for it where it is needed
            key: (!key.is_empty()).then(|| Key(key.to_owned())),
            temperature: expert.temperature,
            max_tokens: expert.max_tokens as u64,
            patience: Duration::from_secs_f64(pace.request_seconds),
        },
        concurrency: pace.concurrency,
        per_minute: pace.requests_per_minute,
        retries: pace.retries,
        backoff: Duration::from_secs_f64(pace.backoff_seconds),
        failures: FAILURES,
        budget: money.budget,
        resume: args.resume,
    })
}

fn words(job: &Job, summary: &Summary) -> String {
    let mut lines = vec![
        format!("records   {}", summary.records),
        format!("requests  {}", summary.requests),
        format!("answered  {}", summary.answered),
        format!("resumed   {}", summary.resumed),
        format!("kept      {}", summary.kept),
    ];
    let reasons = summary.rejected.iter();
    lines.extend(reasons.map(|(reason, count)| format!("  {reason:<10}  {count}")));
    lines.push(format!(
        "tokens    {} in, {} out",
        summary.usage.prompt_tokens, summary.usage.completion_tokens
    ));
    lines.push(format!("cost      {:.4}", summary.cost));
    if summary.stopped.is_none() {
        lines.push(format!("traces    {}", job.out.display()));
    }
    lines.join("\n")
}
