//! `more-r1 data annotate`: an expert model writes the traces to learn from, as in the paper's first stage. Every answer is in the
//! journal before it counts, so that nothing is paid twice; what answers are worth is judged at the end, and can be judged again
//! without the expert. The judgement itself is `train::annotate`.

mod desk;
mod expert;
mod pace;
mod picture;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::Ontology;
use serde::Serialize;
use train::annotate::{
    Entry, Journal, Ledger, Lengths, Prices, Question, Reason, Rejection, Sorted, Usage,
};
use train::data::{Record, read_records};
use train::progress;

use crate::settings::UsageError;
use desk::{Desk, Fate};
use expert::Expert;

pub use desk::Stop;
pub use expert::{ExpertSettings, Key};

/// What becomes of which files.
#[derive(Debug, Clone)]
pub struct Job {
    /// The records.
    pub data: PathBuf,
    /// The folder of their images.
    pub images: PathBuf,
    /// The records with traces.
    pub out: PathBuf,
    /// The other records, with reasons.
    pub rejected: PathBuf,
    /// The expert's answers.
    pub journal: PathBuf,
    /// The relations.
    pub ontology: Ontology,
    /// How long traces may be.
    pub lengths: Lengths,
    /// What the expert costs.
    pub prices: Prices,
}

/// How the expert is asked.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Whom.
    pub expert: ExpertSettings,
    /// Requests under way at a time.
    pub concurrency: usize,
    /// Requests a minute, 0 for no limit.
    pub per_minute: u32,
    /// How often a question is asked again.
    pub retries: u32,
    /// How long before the first time; twice as long every time.
    pub backoff: Duration,
    /// So many failed requests in a row end the run, and so many refusals before the first answer.
    pub failures: usize,
    /// What the journal may cost in the end.
    pub budget: Option<f64>,
    /// Go on with a journal that is there.
    pub resume: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Records there are.
    pub records: usize,
    /// Requests of this run, repeated ones included.
    pub requests: usize,
    /// Questions that this run got answered.
    pub answered: usize,
    /// Questions that were answered before.
    pub resumed: usize,
    /// Records with a trace.
    pub kept: usize,
    /// The others, by reason.
    pub rejected: BTreeMap<Reason, usize>,
    /// What everything in the journal took.
    #[serde(flatten)]
    pub usage: Usage,
    /// What it cost.
    pub cost: f64,
    /// Why the run ended early; the files of results are then as they were.
    pub stopped: Option<Stop>,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something impossible was asked for.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A file.
    #[error(transparent)]
    Files(#[from] train::Error),
}

/// Asks the expert about every record that has no answer yet, and writes the results when all have been asked.
///
/// # Errors
/// Files that cannot be read or written, settings that cannot be meant; never what the expert does.
pub async fn run(job: &Job, asking: &Asking) -> Result<Summary, Error> {
    let expert = Expert::new(asking.expert.clone())?;
    let records = read_records(&job.data).map_err(train::Error::from)?;
    if let Some(there) = [&job.journal, &job.out].into_iter().find(|it| it.exists())
        && !asking.resume
    {
        let reason = format!(
            "{} is there from an earlier run: give --resume or --filter-only, or remove it",
            there.display()
        );
        return Err(UsageError(reason).into());
    }
    let (journal, entries) = Journal::open(&job.journal)?;
    let spent = spent(&entries);
    let mut answers = answers(entries);
    let all = questions(&job.ontology, &records);
    let asked_before = |it: &&Question<'_>| answers.contains_key(&it.key);
    let resumed = all.iter().filter(asked_before).count();
    let todo: Vec<&Question<'_>> = all.iter().filter(|it| !asked_before(it)).collect();
    let ledger = Ledger::new(job.prices, asking.budget, spent);
    let desk = Desk::new(asking, &job.images, expert, journal, ledger);
    let mut failures: HashMap<String, Rejection> = HashMap::new();
    let bar = progress::bar(all.len(), "questions").with_position(resumed as u64);
    let mut fates = stream::iter(todo)
        .map(async |question| (question, desk.answer(question).await))
        .buffer_unordered(asking.concurrency);
    while let Some((question, fate)) = fates.next().await {
        let key = question.key.clone();
        match fate? {
            Fate::Answered(text) => drop(answers.insert(key, text)),
            Fate::Rejected(why) => drop(failures.insert(key, why)),
            Fate::Unasked => continue,
        }
        bar.set_message(format!("cost {:.4}", desk.books().ledger.cost()));
        bar.inc(1);
    }
    drop(fates);
    bar.abandon(); // it stays where it is, also when the run stops early
    let sorted = Sorted::new(&job.ontology, job.lengths, &records, &answers, &failures);
    let stopped = desk.stopped();
    if stopped.is_none() {
        sorted.write(&job.out, &job.rejected)?;
    }
    let books = desk.books();
    Ok(Summary {
        requests: books.requests,
        answered: books.answered,
        resumed,
        stopped,
        ..summary(job, &records, &sorted, books.ledger.spent())
    })
}

/// Judges the answers of the journal, and writes the results; asks nobody.
///
/// # Errors
/// Files that cannot be read or written.
pub fn filter(job: &Job) -> Result<Summary, Error> {
    let records = read_records(&job.data).map_err(train::Error::from)?;
    let entries = Journal::read(&job.journal)?;
    let spent = spent(&entries);
    let answers = answers(entries);
    let sorted = Sorted::new(
        &job.ontology,
        job.lengths,
        &records,
        &answers,
        &HashMap::new(),
    );
    sorted.write(&job.out, &job.rejected)?;
    let all = questions(&job.ontology, &records);
    let resumed = all.iter().filter(|it| answers.contains_key(&it.key));
    Ok(Summary {
        resumed: resumed.count(),
        ..summary(job, &records, &sorted, spent)
    })
}

fn summary(job: &Job, records: &[Record], sorted: &Sorted, usage: Usage) -> Summary {
    Summary {
        records: records.len(),
        requests: 0,
        answered: 0,
        resumed: 0,
        kept: sorted.kept.len(),
        rejected: sorted.counts(),
        usage,
        cost: job.prices.cost(usage),
        stopped: None,
    }
}

/// Everything that was paid for, what did not arrive included.
fn spent(entries: &[Entry]) -> Usage {
    let mut spent = Usage::default();
    for entry in entries {
        spent += entry.usage;
    }
    spent
}

/// The answers that arrived, by question.
fn answers(entries: Vec<Entry>) -> HashMap<String, String> {
    let arrived = entries
        .into_iter()
        .filter_map(|entry| Some((entry.key, entry.answer?)));
    arrived.collect()
}

/// What there is to ask, each question once.
fn questions<'a>(ontology: &Ontology, records: &'a [Record]) -> Vec<Question<'a>> {
    let mut seen = HashSet::new();
    records
        .iter()
        .filter_map(|record| Question::new(ontology, record).ok())
        .filter(|question| seen.insert(question.key.clone()))
        .collect()
}
