//! `more-r1 eval`: how well a model does the task.

use train::eval::{EvalOptions, EvalReport, run as evaluate};

use crate::args::{EvalArgs, RecordArgs};
use crate::command::report;
use crate::command::{Failure, print, read_file};
use crate::settings::ModelSettings;

pub fn run(args: EvalArgs, json: bool) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    let options = EvalOptions {
        blank_images: args.blank_images,
        shuffle_text: args.shuffle_text,
        ..args.records.options()?
    };
    let extractor = settings.open()?;
    let result = evaluate(&extractor, &options)?;
    if let Some(path) = args.report {
        let page = report::evaluation::page(extractor.info(), &options.images, &result);
        report::write("--report", &path, &page)?;
    }
    print(json, &result, words)
}

impl RecordArgs {
    /// These records as they are.
    ///
    /// # Errors
    /// When they or their images are not there.
    pub(super) fn options(&self) -> Result<EvalOptions, Failure> {
        read_file("--data", &self.data)?;
        if !self.images.is_dir() {
            return Err(Failure::Usage(format!(
                "--images {}: no such folder",
                self.images.display()
            )));
        }
        Ok(EvalOptions {
            data: self.data.clone(),
            images: self.images.clone(),
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
        format!("consistent  {:.4}", report.consistent_traces),
        format!("types agree {:.4}", report.types_agree),
        format!("ECE         {:.4}", report.ece),
        format!("Brier       {:.4}", report.brier),
        format!("a second    {:.2}", report.samples_per_second),
        format!(
            "\n{:<28} {:>6} {:>6} {:>6} {:>6}",
            "relation", "P", "R", "F1", "n"
        ),
    ];
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
