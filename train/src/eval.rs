//! How well a model does the task: answers every record, counts, and keeps what a report needs. Trains nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use model::guide::Script;
use model::{Extractor, Terms};
use proto::Form;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize, Serializer};
use vision::PixelBox;

use crate::ask::{Asker, Reply};
use crate::data::{Record, read_records};
use crate::example::check_labels;
use crate::metrics::{Confusion, Reliability, Scores, ratio};
use crate::{Error, progress};

/// Mistakes that are written with the scores, from the front.
const WRITTEN: usize = 200;

/// What to evaluate on.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Records; their traces are not shown to the model.
    pub data: PathBuf,
    /// The folder of their images.
    pub images: PathBuf,
    /// At most this many records, from the front.
    pub limit: Option<usize>,
    /// Every image is grey: what the text alone gives away.
    pub blank_images: bool,
    /// Every record gets another record's text (its entity is kept): what the image alone gives away.
    pub shuffle_text: bool,
    /// Records answered together.
    pub batch_size: usize,
}

/// The result of an evaluation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvalReport {
    /// Records answered.
    pub records: usize,
    /// Accuracy, precision, recall, F1, per relation, confusion.
    #[serde(flatten)]
    pub scores: Scores,
    /// The share of answers that follow the grammar exactly.
    pub valid_traces: f64,
    /// What the traces themselves state; absent where answers are labels alone.
    #[serde(flatten)]
    pub statements: Option<Statements>,
    /// Mean length of an answer in characters.
    pub mean_characters: f64,
    /// The share longer than 1,024 characters (the paper's length reward).
    pub long_traces: f64,
    /// Expected calibration error of the labels' probabilities.
    pub ece: f64,
    /// Their Brier score.
    pub brier: f64,
    /// Records a second.
    #[serde(rename = "samples/s")]
    pub samples_per_second: f64,
    /// The folder of the photos, as it was named.
    #[serde(default)]
    pub images: PathBuf,
    /// Every answer. Written are the first 200 mistakes, so they are all that is read back.
    #[serde(rename = "mistakes", default, serialize_with = "mistakes")]
    pub answers: Vec<Answered>,
}

impl EvalReport {
    /// Reads what `more-r1 eval --json` printed into a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no report.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        serde_json::from_str(&text).map_err(|error| Error::Config {
            path: path.to_owned(),
            reason: format!("not a report of `more-r1 eval --json`: {error}"),
        })
    }
}

fn mistakes<S: Serializer>(answers: &[Answered], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(answers.iter().filter(|it| !it.is_right()).take(WRITTEN))
}

/// How well labels agree with the steps before them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statements {
    /// The share of answers whose label is among the candidates and of the types the trace itself states.
    #[serde(rename = "consistent_traces")]
    pub consistent: f64,
    /// The share whose stated types (step 4) are those of the label; of `none`, those the trace could state.
    pub types_agree: f64,
}

/// One record and what the model made of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// The record as asked.
    pub record: Record,
    /// Its object in pixels.
    pub region: PixelBox,
    /// The label said, if the answer could be read.
    pub said: Option<String>,
    /// The probability of every label, in the order of the ontology; empty if the answer could not be read, and not written.
    #[serde(skip)]
    pub probabilities: Vec<f64>,
    /// The answer as generated.
    pub raw: String,
}

impl Answered {
    /// Whether the label is the record's.
    pub fn is_right(&self) -> bool {
        self.said.as_deref() == Some(self.record.relation.as_str())
    }
}

/// Answers the records of `options` and scores the answers.
///
/// # Errors
/// Unreadable records or images, a relation that the model's ontology lacks. A record the model refuses counts as a wrong, invalid answer.
pub fn run(extractor: &Extractor, options: &EvalOptions) -> Result<EvalReport, Error> {
    let mut records = read_records(&options.data)?;
    records.truncate(options.limit.unwrap_or(usize::MAX));
    let bar = progress::bar(records.len(), "records");
    over(extractor, records, options, &bar)
}

/// The same over `records`, telling `bar` how far it is.
///
/// # Errors
/// As [`run`].
pub(crate) fn over(
    extractor: &Extractor,
    mut records: Vec<Record>,
    options: &EvalOptions,
    bar: &ProgressBar,
) -> Result<EvalReport, Error> {
    if options.shuffle_text {
        shuffle_texts(&mut records);
    }
    let ontology = extractor.ontology();
    check_labels(&ontology, &records)?; // better known before the first answer than behind it
    let begin = Instant::now();
    let mut tally = Tally {
        confusion: Confusion::new(&ontology),
        answers: vec![],
        valid: 0,
        consistent: 0,
        types: 0,
    };
    let asker = Asker {
        extractor,
        images: &options.images,
        blank_images: options.blank_images,
        terms: Terms {
            scored: true,
            ..Terms::default()
        },
    };
    for batch in records.chunks(options.batch_size.max(1)) {
        for (record, reply) in batch.iter().zip(asker.ask(batch)?) {
            tally.count(record, reply);
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish();
    let seconds = begin.elapsed().as_secs_f64();
    Ok(tally.report(&extractor.script(), &options.images, seconds))
}

struct Tally {
    confusion: Confusion,
    answers: Vec<Answered>,
    valid: usize,
    consistent: usize,
    types: usize,
}

impl Tally {
    fn count(&mut self, record: &Record, Reply { region, answer }: Reply) {
        let (said, raw, probabilities) = match answer {
            Ok(answer) => {
                let ontology = answer.script.ontology();
                let form = answer.script.form();
                self.valid += usize::from(form.is_valid(ontology, &answer.raw));
                self.consistent += usize::from(answer.trace.consistent(ontology));
                self.types += usize::from(types_agree(ontology, &answer.trace));
                let probabilities = answer.scores.unwrap_or_default();
                (Some(answer.trace.label), answer.raw, probabilities)
            }
            Err(error) => (None, error.to_string(), vec![]),
        };
        let known = self.confusion.count(&record.relation, said.as_deref());
        assert!(known, "labels were checked");
        self.answers.push(Answered {
            record: record.clone(),
            region,
            said,
            probabilities,
            raw,
        });
    }

    fn report(self, script: &Script, images: &Path, seconds: f64) -> EvalReport {
        let ontology = script.ontology();
        let records = self.answers.len();
        let share = |count: usize| ratio(count, records);
        let mut reliability = Reliability::default();
        for answer in &self.answers {
            let Some(said) = &answer.said else { continue };
            let place = |name: &str| {
                let place = ontology.position(name);
                place.expect("what was counted is of the ontology")
            };
            let right = place(&answer.record.relation);
            reliability.count(&answer.probabilities, place(said), right);
        }
        let lengths: Vec<usize> = self
            .answers
            .iter()
            .map(|answer| answer.raw.chars().count())
            .collect();
        EvalReport {
            records,
            scores: self.confusion.scores(),
            valid_traces: share(self.valid),
            statements: (script.form() == Form::Trace).then(|| Statements {
                consistent: share(self.consistent),
                types_agree: share(self.types),
            }),
            mean_characters: share(lengths.iter().sum()),
            long_traces: share(lengths.iter().filter(|&&length| length > 1024).count()),
            ece: reliability.ece(),
            brier: reliability.brier(),
            samples_per_second: records as f64 / seconds,
            images: images.to_owned(),
            answers: self.answers,
        }
    }
}

/// Whether step 4 states the label's own types; `none` has none of its own and agrees with any two known types.
fn types_agree(ontology: &proto::Ontology, trace: &proto::Trace) -> bool {
    let known = |name: &Option<String>| {
        name.as_ref()
            .is_some_and(|name| ontology.types.iter().any(|kind| kind.name == *name))
    };
    let label = ontology.find(&trace.label);
    match label.map(|label| (&label.object_type, &label.entity_type)) {
        Some((Some(object), Some(entity))) => {
            trace.object_type.as_ref() == Some(object) && trace.entity_type.as_ref() == Some(entity)
        }
        Some(_) => known(&trace.object_type) && known(&trace.entity_type),
        None => false,
    }
}

/// Gives every record the text of another, in a fixed shuffle without fixed points.
fn shuffle_texts(records: &mut [Record]) {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let texts: Vec<(String, Vec<String>)> = order
        .iter()
        .map(|&index| (records[index].text.clone(), records[index].token.clone()))
        .collect();
    for (place, &index) in order.iter().enumerate() {
        let (text, token) = &texts[(place + 1) % texts.len()];
        records[index].text.clone_from(text);
        records[index].token.clone_from(token);
    }
}
