//! Which records a model already gets right: Stage 2 learns from those it gets wrong and from ever fewer of the others. Sorts records by
//! the model's answers; trains nothing and draws nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use model::{Extractor, Terms};
use proto::{NONE, Ontology};
use rayon::prelude::*;
use serde::Serialize;

use crate::ask::{Asker, Reply};
use crate::data::{Record, records_of, write_lines};
use crate::example::{check_labels, object, read_photo};
use crate::journal::{Head, Journal, Line};
use crate::part::check_free;
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
    /// The folder to write; must not be there, or be empty.
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
    /// Not answered: the model refuses such a question.
    pub refused: usize,
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Easy => &mut self.easy,
            Kind::Hard => &mut self.hard,
            Kind::Refused => &mut self.refused,
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Easy,
    Hard,
    Refused,
}

impl Kind {
    /// Every kind, and the file of its records.
    const FILES: [(Self, &'static str); 3] = [
        (Self::Easy, "easy.jsonl"),
        (Self::Hard, "hard.jsonl"),
        (Self::Refused, "refused.jsonl"),
    ];

    fn new(record: &Record, line: &Line) -> Self {
        if line.refused {
            Self::Refused
        } else if line.said.as_ref() == Some(&record.relation) {
            Self::Easy
        } else {
            Self::Hard
        }
    }
}

/// What became of the records.
#[derive(Clone, Debug, Serialize)]
pub struct HardReport {
    /// All of them.
    pub records: usize,
    /// The same, by kind.
    #[serde(flatten)]
    pub all: Counts,
    /// The hard ones whose answer could not be read.
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
    /// An earlier run has left answers there.
    begun: bool,
}

impl Sorting {
    /// Reads the records and finds out whether there is a place for the result: a model takes long to open.
    ///
    /// # Errors
    /// Records, photos or boxes that cannot be used, a folder that is there already, one left by an interrupted run that is not to be
    /// resumed.
    pub fn new(options: HardOptions) -> Result<Self, Error> {
        check_free(&options.out)?;
        let part = options.out.with_added_extension("part");
        let begun = part.exists();
        if begun && !options.resume {
            let reason = "is there from an interrupted run: give --resume, or remove it";
            return Err(Error::config(part)(reason.to_owned()));
        }
        let bytes = std::fs::read(&options.data).map_err(Error::io(&options.data))?;
        let mut records = records_of(&options.data, &bytes[..])?;
        records.truncate(options.limit.unwrap_or(usize::MAX));
        let sorting = Self {
            data: blake3::hash(&bytes).to_hex().to_string(),
            options,
            records,
            part,
            begun,
        };
        if !begun {
            sorting.look(0)?;
        }
        Ok(sorting)
    }

    /// Looks at the photos and boxes of all records but the first `kept`. A run that ends at one of them would be lost: answers to a file
    /// that was mended since are not gone on with.
    fn look(&self, kept: usize) -> Result<(), Error> {
        let look = |record: &Record| object(record, &read_photo(&self.options.images, record)?);
        let records = self.records[kept..].par_iter().enumerate();
        let bad = records.find_map_first(|(row, record)| Some((row, look(record).err()?)));
        let Some((row, error)) = bad else {
            return Ok(());
        };
        let reason = match error {
            Error::Record { image, reason } => format!("{image}: {reason}"),
            other => other.to_string(),
        };
        let number = kept + row + 1;
        Err(Error::config(&self.options.data)(format!(
            "record {number}: {reason}"
        )))
    }

    /// Asks `extractor` about every record that has no answer yet, and writes a file of each kind beside the answers.
    ///
    /// # Errors
    /// A relation that the model's ontology lacks, photos or boxes that cannot be used, answers of another model or to other records,
    /// files that cannot be written. What was answered is kept for the next run. What the model refuses is a kind of its own.
    pub fn run(&self, extractor: &Extractor) -> Result<HardReport, Error> {
        let ontology = extractor.ontology();
        check_labels(&ontology, &self.records)?; // better known before the first answer than behind the last
        std::fs::create_dir_all(&self.part).map_err(Error::io(&self.part))?;
        let head = self.head(extractor, &ontology);
        let (mut journal, mut lines) = Journal::open(&self.part.join(ANSWERS), &head)?;
        let kept = lines.len();
        if self.begun {
            self.look(kept)?;
        }
        let asker = Asker {
            extractor,
            images: &self.options.images,
            blank_images: false,
            terms: Terms::default(),
        };
        let begin = Instant::now();
        let bar = progress::resumed(self.records.len(), "records", kept);
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

    /// Writes every kind and gives the folder its name.
    fn write(&self, lines: &[Line]) -> Result<(), Error> {
        for (kind, name) in Kind::FILES {
            let records = self.records.iter().zip(lines);
            let records = records.filter(|(record, line)| Kind::new(record, line) == kind);
            write_lines(&self.part.join(name), records.map(|(record, _)| record))?;
        }
        let out = &self.options.out;
        std::fs::rename(&self.part, out).map_err(Error::io(out))
    }
}

fn line(row: usize, reply: Reply) -> Line {
    match reply.answer {
        Ok(answer) => Line {
            row,
            said: Some(answer.trace.label),
            fault: None,
            refused: false,
        },
        Err(error) => Line {
            row,
            said: None,
            fault: Some(error.to_string()),
            refused: !matches!(error, model::Error::Protocol(_)), // an answer that cannot be read is one
        },
    }
}

fn report(records: &[Record], lines: &[Line]) -> HardReport {
    let mut relations: BTreeMap<String, Counts> = BTreeMap::new();
    for (record, line) in records.iter().zip(lines) {
        let counts = relations.entry(record.relation.clone()).or_default();
        *counts.of(Kind::new(record, line)) += 1;
    }
    let sum = |wanted: &dyn Fn(&str) -> bool| {
        let chosen = relations.iter().filter(|(name, _)| wanted(name));
        chosen.fold(Counts::default(), |sum, (_, counts)| Counts {
            easy: sum.easy + counts.easy,
            hard: sum.hard + counts.hard,
            refused: sum.refused + counts.refused,
        })
    };
    HardReport {
        records: records.len(),
        all: sum(&|_| true),
        unparsable: lines
            .iter()
            .filter(|line| line.said.is_none() && !line.refused)
            .count(),
        none: sum(&|name| name == NONE),
        other: sum(&|name| name != NONE),
        relations,
        kept: 0,
        samples_per_second: 0.0,
    }
}
