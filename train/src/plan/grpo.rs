//! The same of a run of Stage 2. Every answer is taken to be as long as it may be, and every group to teach something, so this is too
//! much rather than too little. Drawing reads the weights once for every token of all answers that run at once, so it is a matter of bytes a
//! second where learning is one of operations.

use std::collections::BTreeMap;

use model::{Config, Files};
use serde::Serialize;

use super::{
    Beside, Census, Count, Memory, Passes, Reading, Room, Shape, WIDTH, kept, memory, operations,
};
use crate::Error;
use crate::data::read_records;
use crate::grpo::config::GrpoConfig;
use crate::grpo::rollout::AT_ONCE;

/// What a run of Stage 2 would take.
#[derive(Clone, Debug, Serialize)]
pub struct GrpoPlan {
    /// Parameters by room.
    pub rooms: BTreeMap<Room, Count>,
    /// Bytes.
    pub memory: Memory,
    /// What every question and answer is taken for.
    pub shape: Shape,
    /// Questions that Stage 1 answers wrong, and right.
    pub questions: [usize; 2],
    /// Questions of every epoch.
    pub epochs: Vec<usize>,
    /// Questions of a batch.
    pub batch: usize,
    /// Answers to a question.
    pub num_generations: usize,
    /// Batches of all epochs, as far as the run goes.
    pub batches: usize,
    /// Updates.
    pub steps: usize,
    /// Devices that share the work.
    pub devices: usize,
    /// Answers that are drawn at once on a device.
    pub sequences: usize,
    /// Floating-point operations of drawing a batch's answers.
    pub flops_drawn: f64,
    /// Bytes of weights, keys and values that a device reads meanwhile.
    pub bytes_drawn: f64,
    /// Floating-point operations of learning from them: all updates, and the Stage-1 model's opinion.
    pub flops_learned: f64,
    /// How long it takes, if it was said how fast a device is.
    pub seconds: Option<f64>,
}

/// What `config.json` and the recipe do not say.
#[derive(Clone, Copy, Debug)]
pub struct Assumed {
    /// Questions that Stage 1 answers wrong, and right.
    pub questions: [usize; 2],
    /// Their tokens; the response is as long as the recipe allows.
    pub shape: Shape,
    /// Floating-point operations a second that a device sustains.
    pub flops: Option<f64>,
    /// Bytes a second that it reads.
    pub bytes: Option<f64>,
    /// Devices that share the work.
    pub devices: usize,
}

/// The sizes of the Stage-1 model of `config`; its weights need not be there.
///
/// # Errors
/// A checkpoint without a readable `config.json`.
pub fn network(config: &GrpoConfig) -> Result<Config, Error> {
    Ok(Config::open(&Files::Dir(config.model.clone()))?)
}

/// How many questions the files of `config` hold.
///
/// # Errors
/// Records that cannot be read.
pub fn questions(config: &GrpoConfig) -> Result<[usize; 2], Error> {
    let easy = config.data.easy.as_ref().map(|it| read_records(it));
    let easy = easy.transpose()?.map_or(0, |records| records.len());
    Ok([read_records(&config.data.hard)?.len(), easy])
}

/// What the run of `config` over a network of these sizes takes.
pub fn plan(config: &GrpoConfig, network: &Config, assumed: &Assumed) -> GrpoPlan {
    let (grpo, training, how) = (&config.grpo, &config.training, config.how());
    let (shape, devices) = (assumed.shape, assumed.devices);
    let census = Census::take(network, config.learning());
    let batch = training.train_batch_size;
    let share = batch.div_ceil(training.workers);
    let group = Reading::group(shape, grpo.num_generations);
    let passes = Passes {
        workers: batch.div_ceil(share),
        devices,
        one_each: share == 1,
        kept: kept(network, &census, shape, group, how),
    };
    let drawing = Drawing::new(config, network, &census, assumed);
    let beside = Beside {
        reference: reference(config, &census),
        drawing: drawing.held,
    };
    let [hard, easy] = assumed.questions;
    let epochs = 0..training.num_train_epochs;
    let epochs: Vec<usize> = epochs
        .map(|epoch| hard + config.mixing.easy(hard, easy, epoch))
        .collect();
    let all: usize = epochs.iter().map(|it| it.div_ceil(batch)).sum();
    let schedule = all * grpo.num_iterations;
    let steps = training.max_steps.unwrap_or(schedule).min(schedule);
    let batches = steps.div_ceil(grpo.num_iterations);
    let still = operations::of_pass(network, &census.still(), shape, group);
    let learning = operations::of_pass(network, &census, shape, group);
    let opinions = if grpo.beta > 0.0 { still } else { 0.0 };
    let flops_drawn = batch as f64 * still;
    let flops_learned = batch as f64 * (grpo.num_iterations as f64 * learning + opinions);
    let seconds = assumed.flops.map(|flops| {
        let share = |operations: f64| operations / flops / devices as f64;
        let read = assumed.bytes.map_or(0.0, |bytes| drawing.read / bytes);
        batches as f64 * (share(flops_drawn).max(read) + share(flops_learned))
    });
    GrpoPlan {
        memory: memory(&census, passes, beside),
        rooms: census.rooms,
        shape,
        questions: assumed.questions,
        epochs,
        batch,
        num_generations: grpo.num_generations,
        batches,
        steps,
        devices,
        sequences: drawing.sequences,
        flops_drawn,
        bytes_drawn: drawing.read,
        flops_learned,
        seconds,
    }
}

/// The bytes that are kept of the Stage-1 model: what is trained, since all else is one with the network, or a rounded copy of everything.
fn reference(config: &GrpoConfig, census: &Census) -> u64 {
    if config.grpo.beta <= 0.0 {
        0
    } else if config.training.bf16 {
        census.total(|count| count.parameters) * WIDTH / 2
    } else if config.lora.is_some() {
        0 // the base is the reference
    } else {
        census.total(|count| count.trained) * WIDTH
    }
}

/// The answers of a batch on one device.
struct Drawing {
    sequences: usize,
    /// Bytes that are there at once.
    held: u64,
    /// Bytes that are read in all.
    read: f64,
}

impl Drawing {
    fn new(config: &GrpoConfig, network: &Config, census: &Census, assumed: &Assumed) -> Self {
        let (text, shape) = (&network.text, assumed.shape);
        let width = if config.training.bf16 {
            WIDTH / 2
        } else {
            WIDTH
        };
        let weights = census.total(|count| count.parameters) * width;
        let tower = census.parameters(Room::Vision) + census.parameters(Room::Merger);
        let keys = text.num_hidden_layers * 2 * text.num_key_value_heads * text.head_dim();
        let token = keys as u64 * width;
        let questions = config.training.train_batch_size.div_ceil(assumed.devices);
        let answers = questions * config.grpo.num_generations;
        let sequences = answers.min(AT_ONCE);
        let steps = answers.div_ceil(AT_ONCE) * shape.response;
        let middle = shape.asked() + shape.response / 2;
        let step = (weights - tower * width) + (sequences * middle) as u64 * token;
        Self {
            sequences,
            held: weights + (AT_ONCE * shape.tokens()) as u64 * token,
            read: steps as f64 * step as f64,
        }
    }
}
