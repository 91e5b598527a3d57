//! `more-r1 data`: corpora drawn, and shares of them. Those of others are read in `import.rs`.

use train::share::{self, ShareOptions, ShareReport, Strata};
use train::synth::{Summary, SynthOptions, generate};

use crate::args::{SampleArgs, StrataName, SynthArgs};
use crate::command::{Failure, print};

pub fn synth(args: SynthArgs, json: bool) -> Result<(), Failure> {
    let options = SynthOptions {
        out: args.out,
        seed: args.seed,
        train: args.train,
        dev: args.dev,
        test: args.test,
    };
    let summary = generate(&options).map_err(anyhow::Error::new)?;
    print(json, &summary, |summary| words(&options, summary))
}

pub fn sample(args: SampleArgs, json: bool) -> Result<(), Failure> {
    let options = ShareOptions {
        src: args.src,
        out: args.out,
        rest: args.rest,
        fraction: args.fraction,
        strata: match args.stratify {
            StrataName::Relation => Strata::Relation,
            StrataName::None => Strata::None,
        },
        seed: args.seed,
    };
    let report = share::run(&options)?;
    print(json, &report, drawn)
}

fn drawn(report: &ShareReport) -> String {
    let relations = report.relations.iter();
    let relations = relations.map(|(name, it)| (name.as_str(), it.drawn, it.records));
    let all = [("all", report.drawn, report.records)];
    let lines = all.into_iter().chain(relations);
    let lines = lines.map(|(name, drawn, of)| format!("{name:<28}{drawn:>9} of {of}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn words(options: &SynthOptions, summary: &Summary) -> String {
    let splits = summary.splits.iter();
    let counts = splits.map(|(name, split)| {
        format!(
            "{name}: {} facts about {} images",
            split.facts, split.images
        )
    });
    format!(
        "{}\n{}",
        options.out.display(),
        counts.collect::<Vec<_>>().join("\n")
    )
}
