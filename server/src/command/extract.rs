//! `more-r1 extract`: one question, one answer, without a service. Many of them are `corpus.rs`'s.

use std::time::Instant;

use proto::ExtractResponse;
use vision::Limits;

use crate::args::ExtractArgs;
use crate::command::corpus::Corpus;
use crate::command::{Failure, print, read_file};
use crate::fields::{Asked, Image, Wishes};
use crate::http::answer::{Seen, answer};
use crate::prepare::prepare;
use crate::settings::{ModelSettings, TEXT_LIMITS};

pub fn run(args: ExtractArgs, json: bool) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    let wishes = Wishes {
        enforce: args.enforce,
        scores: args.scores,
        abstain_below: args.abstain_below,
        samples: args.samples,
        ..Wishes::default()
    };
    let Some(question) = args.question else {
        let corpus = args
            .corpus
            .expect("the command line asks for one or the other");
        let corpus = Corpus {
            files: corpus,
            batch_size: args.batch_size,
            format: args.box_format,
            wishes,
        };
        return corpus.run(&settings, json);
    };
    let asked = Asked {
        image: Image::File(read_file("--image", &question.image)?),
        bbox: question.bbox,
        format: args.box_format,
        text: question.text,
        entity: question.entity,
        wishes,
    };
    let asked = asked.check(TEXT_LIMITS)?;
    let extractor = settings.open()?;

    let start = Instant::now();
    let pixels = prepare(asked, &Limits::default(), extractor.processor())?;
    let seen = Seen::of(&pixels, start, start.elapsed());
    let answered = extractor.extract(&[pixels.question()]).remove(0)?;
    let response = answer(
        &extractor,
        &seen,
        &answered,
        args.scores,
        args.abstain_below,
    );
    print(json, &response, words)
}

fn words(response: &ExtractResponse) -> String {
    let relation = &response.relation;
    let kind = |kind: &Option<String>| kind.clone().unwrap_or_else(|| "unknown".to_owned());
    let steps = response.trace.steps.iter();
    let steps = steps.map(|step| format!("{}. {}: {}", step.number, step.title, step.text));
    format!(
        "{}\nobject: {}, entity: {}, {:.0} ms\n{}",
        relation.label,
        kind(&relation.object_type),
        kind(&relation.entity_type),
        response.timings_ms.total,
        steps.collect::<Vec<_>>().join("\n")
    )
}
