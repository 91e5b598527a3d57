//! `more-r1 extract`: one question, one answer, without a service.

use std::time::Instant;

use proto::ExtractResponse;
use vision::Limits;

use crate::args::ExtractArgs;
use crate::command::{Failure, print, read_file};
use crate::fields::{Asked, Image};
use crate::http::answer::{Seen, answer};
use crate::prepare::prepare;
use crate::settings::{ModelSettings, TEXT_LIMITS};

pub fn run(args: ExtractArgs, json: bool) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    let image = read_file("--image", &args.image)?;
    let asked = Asked {
        image: Image::File(image),
        bbox: args.bbox,
        format: args.box_format,
        text: args.text,
        entity: args.entity,
    };
    let asked = asked.check(TEXT_LIMITS)?;
    let extractor = settings.open()?;

    let start = Instant::now();
    let pixels = prepare(asked, &Limits::default(), extractor.processor())?;
    let seen = Seen::of(&pixels, start, start.elapsed());
    let answered = extractor.extract(&[pixels.question()]).remove(0)?;
    print(json, &answer(&extractor, &seen, &answered), words)
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
