//! `more-r1 extract`: one question, one answer, without a service.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use proto::ExtractResponse;
use vision::Limits;

use crate::args::ExtractArgs;
use crate::command::{Failure, print, read_file};
use crate::engine::{Engine, EngineError, Job};
use crate::fields::Asked;
use crate::http::answer::{Seen, answer};
use crate::prepare::prepare;
use crate::settings::{ModelSettings, TEXT_LIMITS};

pub fn run(args: ExtractArgs, json: bool) -> Result<(), Failure> {
    let settings = ModelSettings::resolve(&args.model)?;
    let image = read_file("--image", &args.image)?;
    let asked = Asked {
        image,
        bbox: args.bbox,
        format: args.box_format,
        text: args.text,
        entity: args.entity,
    };
    let asked = asked.check(TEXT_LIMITS)?;
    let extractor = settings.open()?;

    let start = Instant::now();
    let prepared = prepare(asked, &Limits::default(), extractor.processor())?;
    let seen = Seen::of(&prepared, start, start.elapsed());
    let job = Job {
        photo: prepared.photo.pixels,
        region: prepared.region.pixels,
        text: prepared.text,
        entity: prepared.entity,
    };
    let engine = Engine::start(Arc::new(extractor), 1).context("cannot start a thread")?;
    let seat = engine.reserve().map_err(anyhow::Error::new)?;
    let done = engine
        .submit(seat, job)
        .blocking_recv()
        .context("the engine has stopped")?;
    let done = done.map_err(|error| match error {
        EngineError::Model(error) => Failure::from(error),
        other => Failure::Failed(other.into()),
    })?;
    print(json, &answer(engine.model(), &seen, done), words)
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
