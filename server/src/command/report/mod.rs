//! Pages for a browser, each one file that needs no network: that of `more-r1 report` shows a training run, that of `more-r1 eval --report`
//! what a model answered. Measures nothing.

mod chart;
pub mod evaluation;
mod page;
mod scores;
mod training;

use std::path::{Path, PathBuf};

use serde::Serialize;
use train::eval::EvalReport;
use train::run_dir::RunDir;

use crate::args::ReportArgs;
use crate::command::{Failure, print};

/// What is printed.
#[derive(Serialize)]
struct Shown {
    /// The page.
    file: PathBuf,
    /// The last step it shows.
    steps: usize,
    /// Metrics drawn.
    metrics: usize,
    /// Questions whose completions are shown.
    samples: usize,
}

pub fn run(args: &ReportArgs, json: bool) -> Result<(), Failure> {
    let run = RunDir::read(&args.run_dir)?;
    let scores = args.eval.as_deref().map(scores).transpose()?;
    let name = args.run_dir.display().to_string();
    write(
        "--out",
        &args.out,
        &training::page(&name, &run, scores.as_ref()),
    )?;
    let shown = Shown {
        file: args.out.clone(),
        steps: run.steps(),
        metrics: training::drawn(&run).count(),
        samples: run.samples.len(),
    };
    print(json, &shown, |it| {
        format!(
            "{}: {} metrics up to step {}, completions to {} questions",
            it.file.display(),
            it.metrics,
            it.steps,
            it.samples
        )
    })
}

fn scores(path: &Path) -> Result<EvalReport, Failure> {
    EvalReport::read(path).map_err(|error| Failure::Usage(format!("--eval {error}")))
}

/// Writes a page to the file that a flag names.
pub fn write(flag: &str, path: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(path, page)
        .map_err(|error| Failure::Usage(format!("{flag} {}: {error}", path.display())))
}
