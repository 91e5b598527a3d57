//! `more-r1 train … --dry-run`: what a run would take, as a table. Opens no weights and trains nothing; the figures are
//! `train::plan`'s.

use std::collections::BTreeMap;

use train::config::SftConfig;
use train::grpo::config::GrpoConfig;
use train::plan::grpo::GrpoPlan;
use train::plan::{self, Assumed, Count, Memory, Plan, Room, Shape};

use crate::args::{GrpoArgs, PlanArgs, SftArgs};
use crate::command::{Failure, print};

pub fn sft(config: &SftConfig, args: &SftArgs, json: bool) -> Result<(), Failure> {
    let sizes = plan::network(config).map_err(fault("model", ""))?;
    let records = match args.plan.records {
        Some(records) => records,
        None => plan::records(config).map_err(fault("data.train", WITHOUT))?,
    };
    let assumed = Assumed {
        records,
        shape: args.plan.shape(Shape::longest(config.training.target)),
        flops: args.plan.flops(),
        devices: args.run.device.len(),
    };
    print(json, &plan::plan(config, &sizes, &assumed), words)
}

pub fn grpo(config: &GrpoConfig, args: &GrpoArgs, json: bool) -> Result<(), Failure> {
    let sizes = plan::grpo::network(config).map_err(fault("model", ""))?;
    let questions = match args.plan.records {
        Some(hard) => [hard, args.easy_records.unwrap_or(0)],
        None => plan::grpo::questions(config).map_err(fault("data", WITHOUT))?,
    };
    let longest = Shape {
        response: config.grpo.max_completion_length,
        ..Shape::longest(proto::Form::Trace)
    };
    let assumed = plan::grpo::Assumed {
        questions,
        shape: args.plan.shape(longest),
        flops: args.plan.flops(),
        bytes: args.gbs.map(|giga| giga * 1e9),
        devices: args.run.device.len(),
    };
    let plan = plan::grpo::plan(config, &sizes, &assumed);
    print(json, &plan, grpo_words)
}

/// What may be said where a file is missing.
const WITHOUT: &str = "; --records N plans without it";

fn fault<E: std::fmt::Display>(what: &str, hint: &str) -> impl Fn(E) -> Failure {
    move |error| Failure::Usage(format!("{what}: {error}{hint}"))
}

impl PlanArgs {
    /// `longest`, as far as nothing else was said.
    fn shape(&self, longest: Shape) -> Shape {
        Shape {
            photo: self.photo_tokens.unwrap_or(longest.photo),
            crop: self.crop_tokens.unwrap_or(longest.crop),
            prompt: self.prompt_tokens.unwrap_or(longest.prompt),
            response: self.response_tokens.unwrap_or(longest.response),
        }
    }

    fn flops(&self) -> Option<f64> {
        self.tflops.map(|tera| tera * 1e12)
    }
}

fn words(plan: &Plan) -> String {
    let mut lines = begin(&plan.rooms, &plan.memory);
    lines.push(format!(
        "\n{} steps of {} records, of {} records in all; passes of {} by {} workers at once, on {}",
        plan.steps,
        plan.records_per_step,
        plan.records,
        plan.records_per_pass,
        plan.workers,
        devices(plan.devices),
    ));
    let tokens = tokens(&plan.shape);
    lines.push(format!(
        "{} tokens a step, if each record has {tokens}",
        plan.tokens_per_step
    ));
    lines.push(format!("{:.3e} operations a step", plan.flops_per_step));
    lines.extend(plan.seconds.map(hours));
    lines.join("\n")
}

fn grpo_words(plan: &GrpoPlan) -> String {
    let mut lines = begin(&plan.rooms, &plan.memory);
    let [hard, easy] = plan.questions;
    let epochs: Vec<String> = plan.epochs.iter().map(ToString::to_string).collect();
    lines.push(format!(
        "\n{} updates in {} batches of {} questions, on {}; of {hard} hard and {easy} easy ones the epochs ask {}",
        plan.steps,
        plan.batches,
        plan.batch,
        devices(plan.devices),
        epochs.join(", "),
    ));
    lines.push(format!(
        "{} answers to a question, {} drawn at once, if each has {}",
        plan.num_generations,
        plan.sequences,
        tokens(&plan.shape)
    ));
    lines.push(format!(
        "a batch: {:.3e} operations and {:.3e} bytes read to draw, {:.3e} operations to learn",
        plan.flops_drawn, plan.bytes_drawn, plan.flops_learned
    ));
    lines.extend(plan.seconds.map(hours));
    lines.join("\n")
}

/// Parameters and bytes.
fn begin(rooms: &BTreeMap<Room, Count>, memory: &Memory) -> Vec<String> {
    let mut lines = vec![format!("{:<12} {:>15} {:>15}", "", "parameters", "trained")];
    lines.extend(rooms.iter().map(|(room, count)| {
        let name = name(*room);
        format!("{name:<12} {:>15} {:>15}", count.parameters, count.trained)
    }));
    lines.push(format!("\n{:<12} {:>15}", "", "GB"));
    let parts = [
        ("weights", memory.weights),
        ("reference", memory.reference),
        ("gradients", memory.gradients),
        ("moments", memory.moments),
        ("activations", memory.activations),
        ("drawing", memory.drawing),
        ("peak", memory.peak),
    ];
    let needed = parts.iter().filter(|(_, bytes)| *bytes > 0);
    lines.extend(needed.map(|(name, bytes)| format!("{name:<12} {:>15.2}", *bytes as f64 / 1e9)));
    lines
}

fn tokens(shape: &Shape) -> String {
    format!(
        "{} of the photo, {} of the crop, {} of the prompt, {} of the response",
        shape.photo, shape.crop, shape.prompt, shape.response
    )
}

fn devices(count: usize) -> String {
    match count {
        1 => "one device".to_owned(),
        _ => format!("{count} devices, of which the first has the bytes above"),
    }
}

fn hours(seconds: f64) -> String {
    format!("{:.1} hours", seconds / 3600.0)
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
