//! `more-r1 eval`: how well a model does the task, or how the reports about several compare.

use std::fs::File;

use proto::Form;
use train::eval::{EvalOptions, EvalReport, run as evaluate};

use crate::args::{EvalArgs, RecordArgs};
use crate::command::{Failure, compare, print, report};
use crate::settings::{ModelSettings, given};

pub fn run(args: EvalArgs, json: bool) -> Result<(), Failure> {
    if !args.reports.compare.is_empty() {
        return compare::run(&args.reports, json);
    }
    let mut settings = ModelSettings::resolve(&args.model)?;
    if args.label_only {
        settings.options.form = Form::Label;
    }
    let options = EvalOptions {
        blank_images: args.blank_images,
        shuffle_text: args.shuffle_text,
        ..args.records.options()?
    };
    let extractor = settings.open()?;
    let result = evaluate(&extractor, &options)?;
    if let Some(path) = args.report {
        let page = report::evaluation::page(extractor.info(), &result);
        report::write("--report", &path, &page)?;
    }
    print(json, &result, words)
}

impl RecordArgs {
    /// These records as they are.
    ///
    /// # Errors
    /// When they or their images are not named, or not there.
    pub(super) fn options(&self) -> Result<EvalOptions, Failure> {
        let data = given("--data", self.data.as_ref())?;
        let images = given("--images", self.images.as_ref())?;
        // Whether it can be read is known before a model is opened; what it says is read once.
        File::open(data)
            .map_err(|error| Failure::Usage(format!("--data {}: {error}", data.display())))?;
        if !images.is_dir() {
            return Err(Failure::Usage(format!(
                "--images {}: no such folder",
                images.display()
            )));
        }
        Ok(EvalOptions {
            data: data.clone(),
            images: images.clone(),
            limit: self.limit,
            blank_images: false,
            shuffle_text: false,
            batch_size: self.batch_size,
        })
    }
}

fn words(report: &EvalReport) -> String {
    let scores = &report.scores;
    let mut lines = vec![
        format!("records     {}", report.records),
        format!("accuracy    {:.4}", scores.accuracy),
        format!("precision   {:.4}", scores.precision),
        format!("recall      {:.4}", scores.recall),
        format!("micro F1    {:.4}", scores.micro_f1),
        format!("macro F1    {:.4}", scores.macro_f1),
        format!("valid       {:.4}", report.valid_traces),
    ];
    if let Some(statements) = &report.statements {
        lines.push(format!("consistent  {:.4}", statements.consistent));
        lines.push(format!("types agree {:.4}", statements.types_agree));
    }
    lines.extend([
        format!("ECE         {:.4}", report.ece),
        format!("Brier       {:.4}", report.brier),
        format!("a second    {:.2}", report.samples_per_second),
        format!(
            "\n{:<28} {:>6} {:>6} {:>6} {:>6}",
            "relation", "P", "R", "F1", "n"
        ),
    ]);
    let relations = scores
        .per_relation
        .iter()
        .filter(|(_, one)| one.support + one.predicted > 0);
    lines.extend(relations.map(|(name, one)| {
        format!(
            "{name:<28} {:>6.3} {:>6.3} {:>6.3} {:>6}",
            one.precision, one.recall, one.f1, one.support
        )
    }));
    lines.join("\n")
}
