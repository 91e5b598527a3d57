//! `more-r1 extract --input`: a file of questions to a file of answers. One bad row is one line with a problem; a run that is
//! interrupted goes on; the output is there when it is whole. Shares the service's checks, not its engine's thread.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use model::Extractor;
use proto::{BoxFormatName, ExtractResponse, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use train::lines::Lines;
use train::progress;
use vision::{BoxFormat, Limits};

use crate::args::CorpusArgs;
use crate::command::{Failure, print};
use crate::engine::panic_text;
use crate::error::ApiError;
use crate::fields::{Asked, FieldError, Image, Wishes, box_format};
use crate::http::answer::{Seen, answer};
use crate::http::json;
use crate::prepare::{Photo, Pixels, prepare};
use crate::settings::{ModelSettings, TEXT_LIMITS, UsageError};

/// What to do with which file.
pub struct Corpus {
    /// The files.
    pub files: CorpusArgs,
    /// Questions answered together.
    pub batch_size: usize,
    /// What the numbers of a box are where a row does not say.
    pub format: BoxFormat,
    /// How all are answered.
    pub wishes: Wishes,
}

/// A question of the input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Repeated in the answer.
    #[serde(default)]
    id: Value,
    image: PathBuf,
    bbox: [f64; 4],
    box_format: Option<BoxFormatName>,
    text: String,
    entity: String,
}

/// A line of the output.
#[derive(Serialize)]
struct Line {
    /// Of the input, from 0.
    row: usize,
    #[serde(skip_serializing_if = "Value::is_null")]
    id: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<ExtractResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl Line {
    fn new(row: usize, id: Value, result: Result<ExtractResponse, ApiError>) -> Self {
        let (answer, problem) = match result {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error.problem())),
        };
        Self {
            row,
            id,
            answer,
            problem,
        }
    }
}

/// What is printed at the end.
#[derive(Default, Serialize)]
struct Report {
    rows: usize,
    answers: usize,
    problems: usize,
    /// Rows that an earlier run had answered.
    kept: usize,
    #[serde(rename = "samples/s")]
    samples_per_second: f64,
}

impl Corpus {
    /// Answers everything that has no answer yet.
    ///
    /// # Errors
    /// Files that cannot be read or written; never a bad row.
    pub fn run(&self, settings: &ModelSettings, json: bool) -> Result<(), Failure> {
        self.wishes.check()?;
        if self.files.output.exists() {
            let reason = format!("--output {}: is there already", self.files.output.display());
            return Err(UsageError(reason).into());
        }
        let part = self.files.output.with_added_extension("part");
        if part.exists() && !self.files.resume {
            let reason = format!(
                "{} is there from an interrupted run: give --resume, or remove it",
                part.display()
            );
            return Err(UsageError(reason).into());
        }
        let rows = self.rows()?;
        let extractor = settings.open()?;
        let (mut out, done) = reopen(&part)?;
        let done: HashSet<usize> = done.into_iter().collect();
        let mut report = Report {
            rows: rows.len(),
            kept: rows.iter().filter(|(row, _)| done.contains(row)).count(),
            ..Report::default()
        };
        let bar = progress::resumed(rows.len(), "rows", report.kept);
        let start = Instant::now();
        let mut write = |lines: Vec<Line>| -> Result<(), train::Error> {
            for line in &lines {
                report.answers += usize::from(line.answer.is_some());
                report.problems += usize::from(line.problem.is_some());
            }
            bar.inc(lines.len() as u64);
            out.append(&lines)
        };
        let mut good = vec![];
        let mut bad = vec![];
        for (row, text) in rows.into_iter().filter(|(row, _)| !done.contains(row)) {
            match json::parse::<Row>(text.as_bytes()) {
                Ok(asked) => good.push((row, asked)),
                Err(error) => bad.push(Line::new(row, Value::Null, Err(error))),
            }
        }
        write(bad)?;
        // Questions about one photo share its beginning: they come together.
        good.sort_by(|(_, a), (_, b)| a.image.cmp(&b.image));
        let mut photos = Photos::default();
        let mut good = good.into_iter();
        loop {
            let batch: Vec<(usize, Row)> = good.by_ref().take(self.batch_size).collect();
            if batch.is_empty() {
                break;
            }
            write(self.answer(&extractor, &mut photos, batch))?;
        }
        bar.finish();
        std::fs::rename(&part, &self.files.output)
            .with_context(|| self.files.output.display().to_string())?;
        let seconds = start.elapsed().as_secs_f64();
        report.samples_per_second = (report.answers + report.problems) as f64 / seconds;
        print(json, &report, |it| {
            format!(
                "rows      {}\nanswers   {}\nproblems  {}\nkept      {}\na second  {:.2}",
                it.rows, it.answers, it.problems, it.kept, it.samples_per_second
            )
        })
    }

    /// The folder that the rows' paths start from.
    fn images(&self) -> &Path {
        let beside = || self.files.input.parent().unwrap_or(Path::new(""));
        self.files.images.as_deref().unwrap_or_else(beside)
    }

    /// The rows of this share, blank ones left out.
    fn rows(&self) -> Result<Vec<(usize, String)>, Failure> {
        let wrong = |error: std::io::Error| {
            Failure::Usage(format!("--input {}: {error}", self.files.input.display()))
        };
        let file = BufReader::new(File::open(&self.files.input).map_err(wrong)?);
        let (part, of) = self.files.shard.unwrap_or((1, 1));
        let mut rows = vec![];
        for (row, line) in file.split(b'\n').enumerate() {
            // What is no text is a bad row, not a bad file.
            let line = String::from_utf8_lossy(&line.map_err(wrong)?).into_owned();
            if row % of == part - 1 && !line.trim().is_empty() {
                rows.push((row, line));
            }
        }
        Ok(rows)
    }

    /// Answers a batch; every row gets a line.
    fn answer(
        &self,
        extractor: &Extractor,
        photos: &mut Photos,
        batch: Vec<(usize, Row)>,
    ) -> Vec<Line> {
        let start = Instant::now();
        let mut lines = vec![];
        let mut posed: Vec<(usize, Value, Pixels, Seen)> = vec![];
        for (row, asked) in batch {
            let id = asked.id.clone();
            match self.pixels(extractor, photos, asked) {
                Ok(pixels) => {
                    let seen = Seen::of(&pixels, start, start.elapsed());
                    posed.push((row, id, pixels, seen));
                }
                Err(error) => lines.push(Line::new(row, id, Err(error))),
            }
        }
        let questions: Vec<_> = posed
            .iter()
            .map(|(_, _, pixels, _)| pixels.question())
            .collect();
        match catch_unwind(AssertUnwindSafe(|| extractor.extract(&questions))) {
            Ok(answers) => {
                drop(questions);
                for ((row, id, _, seen), answered) in posed.into_iter().zip(answers) {
                    let wishes = &self.wishes;
                    let respond =
                        |it| answer(extractor, &seen, &it, wishes.scores, wishes.abstain_below);
                    let result = answered.map(respond).map_err(ApiError::from);
                    lines.push(Line::new(row, id, result));
                }
            }
            Err(panic) => {
                let why = panic_text(panic.as_ref());
                tracing::error!(why, "a batch failed");
                drop(questions);
                for (row, id, _, _) in posed {
                    lines.push(Line::new(row, id, Err(ApiError::Internal(why.clone()))));
                }
            }
        }
        lines
    }

    fn pixels(
        &self,
        extractor: &Extractor,
        photos: &mut Photos,
        row: Row,
    ) -> Result<Pixels, ApiError> {
        let asked = Asked {
            image: Image::Photo(photos.get(&self.images().join(&row.image))?),
            bbox: row.bbox,
            format: row.box_format.map_or(self.format, box_format),
            text: row.text,
            entity: row.entity,
            wishes: self.wishes.clone(),
        };
        let asked = asked.check(TEXT_LIMITS)?;
        Ok(prepare(asked, &Limits::default(), extractor.processor())?)
    }
}

/// The last photo read: questions come sorted by photo.
#[derive(Default)]
struct Photos {
    last: Option<(PathBuf, Arc<Photo>)>,
}

impl Photos {
    fn get(&mut self, path: &Path) -> Result<Arc<Photo>, FieldError> {
        if let Some((last, photo)) = &self.last
            && last == path
        {
            return Ok(Arc::clone(photo));
        }
        let bytes = std::fs::read(path).map_err(|error| {
            FieldError::invalid("image", format!("{}: {error}", path.display()))
        })?;
        let photo = Image::File(bytes).photo(&Limits::default())?;
        self.last = Some((path.to_owned(), Arc::clone(&photo)));
        Ok(photo)
    }
}

/// Opens the unfinished output for more lines, and tells which rows it has. A line cut short by the interruption is dropped.
fn reopen(part: &Path) -> Result<(Lines, Vec<usize>), train::Error> {
    #[derive(Deserialize)]
    struct Done {
        row: usize,
    }
    Lines::open(part, |line| {
        let done = serde_json::from_slice::<Done>(line).ok();
        Ok(done.map(|done| done.row))
    })
}
