//! Stage 1: supervised fine-tuning on gold traces, or on labels alone. Reads top to bottom; evaluates nothing but its own loss.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{DType, Device};
use model::checkpoint::Checkpoint;
use model::init::Init;
use model::{Files, Qwen};
use proto::{Ontology, Template};
use serde::Serialize;

use crate::config::SftConfig;
use crate::data::{Record, read_records};
use crate::example::Examples;
use crate::log::Metrics;
use crate::loss::{response_loss, weights};
use crate::optim::{AdamW, Grads};
use crate::order::{Draw, Order};
use crate::sample::stratified;
use crate::workers::Workers;
use crate::{Error, log, progress, scratch, state};

/// What a run ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Optimizer steps done in all.
    pub steps: usize,
    /// The last loss.
    pub loss: f64,
    /// Records it learned from.
    pub records: usize,
    /// The trained checkpoint in Hugging Face layout, or its adapter in PEFT's.
    pub checkpoint: PathBuf,
    /// Seconds this call took.
    pub seconds: f64,
}

/// Runs (or goes on with) the run that `config` describes, on `device`.
///
/// # Errors
/// Bad configuration or data, a loss that is no number, a disk that is full: finished checkpoints stay valid.
pub fn run(config: &SftConfig, device: &Device) -> Result<Summary, Error> {
    let begin = Instant::now();
    std::fs::create_dir_all(&config.run_dir).map_err(Error::io(&config.run_dir))?;
    let ontology = config.ontology()?;
    let records = stratified(
        read_records(&config.data.train)?,
        config.data.fraction,
        config.training.seed,
    );
    let base = base_checkpoint(config, &ontology, &records)?;
    let device = device.clone().autodiff();
    let mut checkpoint = Checkpoint::open(&Files::Dir(base.clone()), DType::F32, &device)?;
    let learning = config.learning();
    let init = Init::adapters(&device, config.training.seed);
    checkpoint.network = learning.adapted(checkpoint.network, &init);
    let (first, mut optimizer) = match state::resume(config, &checkpoint.network)? {
        Some(resumed) => {
            checkpoint.network = resumed.network;
            (resumed.step, resumed.optimizer)
        }
        None => (0, AdamW::new(config.training.adamw)),
    };
    checkpoint.network = learning.frozen(checkpoint.network);
    let schedule = config.schedule_steps(records.len());
    let training = &config.training;
    let last = training.max_steps.unwrap_or(schedule).min(schedule);
    let mut log = log::open(&config.run_dir.join("metrics.jsonl"), first)?;
    let bar = progress::bar(last, "steps").with_position(first as u64);
    let workers = Workers::new(training.workers, training.seed);
    let groups = groups(&records, training.group_by_photo);
    let mut order = Order::new(groups, training.seed);
    let (mut since, mut seen, mut loss) = (Sums::default(), Sums::default(), f64::NAN);
    for step in first..last {
        let batch: Vec<Draw> = (0..config.records_per_step())
            .map(|i| step * config.records_per_step() + i)
            .map(|index| order.draw(index, &training.templates, training.shorten))
            .collect();
        let examples = Examples {
            checkpoint: &checkpoint,
            ontology: &ontology,
            images: &config.data.images,
            target: training.target,
            emphasis: training.emphasis.as_ref(),
        };
        let (grads, sums) = gradients(
            step,
            examples,
            &records,
            &batch,
            training.group_by_photo,
            training.train_batch_size,
            &workers,
        )?;
        if !sums.loss.is_finite() {
            return Err(Error::Diverged {
                step: step + 1,
                loss: sums.loss,
            });
        }
        // The loss is a mean over the step's response tokens, so the sums are divided once, here.
        let norm = grads.norm() / sums.tokens;
        let scale = (training.max_grad_norm / norm).min(1.0) / sums.tokens;
        let rate = config.learning_rate(step, schedule);
        checkpoint.network = optimizer.step(checkpoint.network, grads, rate, scale);
        since.add(&sums);
        seen.add(&sums);
        loss = since.loss / since.tokens;
        let done = step + 1;
        bar.set_message(format!("loss {loss:.4}"));
        bar.inc(1);
        if done % training.logging_steps == 0 || done == last {
            let elapsed = begin.elapsed().as_secs_f64();
            let metrics = Metrics {
                step: done,
                epoch: (done * config.records_per_step()) as f64 / records.len() as f64,
                loss,
                learning_rate: rate,
                grad_norm: norm,
                samples_per_second: seen.records / elapsed,
                tokens_per_second: seen.tokens / elapsed,
                elapsed,
            };
            tracing::info!(step = done, of = last, loss, "trained");
            log.append(&[metrics])?;
            since = Sums::default();
        }
        if done % training.save_steps == 0 || done == last {
            state::save(&base, config, done, &checkpoint.network, &optimizer)?;
        }
    }
    bar.finish();
    let path = config
        .run_dir
        .join(format!("checkpoint-{}", last.max(first)));
    Ok(Summary {
        steps: last.max(first),
        loss,
        records: records.len(),
        checkpoint: path,
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// Records that come together: those of a photo, photos in the order of their first records, or each by itself.
fn groups(records: &[Record], by_photo: bool) -> Vec<Vec<usize>> {
    if !by_photo {
        return (0..records.len()).map(|record| vec![record]).collect();
    }
    let mut place: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = vec![];
    for (index, record) in records.iter().enumerate() {
        let next = groups.len();
        let at = *place.entry(&record.img_id).or_insert(next);
        if at == next {
            groups.push(vec![]);
        }
        groups[at].push(index);
    }
    groups
}

/// The checkpoint the run starts from: the one named, or one made from nothing inside the run directory.
fn base_checkpoint(
    config: &SftConfig,
    ontology: &Ontology,
    records: &[Record],
) -> Result<PathBuf, Error> {
    let Some(sizes) = &config.model.scratch else {
        return Ok(config
            .model
            .from
            .clone()
            .expect("checked when the configuration was read"));
    };
    let target = config.run_dir.join("base");
    if !target.exists() {
        let beside = config.run_dir.join("base.tmp");
        let mut texts: Vec<String> = records
            .iter()
            .filter_map(|record| record.trace.clone())
            .collect();
        texts.extend(records.iter().map(|record| record.text.clone()));
        for template in [Template::Paper, Template::Prefix] {
            // The prompt's constant words are seen with every record: they deserve tokens of their own.
            let prompt = proto::prompt(template, ontology, "", "");
            let words: Vec<String> = prompt
                .into_iter()
                .filter_map(|part| match part {
                    proto::Part::Text(text) => Some(text),
                    proto::Part::Image => None,
                })
                .collect();
            texts.extend(std::iter::repeat_n(words, records.len() / 20 + 1).flatten());
        }
        scratch::write(sizes, &texts, config.training.seed, &beside)?;
        std::fs::rename(&beside, &target).map_err(Error::io(&target))?;
    }
    Ok(target)
}

/// Sums over the records of a step.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    loss: f64,
    tokens: f64,
    records: f64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.tokens += other.tokens;
        self.records += other.records;
    }
}

/// Summed gradients and losses of step `step`, `batch_size` records at a time. Worker `w` takes the `w`-th share of these, in one
/// pass or, `by_photo`, in one for every photo.
fn gradients(
    step: usize,
    examples: Examples<'_>,
    records: &[Record],
    batch: &[Draw],
    by_photo: bool,
    batch_size: usize,
    workers: &Workers,
) -> Result<(Grads, Sums), Error> {
    let work = |network: &Qwen, worker: usize| -> Result<(Grads, Sums), Error> {
        let (mut grads, mut sums) = (Grads::default(), Sums::default());
        for draws in batch.chunks(batch_size) {
            let mut shares = draws.chunks(draws.len().div_ceil(workers.count()));
            let Some(share) = shares.nth(worker) else {
                continue;
            };
            let photo = |draw: &Draw| &records[draw.record].img_id;
            for pass in share.chunk_by(|a, b| !by_photo || photo(a) == photo(b)) {
                let made = pass
                    .iter()
                    .map(|draw| examples.make(&records[draw.record], draw.template, draw.steps));
                let made = made.collect::<Result<Vec<_>, _>>()?;
                let loss = response_loss(network, &made);
                sums.add(&Sums {
                    loss: f64::from(loss.clone().into_scalar::<f32>()),
                    tokens: weights(&made).into_iter().map(f64::from).sum(),
                    records: made.len() as f64,
                });
                grads.add(Grads::take(network, loss.backward()));
            }
        }
        Ok((grads, sums))
    };
    let (grads, parts) = workers.gradients(&examples.checkpoint.network, step, work)?;
    let mut sums = Sums::default();
    for part in &parts {
        sums.add(part);
    }
    Ok((grads, sums))
}
