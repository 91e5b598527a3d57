//! What a run would take, from `config.json` and the recipe alone: parameters, bytes, tokens, operations, time. Opens no weights, trains
//! nothing, and counts one device, as if all workers were there, and f32: in bf16 it adds the rounded weights and counts too many
//! activations. A room of the network that is trained in part counts as a whole in activations, and in the gradients that flow through it.
//!
//! Legend: `n` tokens of a record, `p` patches of its pictures, `d` width, `f` inner width, `k` width of all key heads, `h` heads.

mod activations;
mod operations;

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use model::init::Init;
use model::{Config, Files, Qwen};
use proto::Form;
use serde::Serialize;

use crate::Error;
use crate::config::{SftConfig, TrainingConfig};
use crate::data::read_records;
use crate::optim::Learning;
use crate::params::{Look, look};
use crate::sample::stratified;
use crate::scratch;

/// Bytes of a number: weights, gradients and moments are all f32, and activations are counted so.
const WIDTH: u64 = 4;

/// Tensors of a parameter's size that come and go while it is stepped, beside gradient and moments: `AdamW::update` adds two products to
/// a third, and divides one moment by the root of the other.
const STEPPED: u64 = 3;

/// A record's tokens, as the plan assumes all of them to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Of the photo.
    pub photo: usize,
    /// Of the crop.
    pub crop: usize,
    /// Of the words around them.
    pub prompt: usize,
    /// Of the response, end token included.
    pub response: usize,
}

impl Shape {
    /// The paper's longest example, 2,096 tokens. How they divide is our guess: a photo of 896 × 896, a crop of 448 × 448, and a
    /// trace of 400 tokens; a label alone has fewer than 16.
    pub fn longest(target: Form) -> Self {
        let response = match target {
            Form::Trace => 400,
            Form::Label => 16,
        };
        Self {
            photo: 1024,
            crop: 256,
            prompt: 416,
            response,
        }
    }

    /// Rows of the decoder: the last token predicts nothing.
    fn rows(&self) -> usize {
        self.tokens() - 1
    }

    /// All of them.
    fn tokens(&self) -> usize {
        self.photo + self.crop + self.prompt + self.response
    }
}

/// The rooms of the network, from pixels to scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    /// The vision tower without its merger.
    Vision,
    /// From patches to tokens, the paper's projector.
    Merger,
    /// Rows of words; the head too where it is tied.
    Embedding,
    /// Layers and final norm.
    Decoder,
    /// The head of its own.
    Head,
}

impl Room {
    fn of(path: &[String]) -> Self {
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["visual", "merger", ..] => Self::Merger,
            ["visual", ..] => Self::Vision,
            ["model", "embed_tokens", ..] => Self::Embedding,
            ["lm_head", ..] => Self::Head,
            _ => Self::Decoder,
        }
    }
}

/// Parameters of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All.
    pub parameters: u64,
    /// Those that are not frozen.
    pub trained: u64,
}

/// The network's parameters, counted on the network itself.
#[derive(Clone, Debug, Default)]
pub struct Census {
    rooms: BTreeMap<Room, Count>,
    /// Of a trained parameter.
    largest: u64,
    /// Numbers that adapters keep of a row for their backward passes: what stands between A and B, and where they drop values, what was
    /// drawn and what is left.
    adapters: u64,
}

impl Census {
    /// Counts a network of the sizes in `network`, of which `learning` learns, without allocating it.
    pub fn take(network: &Config, learning: Learning<'_>) -> Self {
        let counter = Counter {
            learning,
            census: Self::default(),
        };
        let init = Init::lazy(&Device::flex());
        let network = learning.adapted(Qwen::new(network, &init), &init);
        look(&network, counter).census
    }

    fn total(&self, of: impl Fn(&Count) -> u64) -> u64 {
        self.rooms.values().map(of).sum()
    }

    /// Parameters of `room`.
    pub fn parameters(&self, room: Room) -> u64 {
        self.rooms.get(&room).map_or(0, |count| count.parameters)
    }

    fn trained(&self, room: Room) -> u64 {
        self.rooms.get(&room).map_or(0, |count| count.trained)
    }

    /// Whether gradients flow through a room: something in it, or in one that it reads from, is trained. The head is one product, and
    /// through that they flow only where something before it is trained.
    fn reached(&self, room: Room) -> bool {
        let below = |other: Room| match room {
            Room::Vision => other == Room::Vision,
            Room::Merger => other <= Room::Merger,
            Room::Embedding => other == Room::Embedding,
            Room::Decoder => other <= Room::Decoder,
            Room::Head => other < Room::Head,
        };
        let mut trained = self.rooms.iter().filter(|(_, count)| count.trained > 0);
        trained.any(|(other, _)| below(*other))
    }
}

struct Counter<'a> {
    learning: Learning<'a>,
    census: Census,
}

impl Look for Counter<'_> {
    fn look<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>) {
        let count = param.lazy_shape().num_elements() as u64;
        let room = self.census.rooms.entry(Room::of(path)).or_default();
        room.parameters += count;
        if let (Some(lora), Some("lora_a")) = (self.learning.lora, path.last().map(String::as_str))
        {
            let input = count / lora.r as u64;
            let dropped = if lora.lora_dropout > 0.0 {
                2 * input
            } else {
                0
            };
            self.census.adapters += lora.r as u64 + dropped;
        }
        if self.learning.takes(path) {
            room.trained += count;
            self.census.largest = self.census.largest.max(count);
        }
    }
}

/// Bytes that live at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All parameters.
    pub weights: u64,
    /// Of every worker: the sum of its passes, and that of the pass under way where there is more than one.
    pub gradients: u64,
    /// Mean and mean square of every trained parameter.
    pub moments: u64,
    /// What all workers' passes keep for their backward passes.
    pub activations: u64,
    /// The most that is needed at once, in a pass or in a step of the optimizer.
    pub peak: u64,
}

/// What a run would take.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Parameters by room.
    pub rooms: BTreeMap<Room, Count>,
    /// Bytes.
    pub memory: Memory,
    /// What every record is taken for.
    pub shape: Shape,
    /// Records learned from.
    pub records: usize,
    /// Those of one optimizer step.
    pub records_per_step: usize,
    /// Those of one pass of one worker, at most.
    pub records_per_pass: usize,
    /// Passes that run side by side.
    pub workers: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Tokens of a step.
    pub tokens_per_step: u64,
    /// Floating-point operations of a step, forward and backward.
    pub flops_per_step: f64,
    /// How long all steps take, if it was said how fast the device is.
    pub seconds: Option<f64>,
}

/// What `config.json` and the recipe do not say.
#[derive(Clone, Copy, Debug)]
pub struct Assumed {
    /// Records learned from.
    pub records: usize,
    /// Their tokens.
    pub shape: Shape,
    /// Floating-point operations a second that the device sustains.
    pub flops: Option<f64>,
}

/// The sizes of the network that `config` trains: those of the checkpoint's `config.json`, whose weights need not be there, or of the
/// one to be made, as if its tokenizer learned all entries it may.
///
/// # Errors
/// A checkpoint without a readable `config.json`, sizes that do not fit each other.
pub fn network(config: &SftConfig) -> Result<Config, Error> {
    if let Some(sizes) = &config.model.scratch {
        return Ok(scratch::largest(sizes)?);
    }
    let dir = config.model.from.clone();
    let dir = dir.expect("checked when the configuration was read");
    Ok(Config::open(&Files::Dir(dir))?)
}

/// How many records `config` learns from.
///
/// # Errors
/// Records that cannot be read.
pub fn records(config: &SftConfig) -> Result<usize, Error> {
    let records = read_records(&config.data.train)?;
    Ok(stratified(records, config.data.fraction, config.training.seed).len())
}

/// What the run of `config` on a network of these sizes takes.
pub fn plan(config: &SftConfig, network: &Config, assumed: &Assumed) -> Plan {
    let training = &config.training;
    let census = Census::take(network, config.learning());
    let share = training.train_batch_size.div_ceil(training.workers);
    let workers = training.train_batch_size.div_ceil(share); // shares are as even as can be, so some workers may get none
    let schedule = config.schedule_steps(assumed.records);
    let steps = training.max_steps.unwrap_or(schedule).min(schedule);
    let per_step = config.records_per_step() as u64;
    let flops_per_step = per_step as f64 * operations::of_record(network, &census, assumed.shape);
    let one_pass =
        training.gradient_accumulation_steps == 1 && (share == 1 || !training.group_by_photo);
    let kept = activations::of_pass(
        network,
        &census,
        assumed.shape,
        share as u64,
        training.gradient_checkpointing,
    );
    Plan {
        memory: memory(
            &census,
            workers as u64,
            one_pass,
            kept * WIDTH + rounded(training, &census),
        ),
        rooms: census.rooms,
        shape: assumed.shape,
        records: assumed.records,
        records_per_step: config.records_per_step(),
        records_per_pass: share,
        workers,
        steps,
        tokens_per_step: per_step * assumed.shape.tokens() as u64,
        flops_per_step,
        seconds: assumed
            .flops
            .map(|flops| steps as f64 * flops_per_step / flops),
    }
}

/// The bytes of the weights that a pass has rounded to bf16: all, or where it computes block by block, one block's, which is next to
/// nothing.
fn rounded(training: &TrainingConfig, census: &Census) -> u64 {
    if training.bf16 && !training.gradient_checkpointing {
        census.total(|count| count.parameters) * WIDTH / 2
    } else {
        0
    }
}

/// The bytes of a step in which each of `workers` makes passes that keep `kept` bytes.
fn memory(census: &Census, workers: u64, one_pass: bool, kept: u64) -> Memory {
    let trained = census.total(|count| count.trained) * WIDTH;
    let weights = census.total(|count| count.parameters) * WIDTH;
    let sums = trained * workers;
    let gradients = if one_pass { sums } else { 2 * sums };
    let (moments, activations) = (2 * trained, kept * workers);
    let passing = gradients + activations;
    let stepping = trained + STEPPED * census.largest * WIDTH;
    Memory {
        weights,
        gradients,
        moments,
        activations,
        peak: weights + moments + passing.max(stepping),
    }
}
