//! `more-r1 data import`: a published corpus in our own shape. What is found is printed as a table, a column for each split.

use std::collections::BTreeSet;
use std::fmt::Write;

use train::import::{Error, ImportOptions, Manner, Report, SplitReport, run};

use crate::args::{ImportArgs, ImportCommand, MoreArgs};
use crate::command::{Failure, flagged, print};

pub fn import(command: ImportCommand, json: bool) -> Result<(), Failure> {
    let options = options(command);
    let report = run(&options).map_err(|error| failure(error, &options))?;
    print(json, &report, |report| words(&options, report))
}

fn options(command: ImportCommand) -> ImportOptions {
    let (manner, args) = match command {
        ImportCommand::More(MoreArgs { import, ontology }) => (Manner::More { ontology }, import),
        ImportCommand::Mnre(args) => (Manner::Mnre, args),
    };
    let ImportArgs {
        src,
        images,
        out,
        max_rejected,
    } = args;
    ImportOptions {
        src,
        manner,
        images,
        out,
        max_rejected,
    }
}

fn failure(error: Error, options: &ImportOptions) -> Failure {
    let ontology = match &options.manner {
        Manner::More { ontology } => ontology.as_deref(),
        Manner::Mnre => None,
    };
    let flags = [
        ("--out", Some(options.out.as_path())),
        ("--ontology", ontology),
        ("--images", options.images.as_deref()),
        ("--src", Some(&options.src)),
    ];
    match error {
        Error::Files(error) => flagged(error, &flags),
        Error::Rejected { .. } | Error::Nothing { .. } => Failure::Failed(error.into()),
    }
}

fn words(options: &ImportOptions, report: &Report) -> String {
    let mut text = format!("{}\n", options.out.display());
    for (split, counts) in &report.splits {
        let (file, images) = (counts.file.display(), counts.image_folder.display());
        say(
            &mut text,
            &format!("{split} from {file}, images of {images}"),
        );
    }
    for split in &report.missing {
        say(&mut text, &format!("no file of {split} was found"));
    }
    match &report.relations {
        Some(path) => say(&mut text, &format!("relations from {}", path.display())),
        None => say(&mut text, "no list of relations was found"),
    }
    if !report.unknown_labels.is_empty() {
        let labels = report.unknown_labels.join(", ");
        say(&mut text, &format!("not in the ontology: {labels}"));
    }
    text.push('\n');
    table(&mut text, report);
    text
}

/// The counts, split by split.
fn table(text: &mut String, report: &Report) {
    let splits: Vec<&SplitReport> = report.splits.values().collect();
    row(text, "", report.splits.keys().map(ToString::to_string));
    let mut line = |name: &str, cell: &dyn Fn(&SplitReport) -> String| {
        row(text, name, splits.iter().map(|split| cell(split)));
    };
    line("rows", &|it| it.rows.to_string());
    line("kept", &|it| it.kept.to_string());
    line("rejected", &|it| (it.rows - it.kept).to_string());
    let reasons: BTreeSet<_> = splits.iter().flat_map(|it| it.rejected.keys()).collect();
    for reason in reasons {
        let count = |it: &SplitReport| it.rejected.get(reason).copied().unwrap_or_default();
        line(&format!("  {reason}"), &|it| count(it).to_string());
    }
    line("box clipped", &|it| it.clipped.to_string());
    line("in an earlier split", &|it| it.repeated.to_string());
    line("same question, other label", &|it| it.ambiguous.to_string());
    line("images", &|it| it.images.to_string());
    line("facts an image", &|it| format!("{:.2}", it.facts_per_image));
    line("share of none", &|it| format!("{:.3}", it.none_share));
    let labels: BTreeSet<_> = splits.iter().flat_map(|it| it.relations.keys()).collect();
    for label in labels {
        let count = |it: &SplitReport| it.relations.get(label).copied().unwrap_or_default();
        line(label, &|it| count(it).to_string());
    }
}

fn row(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let name = format!("{name:<28}");
    say(
        text,
        &cells.fold(name, |line, cell| format!("{line}{cell:>9}")),
    );
}

fn say(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}
