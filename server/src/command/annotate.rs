//! `more-r1 data annotate`: traces from an expert.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use proto::Ontology;
use tokio::runtime::Builder;
use train::annotate::{Lengths, Prices};
use train::part::same_file;

use crate::annotate::{self, Asking, Error, ExpertSettings, Job, Key, Stop, Summary, is_openai};
use crate::args::{AnnotateArgs, ExpertArgs};
use crate::command::{Failure, print};
use crate::settings::{UsageError, given, read_ontology};

/// So many failed requests in a row, five for each under way at a time, say that nobody is there: with the default waits of 1, 2, 4 and 8 s
/// between them, less up to a half, that takes 7 s at least.
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
            let key = match (key(&args.expert), key_variable(&args.expert)) {
                (Some(_), _) => String::new(),
                (None, Some(name)) => format!("; no key was sent, since {name} holds none"),
                (None, None) => "; no key was sent, since --key-env names none".to_owned(),
            };
            let base_url = &args.expert.base_url;
            Err(anyhow!("the expert at {base_url} answers nobody: {why}{key}; {kept}").into())
        }
    }
}

fn job(args: &AnnotateArgs) -> Result<Job, Failure> {
    let images = if args.filter_only {
        PathBuf::new() // nobody is shown any
    } else {
        given("--images", args.images.clone())?
    };
    check_folder("--images", &images)?;
    let beside = |end| args.out.with_added_extension(end);
    let journal = args.journal.clone().unwrap_or_else(|| beside("journal"));
    let rejected = beside("rejected");
    let written = [
        ("--out", args.out.as_path()),
        ("--journal", &journal),
        ("the file of rejected facts beside --out", &rejected),
    ];
    for (name, file) in written {
        check_file(name, file)?;
    }
    let mut files = vec![("--data", args.data.as_path())];
    files.extend(written);
    files.extend(args.ontology.as_deref().map(|file| ("--ontology", file)));
    if let Some([one, other]) = same_file(&files) {
        let reason = format!("{one} and {other} are the same file: one would be lost");
        return Err(UsageError(reason).into());
    }
    if args.filter_only && !journal.exists() {
        let reason = format!("--journal: there is no {} to judge", journal.display());
        return Err(UsageError(reason).into());
    }
    let (min, max) = (args.min_chars, args.max_chars);
    if min > max {
        let reason = format!("--min-chars {min}: has to be --max-chars at most, which is {max}");
        return Err(UsageError(reason).into());
    }
    let ontology = match &args.ontology {
        Some(file) => read_ontology(file)?,
        None => Ontology::more().clone(),
    };
    Ok(Job {
        data: args.data.clone(),
        images,
        out: args.out.clone(),
        rejected,
        journal,
        ontology,
        lengths: Lengths { min, max },
        prices: Prices {
            input: args.money.price_input.unwrap_or_default(),
            output: args.money.price_output.unwrap_or_default(),
        },
    })
}

fn check_folder(flag: &str, folder: &Path) -> Result<(), UsageError> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    Err(UsageError(format!(
        "{flag}: {} is no folder",
        folder.display()
    )))
}

/// Refuses what cannot become a file: it would be found out when everything is paid.
fn check_file(name: &str, file: &Path) -> Result<(), UsageError> {
    check_folder(name, file.parent().unwrap_or(Path::new("")))?;
    if file.is_dir() || file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let reason = format!("{name}: {} is a folder, not a file", file.display());
        return Err(UsageError(reason));
    }
    Ok(())
}

fn asking(args: &AnnotateArgs) -> Result<Asking, UsageError> {
    let (expert, pace, money) = (&args.expert, &args.pace, &args.money);
    let prices = money.price_input.zip(money.price_output);
    if money.budget.is_some() && prices.is_none_or(|(input, output)| input + output <= 0.0) {
        let reason = "--budget: needs --price-input and --price-output, one of them above 0";
        return Err(UsageError(reason.to_owned()));
    }
    Ok(Asking {
        expert: ExpertSettings {
            base_url: expert.base_url.clone(),
            model: given("--model", expert.model.clone())?,
            key: key(expert),
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

/// The variable that holds the key, if one is to be sent: `OpenAI`'s goes to nobody else unless it is named.
fn key_variable(expert: &ExpertArgs) -> Option<&str> {
    let own = is_openai(&expert.base_url).then_some("OPENAI_API_KEY");
    expert.key_env.as_deref().or(own)
}

/// The key, if there is one to send.
fn key(expert: &ExpertArgs) -> Option<Key> {
    let key = std::env::var(key_variable(expert)?).ok()?.trim().to_owned();
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
