//! `more-r1 data`: corpora drawn, and parts of them. Those of others are read in `import.rs`.

use proto::NONE;
use train::hard::{Counts, HardOptions, HardReport, Sorting};
use train::share::{self, ShareOptions, ShareReport, Strata};
use train::synth::{Summary, SynthOptions, generate};

use crate::args::{SampleArgs, SplitHardArgs, StrataName, SynthArgs};
use crate::command::{Failure, flagged, print};
use crate::settings::ModelSettings;

pub fn synth(args: SynthArgs, json: bool) -> Result<(), Failure> {
    let options = SynthOptions {
        out: args.out,
        seed: args.seed,
        train: args.train,
        dev: args.dev,
        test: args.test,
        hard: args.hard,
    };
    let summary = generate(&options)?;
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
    let report = share::run(&options).map_err(|error| {
        let flags = [
            ("--out", Some(options.out.as_path())),
            ("--rest", options.rest.as_deref()),
        ];
        flagged(error, &flags)
    })?;
    print(json, &report, drawn)
}

pub fn split_hard(args: SplitHardArgs, json: bool) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    let asked = args.records.options()?;
    let sorting = Sorting::new(HardOptions {
        data: asked.data,
        images: asked.images,
        limit: asked.limit,
        batch_size: asked.batch_size,
        out: args.out,
        resume: args.resume,
    })?;
    let report = sorting.run(&settings.open()?)?;
    print(json, &report, sorted)
}

fn sorted(report: &HardReport) -> String {
    let mut lines = vec![
        format!("records     {}", report.records),
        format!("unparsable  {}", report.unparsable),
        format!("kept        {}", report.kept),
        format!("a second    {:.2}", report.samples_per_second),
        format!(
            "\n{:<28}{:>9}{:>9}{:>9}",
            "relation", "easy", "hard", "refused"
        ),
    ];
    let mut row = |name: &str, counts: Counts| {
        let Counts {
            easy,
            hard,
            refused,
        } = counts;
        lines.push(format!("{name:<28}{easy:>9}{hard:>9}{refused:>9}"));
    };
    row("all", report.all);
    row(NONE, report.none);
    row("all but none", report.other);
    for (name, counts) in report.relations.iter().filter(|(name, _)| *name != NONE) {
        row(name, *counts);
    }
    lines.join("\n")
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
