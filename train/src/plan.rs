//! What a run would take, from `config.json` and the recipe alone: parameters, bytes, tokens, operations, time. Opens no weights, trains
//! nothing, counts the bytes of the first device, which keeps the optimizer, and f32: in bf16 it adds the rounded weights and counts too many
//! activations. A room of the network that is trained in part counts as a whole in activations, and in the gradients that flow through it.
//!
//! `activations` what a pass keeps · `operations` what it computes · `grpo` Stage 2
//!
//! Legend: `n` tokens of a record, `p` patches of its pictures, `d` width, `f` inner width, `k` width of all key heads, `h` heads.

mod activations;
pub mod grpo;
mod operations;

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use model::init::Init;
use model::{Config, Files, Qwen};
use proto::Form;
use serde::Serialize;

use crate::Error;
use crate::config::SftConfig;
use crate::data::read_records;
use crate::optim::Learning;
use crate::params::{Look, look};
use crate::pass::How;
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
        self.asked() + self.response
    }

    /// Those before the response.
    fn asked(&self) -> usize {
        self.photo + self.crop + self.prompt
    }
}

/// What one pass reads.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Photos, each with its crop.
    photos: u64,
    /// Rows of the decoder.
    rows: u64,
    /// Pairs of rows that get a score in attention, seen or masked.
    pairs: u64,
    /// Those that are made at once: of the longest sequence.
    widest: u64,
    /// Rows that the head scores.
    scored: u64,
}

impl Reading {
    /// So many records. What records of a pass share is counted for each of them, so this is too much rather than too little.
    fn records(shape: Shape, count: usize) -> Self {
        let (count, n) = (count as u64, shape.rows() as u64);
        Self {
            photos: count,
            rows: count * n,
            pairs: count * n * n,
            widest: n * n,
            scored: count * shape.response as u64,
        }
    }

    /// A question, read once, and so many answers to it.
    fn group(shape: Shape, answers: usize) -> Self {
        let answers = answers as u64;
        let (asked, said) = (shape.asked() as u64, shape.response as u64 - 1);
        let answer = said * (asked + said);
        Self {
            photos: 1,
            rows: asked + answers * said,
            pairs: asked * asked + answers * answer,
            widest: answer.max(asked * asked),
            scored: answers * shape.response as u64,
        }
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

    /// The same network where nothing learns.
    fn still(&self) -> Self {
        let still = |(&room, count): (&Room, &Count)| {
            let trained = Count {
                trained: 0,
                ..*count
            };
            (room, trained)
        };
        Self {
            rooms: self.rooms.iter().map(still).collect(),
            largest: 0,
            adapters: 0,
        }
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

/// Bytes that live at once on the first device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All parameters.
    pub weights: u64,
    /// What Stage 2 keeps of the Stage-1 model beside them.
    pub reference: u64,
    /// Of every worker: the sum of its passes, and that of the pass under way where there is more than one; another device's sum.
    pub gradients: u64,
    /// Mean and mean square of every trained parameter.
    pub moments: u64,
    /// What all workers' passes keep for their backward passes.
    pub activations: u64,
    /// What Stage 2 needs to draw answers: weights laid out for it, keys and values.
    pub drawing: u64,
    /// The most that is needed at once, in a pass, in a step of the optimizer or while answers are drawn.
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
    /// Devices that they are spread over.
    pub devices: usize,
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
    /// Floating-point operations a second that a device sustains.
    pub flops: Option<f64>,
    /// Devices that share the work.
    pub devices: usize,
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
    let record = Reading::records(assumed.shape, 1);
    let record = operations::of_pass(network, &census, assumed.shape, record);
    let flops_per_step = per_step as f64 * record;
    let one_pass =
        training.gradient_accumulation_steps == 1 && (share == 1 || !training.group_by_photo);
    let reading = Reading::records(assumed.shape, share);
    let passes = Passes {
        workers,
        devices: assumed.devices,
        one_each: one_pass,
        kept: kept(network, &census, assumed.shape, reading, training.how()),
    };
    Plan {
        memory: memory(&census, passes, Beside::default()),
        rooms: census.rooms,
        shape: assumed.shape,
        records: assumed.records,
        records_per_step: config.records_per_step(),
        records_per_pass: share,
        workers,
        devices: assumed.devices,
        steps,
        tokens_per_step: per_step * assumed.shape.tokens() as u64,
        flops_per_step,
        seconds: assumed
            .flops
            .map(|flops| steps as f64 * flops_per_step / flops / assumed.devices as f64),
    }
}

/// The bytes that one pass keeps.
fn kept(network: &Config, census: &Census, shape: Shape, reading: Reading, how: How) -> u64 {
    let again = how.gradient_checkpointing;
    activations::of_pass(network, census, shape, reading, again) * WIDTH + rounded(how, census)
}

/// The bytes of the weights that a pass has rounded to bf16: all, or where it computes block by block, one block's, which is next to
/// nothing.
fn rounded(how: How, census: &Census) -> u64 {
    if how.bf16 && !how.gradient_checkpointing {
        census.total(|count| count.parameters) * WIDTH / 2
    } else {
        0
    }
}

/// The passes of a step.
#[derive(Clone, Copy)]
struct Passes {
    /// Those that run side by side.
    workers: usize,
    /// What they are spread over.
    devices: usize,
    /// Whether each worker makes one.
    one_each: bool,
    /// Bytes that one keeps.
    kept: u64,
}

/// What Stage 2 needs beside the passes, in bytes.
#[derive(Clone, Copy, Default)]
struct Beside {
    reference: u64,
    drawing: u64,
}

/// The bytes of the first device: it has as many workers as any other, and every sum comes to it.
fn memory(census: &Census, passes: Passes, beside: Beside) -> Memory {
    let trained = census.total(|count| count.trained) * WIDTH;
    let weights = census.total(|count| count.parameters) * WIDTH;
    let here = passes.workers.div_ceil(passes.devices) as u64;
    let sums = trained * here;
    let own = if passes.one_each { sums } else { 2 * sums };
    let gradients = own + if passes.devices > 1 { trained } else { 0 };
    let (moments, activations) = (2 * trained, passes.kept * here);
    let passing = gradients + activations;
    let stepping = trained + STEPPED * census.largest * WIDTH;
    let Beside { reference, drawing } = beside;
    Memory {
        weights,
        reference,
        gradients,
        moments,
        activations,
        drawing,
        peak: weights + reference + moments + passing.max(stepping).max(drawing),
    }
}
