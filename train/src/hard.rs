//! Which records a model already gets right: Stage 2 learns from those it gets wrong and from ever fewer of the others. Sorts records by
//! the model's answers; trains nothing and draws nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use model::{Extractor, Terms};
use proto::{NONE, Ontology};
use serde::Serialize;

use crate::ask::{Asker, Reply};
use crate::data::{Record, records_of, write_lines};
use crate::example::check_labels;
use crate::journal::{Head, Journal, Line};
use crate::{Error, progress};

const ANSWERS: &str = "answers.jsonl";

/// What to sort, and where it goes.
#[derive(Clone, Debug)]
pub struct HardOptions {
    /// The records; their traces are not shown to the model.
    pub data: PathBuf,
    /// The folder of their images.
    pub images: PathBuf,
    /// At most this many records, from the front.
    pub limit: Option<usize>,
    /// Records answered together; the answers do not depend on it.
    pub batch_size: usize,
    /// The folder to write; must not be there.
    pub out: PathBuf,
    /// Go on with what an interrupted run has left beside it.
    pub resume: bool,
}

/// Records of a kind, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Answered right.
    pub easy: usize,
    /// Answered wrong, or not to be read.
    pub hard: usize,
}

/// What became of the records.
#[derive(Clone, Debug, Serialize)]
pub struct HardReport {
    /// All of them.
    pub records: usize,
    /// The same, easy and hard.
    #[serde(flatten)]
    pub all: Counts,
    /// The hard ones whose answer could not be read, or that the model refused.
    pub unparsable: usize,
    /// Those without a relation.
    pub none: Counts,
    /// Those with one.
    pub other: Counts,
    /// Every relation by itself, `none` included.
    pub relations: BTreeMap<String, Counts>,
    /// Those that an earlier run had answered.
    pub kept: usize,
    /// Records answered a second.
    #[serde(rename = "samples/s")]
    pub samples_per_second: f64,
}

/// Records about to be sorted.
#[derive(Debug)]
pub struct Sorting {
    options: HardOptions,
    records: Vec<Record>,
    /// Digest of the file they come from.
    data: String,
    /// The folder's name until it is whole.
    part: PathBuf,
}

impl Sorting {
    /// Reads the records and finds out whether there is a place for the result: a model takes long to open.
    ///
    /// # Errors
    /// Records that cannot be read, a folder that is there already, one left by an interrupted run that is not to be resumed.
    pub fn new(options: HardOptions) -> Result<Self, Error> {
        let refuse = |path: &Path, reason: &str| Error::Config {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        if options.out.exists() {
            return Err(refuse(&options.out, "is there already"));
        }
        let part = options.out.with_added_extension("part");
        if part.exists() && !options.resume {
            let reason = "is there from an interrupted run: give --resume, or remove it";
            return Err(refuse(&part, reason));
        }
        let bytes = std::fs::read(&options.data).map_err(Error::io(&options.data))?;
        let mut records = records_of(&options.data, &bytes[..])?;
        records.truncate(options.limit.unwrap_or(usize::MAX));
        Ok(Self {
            data: blake3::hash(&bytes).to_hex().to_string(),
            options,
            records,
            part,
        })
    }

    /// Asks `extractor` about every record that has no answer yet, and writes `easy.jsonl` and `hard.jsonl` beside the answers.
    ///
    /// # Errors
    /// A relation that the model's ontology lacks, an unreadable image, answers of another model or to other records, files that cannot
    /// be written. What was answered is kept for the next run. A record the model refuses is a hard one.
    pub fn run(&self, extractor: &Extractor) -> Result<HardReport, Error> {
        let ontology = extractor.ontology();
        check_labels(&ontology, &self.records)?; // better known before the first answer than behind the last
        std::fs::create_dir_all(&self.part).map_err(Error::io(&self.part))?;
        let head = self.head(extractor, &ontology);
        let (mut journal, mut lines) = Journal::open(&self.part.join(ANSWERS), &head)?;
        let kept = lines.len();
        let asker = Asker {
            extractor,
            images: &self.options.images,
            blank_images: false,
            terms: Terms::default(),
        };
        let begin = Instant::now();
        let bar = progress::bar(self.records.len(), "records").with_position(kept as u64);
        for batch in self.records[kept..].chunks(self.options.batch_size.max(1)) {
            let answers = asker.ask(batch)?;
            let answered = (lines.len()..).zip(answers);
            let answered: Vec<Line> = answered.map(|(row, reply)| line(row, reply)).collect();
            journal.write(&answered)?;
            lines.extend(answered);
            bar.inc(batch.len() as u64);
        }
        bar.finish();
        let seconds = begin.elapsed().as_secs_f64();
        self.write(&lines)?;
        Ok(HardReport {
            kept,
            samples_per_second: (lines.len() - kept) as f64 / seconds,
            ..report(&self.records, &lines)
        })
    }

    fn head(&self, extractor: &Extractor, ontology: &Ontology) -> Head {
        let (info, options) = (extractor.info(), extractor.options());
        Head {
            model: info.hash.clone(),
            dtype: info.dtype.clone(),
            template: info.template.to_string(),
            max_prompt_tokens: options.max_prompt_tokens,
            max_answer_tokens: options.max_new_tokens,
            ontology: ontology.hash(),
            data: self.data.clone(),
            records: self.records.len(),
        }
    }

    /// Writes both kinds and gives the folder its name.
    fn write(&self, lines: &[Line]) -> Result<(), Error> {
        let (easy, hard): (Vec<_>, Vec<_>) = self
            .records
            .iter()
            .zip(lines)
            .partition(|(record, line)| right(record, line));
        for (name, kind) in [("easy.jsonl", easy), ("hard.jsonl", hard)] {
            let records = kind.into_iter().map(|(record, _)| record);
            write_lines(&self.part.join(name), records)?;
        }
        let out = &self.options.out;
        std::fs::rename(&self.part, out).map_err(Error::io(out))
    }
}

fn line(row: usize, reply: Reply) -> Line {
    let (said, fault) = match reply.answer {
        Ok(answer) => (Some(answer.trace.label), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Line { row, said, fault }
}

fn right(record: &Record, line: &Line) -> bool {
    line.said.as_ref() == Some(&record.relation)
}

fn report(records: &[Record], lines: &[Line]) -> HardReport {
    let mut relations: BTreeMap<String, Counts> = BTreeMap::new();
    for (record, line) in records.iter().zip(lines) {
        let counts = relations.entry(record.relation.clone()).or_default();
        if right(record, line) {
            counts.easy += 1;
        } else {
            counts.hard += 1;
        }
    }
    let sum = |wanted: &dyn Fn(&str) -> bool| {
        let chosen = relations.iter().filter(|(name, _)| wanted(name));
        chosen.fold(Counts::default(), |sum, (_, counts)| Counts {
            easy: sum.easy + counts.easy,
            hard: sum.hard + counts.hard,
        })
    };
    HardReport {
        records: records.len(),
        all: sum(&|_| true),
        unparsable: lines.iter().filter(|line| line.said.is_none()).count(),
        none: sum(&|name| name == NONE),
        other: sum(&|name| name != NONE),
        relations,
        kept: 0,
        samples_per_second: 0.0,
    }
}
