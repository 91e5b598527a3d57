//! `more-r1 data annotate`: traces from an expert.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use proto::Ontology;
use tokio::runtime::Builder;
use train::annotate::{Lengths, Prices};

use crate::annotate::{self, Asking, Error, ExpertSettings, Job, Key, Stop, Summary};
use crate::args::{AnnotateArgs, ExpertArgs};
use crate::command::{Failure, print};
use crate::settings::{UsageError, read_ontology};

/// So many failed requests in a row, five for each under way at a time, say that nobody is there: that takes a quarter of a minute at least.
const FAILURES_EACH: usize = 5;
/// With few at a time as many as with four: a photo has six questions, and an expert may refuse them all.
const FEWEST_FAILURES: usize = 20;

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
            let ExpertArgs {
                base_url, key_env, ..
            } = &args.expert;
            let key = match key(key_env) {
                Some(_) => String::new(),
                None => format!("; no key was sent, since {key_env} holds none"),
            };
            Err(anyhow!("the expert at {base_url} answers nobody: {why}{key}; {kept}").into())
        }
    }
}

fn job(args: &AnnotateArgs) -> Result<Job, Failure> {
    let images = args.images.clone().unwrap_or_default(); // clap asks for it where it is needed
    let out = args.out.parent().unwrap_or(Path::new(""));
    for (flag, folder) in [("--images", images.as_path()), ("--out", out)] {
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            let reason = format!("{flag}: {} is no folder", folder.display());
            return Err(UsageError(reason).into());
        }
    }
    let same = matches!((args.data.canonicalize(), args.out.canonicalize()), (Ok(data), Ok(out)) if data == out);
    if same {
        let reason = "--out: is the file of --data, which would be lost";
        return Err(UsageError(reason.to_owned()).into());
    }
    let ontology = match &args.ontology {
        Some(file) => read_ontology(file)?,
        None => Ontology::more().clone(),
    };
    let beside = |end| args.out.with_added_extension(end);
    Ok(Job {
        data: args.data.clone(),
        images,
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
    Ok(Asking {
        expert: ExpertSettings {
            base_url: expert.base_url.clone(),
            model: expert.model.clone().unwrap_or_default(), // clap asks for it where it is needed
            key: key(&expert.key_env),
            temperature: expert.temperature,
            max_tokens: expert.max_tokens as u64,
            patience: Duration::from_secs_f64(pace.request_seconds),
        },
        concurrency: pace.concurrency,
        per_minute: pace.requests_per_minute,
        retries: pace.retries,
        backoff: Duration::from_secs_f64(pace.backoff_seconds),
        failures: FEWEST_FAILURES.max(FAILURES_EACH.saturating_mul(pace.concurrency)),
        budget: money.budget,
        resume: args.resume,
    })
}

/// The secret in an environment variable, if there is one.
fn key(variable: &str) -> Option<Key> {
    let key = std::env::var(variable).ok()?.trim().to_owned();
    (!key.is_empty()).then_some(Key(key))
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
