//! `more-r1 eval`: how well a model does the task.

use std::fs;

use train::eval::{EvalOptions, EvalReport, run as evaluate};

use crate::args::EvalArgs;
use crate::command::report;
use crate::command::{Failure, print, read_file};
use crate::settings::ModelSettings;

pub fn run(args: EvalArgs, json: bool) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    read_file("--data", &args.data)?;
    if !args.images.is_dir() {
        return Err(Failure::Usage(format!(
            "--images {}: no such folder",
            args.images.display()
        )));
    }
    let extractor = settings.open()?;
    let options = EvalOptions {
        data: args.data,
        images: args.images,
        limit: args.limit,
        blank_images: args.blank_images,
        shuffle_text: args.shuffle_text,
        batch_size: args.batch_size,
    };
    let result = evaluate(&extractor, &options)?;
    if let Some(path) = args.report {
        let page = report::page(extractor.info(), &options.images, &result);
        fs::write(&path, page)
            .map_err(|error| Failure::Usage(format!("--report {}: {error}", path.display())))?;
    }
    print(json, &result, words)
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
        format!("ECE         {:.4}", report.reliability.ece()),
        format!("Brier       {:.4}", report.reliability.brier()),
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
