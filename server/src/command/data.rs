//! `more-r1 data`: corpora.

use train::synth::{Summary, SynthOptions, generate};

use crate::args::SynthArgs;
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
