//! `more-r1 data annotate`: an expert model writes the traces to learn from, as in the paper's first stage. Every answer is in the
//! journal before it counts, so that nothing is paid twice; what answers are worth is judged at the end, and can be judged again
//! without the expert. The judgement itself is `train::annotate`.

mod desk;
mod expert;
mod pace;
mod picture;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::Ontology;
use serde::Serialize;
use train::annotate::{
    History, Journal, Ledger, Lengths, Prices, Question, Reason, Rejection, Sorted, Usage,
};
use train::data::{Record, read_records};
use train::progress;

use crate::settings::UsageError;
use desk::{Desk, Fate};
use expert::Expert;

pub use desk::Stop;
pub use expert::{ExpertSettings, Key, is_openai};

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
    /// So many failed requests in a row end the run, and so many questions refused for the first time before any is answered.
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

/// Asks the expert about every record that has no answer yet, those last that were given up before, and writes the results when all have
/// been asked.
///
/// # Errors
/// Files that cannot be read or written, settings that cannot be meant; never what the expert does.
pub async fn run(job: &Job, asking: &Asking) -> Result<Summary, Error> {
    let expert = Expert::new(asking.expert.clone())?;
    let records = read_records(&job.data).map_err(train::Error::from)?;
    let written = [&job.journal, &job.out, &job.rejected];
    if let Some(there) = written.into_iter().find(|it| it.exists())
        && !asking.resume
    {
        let reason = format!(
            "{} is there from an earlier run: give --resume or --filter-only, or remove it",
            there.display()
        );
        return Err(UsageError(reason).into());
    }
    let (journal, entries) = Journal::open(&job.journal)?;
    let mut history = History::from(entries);
    let questions = questions(&job.ontology, &records);
    let all = distinct(&questions);
    let answered = |it: &&Question<'_>| history.answers.contains_key(&it.key);
    let (resumed, mut todo): (Vec<_>, Vec<_>) = all.into_iter().partition(answered);
    let tried = history.failures.keys().cloned().collect::<HashSet<_>>();
    todo.sort_by_key(|question| tried.contains(&question.key)); // what may be refused again says least about the expert
    let bar = progress::resumed(resumed.len() + todo.len(), "questions", resumed.len());
    let ledger = Ledger::new(job.prices, asking.budget, history.spent);
    let desk = Desk::new(asking, &job.images, expert, journal, ledger);
    let mut fates = stream::iter(todo)
        .map(async |question| {
            let fate = desk.answer(question, tried.contains(&question.key));
            (question.key.clone(), fate.await)
        })
        .buffer_unordered(asking.concurrency);
    while let Some((key, fate)) = fates.next().await {
        match fate? {
            Fate::Answered(text) => drop(history.answers.insert(key, text)),
            Fate::Rejected(why) => drop(history.failures.insert(key, why)),
            Fate::Unasked => continue,
        }
        bar.set_message(format!("cost {:.4}", desk.books().ledger.cost()));
        bar.inc(1);
    }
    drop(fates);
    bar.abandon(); // it stays where it is, also when the run stops early
    let stopped = desk.stopped().or_else(|| silence(&history));
    let sorted = Sorted::new(&job.ontology, job.lengths, &records, &questions, &history);
    if stopped.is_none() {
        sorted.write(&job.out, &job.rejected)?;
    }
    let books = desk.books();
    Ok(Summary {
        requests: books.requests,
        answered: books.answered,
        resumed: resumed.len(),
        stopped,
        ..summary(job, &sorted, books.ledger.spent())
    })
}

/// Judges the answers of the journal, and writes the results; asks nobody.
///
/// # Errors
/// Files that cannot be read or written.
pub fn filter(job: &Job) -> Result<Summary, Error> {
    let records = read_records(&job.data).map_err(train::Error::from)?;
    let history = History::from(Journal::read(&job.journal)?);
    let questions = questions(&job.ontology, &records);
    let sorted = Sorted::new(&job.ontology, job.lengths, &records, &questions, &history);
    sorted.write(&job.out, &job.rejected)?;
    let all = distinct(&questions).into_iter();
    let resumed = all.filter(|it| history.answers.contains_key(&it.key));
    Ok(Summary {
        resumed: resumed.count(),
        ..summary(job, &sorted, history.spent)
    })
}

fn summary(job: &Job, sorted: &Sorted, usage: Usage) -> Summary {
    Summary {
        records: sorted.kept.len() + sorted.rejected.len(),
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

/// What questions that failed say where none was ever answered: nobody is there, however few were asked.
fn silence(history: &History) -> Option<Stop> {
    let mut failures = history.failures.values();
    let failed = failures.find(|why| why.reason == Reason::Failed);
    let failed = failed.filter(|_| history.answers.is_empty())?;
    Some(Stop::Expert(failed.detail.clone()))
}

/// The questions about `records`, one each.
fn questions<'a>(
    ontology: &Ontology,
    records: &'a [Record],
) -> Vec<Result<Question<'a>, Rejection>> {
    let records = records.iter();
    records.map(|it| Question::new(ontology, it)).collect()
}

/// What there is to ask, each question once.
fn distinct<'a, 'b>(questions: &'b [Result<Question<'a>, Rejection>]) -> Vec<&'b Question<'a>> {
    let mut seen = HashSet::new();
    let questions = questions.iter().flatten();
    questions.filter(|it| seen.insert(&it.key)).collect()
}
