//! `more-r1 train sft --dry-run`: what a run would take, as a table. Opens no weights and trains nothing; the figures are
//! `train::plan`'s.

use train::config::SftConfig;
use train::plan::{Assumed, Plan, Room, Shape, network, plan, records};

use crate::args::PlanArgs;
use crate::command::{Failure, print};

pub fn run(config: &SftConfig, args: &PlanArgs, json: bool) -> Result<(), Failure> {
    let sizes = network(config).map_err(|error| Failure::Usage(format!("model: {error}")))?;
    let records = match args.records {
        Some(records) => records,
        None => records(config).map_err(|error| {
            Failure::Usage(format!("data.train: {error}; --records N plans without it"))
        })?,
    };
    let longest = Shape::longest(config.training.target);
    let assumed = Assumed {
        records,
        shape: Shape {
            photo: args.photo_tokens.unwrap_or(longest.photo),
            crop: args.crop_tokens.unwrap_or(longest.crop),
            prompt: args.prompt_tokens.unwrap_or(longest.prompt),
            response: args.response_tokens.unwrap_or(longest.response),
        },
        flops: args.tflops.map(|tera| tera * 1e12),
    };
    print(json, &plan(config, &sizes, &assumed), words)
}

fn words(plan: &Plan) -> String {
    let mut lines = vec![format!("{:<12} {:>15} {:>15}", "", "parameters", "trained")];
    lines.extend(plan.rooms.iter().map(|(room, count)| {
        let name = name(*room);
        format!("{name:<12} {:>15} {:>15}", count.parameters, count.trained)
    }));
    let memory = &plan.memory;
    lines.push(format!("\n{:<12} {:>15}", "", "GB"));
    for (name, bytes) in [
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("moments", memory.moments),
        ("activations", memory.activations),
        ("peak", memory.peak),
    ] {
        lines.push(format!("{name:<12} {:>15.2}", bytes as f64 / 1e9));
    }
    let shape = &plan.shape;
    lines.push(format!(
        "\n{} steps of {} records, of {} records in all; passes of {} by {} workers at once, on one device",
        plan.steps, plan.records_per_step, plan.records, plan.records_per_pass, plan.workers
    ));
    lines.push(format!(
        "{} tokens a step, if each record has {} of the photo, {} of the crop, {} of the prompt, {} of the response",
        plan.tokens_per_step, shape.photo, shape.crop, shape.prompt, shape.response
    ));
    lines.push(format!("{:.3e} operations a step", plan.flops_per_step));
    if let Some(seconds) = plan.seconds {
        lines.push(format!("{:.1} hours", seconds / 3600.0));
    }
    lines.join("\n")
}

fn name(room: Room) -> &'static str {
    match room {
        Room::Vision => "vision",
        Room::Merger => "merger",
        Room::Embedding => "embedding",
        Room::Decoder => "decoder",
        Room::Head => "head",
    }
}
