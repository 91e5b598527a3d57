//! Stage 1: supervised fine-tuning on gold traces, or on labels alone. Reads top to bottom; evaluates nothing but its own loss.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{DType, Device};
use model::checkpoint::Checkpoint;
use model::init::Init;
use model::{Files, Qwen};
use proto::{Form, Ontology, Template, Wording};
use serde::Serialize;

use crate::config::{SftConfig, TrainingConfig};
use crate::data::{Record, read_records};
use crate::example::Examples;
use crate::log::{Log, Metrics, Sums};
use crate::loss::{unlikelihood, weights};
use crate::optim::{AdamW, Grads};
use crate::order::{Draw, Order};
use crate::pass::Pass;
use crate::sample::stratified;
use crate::state::{Resumed, Snapshot};
use crate::watch::{Standing, Watch};
use crate::workers::Workers;
use crate::{Error, progress, provenance, scratch, state};

/// What a run ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Optimizer steps done in all.
    pub steps: usize,
    /// The last loss; none where nothing was left to do.
    pub loss: Option<f64>,
    /// How its evaluations went, if there were any.
    pub standing: Standing,
    /// Whether it ended since nothing better was to be expected.
    pub stopped_early: bool,
    /// Records it learned from.
    pub records: usize,
    /// The trained checkpoint in Hugging Face layout, or its adapter in PEFT's.
    pub checkpoint: PathBuf,
    /// Seconds this call took.
    pub seconds: f64,
}

/// Runs (or goes on with) the run that `config` describes, on `devices`: the first keeps the optimizer, all share the steps.
///
/// # Errors
/// Bad configuration or data, a loss or a gradient that is no number, a disk that is full: finished checkpoints stay valid.
pub fn run(config: &SftConfig, devices: &[Device]) -> Result<Summary, Error> {
    let begin = Instant::now();
    let workers = Workers::new(config.training.workers, devices, config.training.seed);
    let workers = workers.map_err(Error::config(&config.run_dir))?;
    let Run {
        base,
        ontology,
        records,
        mut checkpoint,
        mut optimizer,
        first,
        mut since,
        mut standing,
    } = Run::open(config, &devices[0])?;
    let schedule = config.schedule_steps(records.len());
    let training = &config.training;
    let last = training.max_steps.unwrap_or(schedule).min(schedule);
    let evaluation = config.evaluation.as_ref();
    let (dev, images) = (config.data.dev.as_deref(), &config.data.images);
    let watch = Watch::open(evaluation, dev, images, &ontology, training.templates[0])?;
    let mut log = Log::after(&config.run_dir, first)?;
    let bar = progress::resumed(last, "steps", first);
    let groups = groups(&records, training.group_by_photo);
    let mut order = Order::new(groups, training.seed);
    let (mut seen, mut loss, mut done) = (Sums::default(), None, first);
    while done < last && !standing.exhausted(evaluation) {
        let step = done;
        let batch: Vec<Draw> = (0..config.records_per_step())
            .map(|i| step * config.records_per_step() + i)
            .map(|index| order.draw(index, &training.templates, training.shorten))
            .collect();
        let made = examples(config, &checkpoint, &ontology);
        let (grads, sums) = gradients(training, step, made, &records, &batch, &workers)?;
        // The loss is a mean over the step's response tokens, so the sums are divided once, here.
        let norm = grads.norm() / sums.tokens;
        Error::unless_finite(step + 1, sums.loss / sums.tokens, norm)?;
        let scale = (training.max_grad_norm / norm).min(1.0) / sums.tokens;
        let rate = config.learning_rate(step, schedule);
        checkpoint.network = optimizer.step(checkpoint.network, grads, rate, scale);
        since.add(&sums);
        seen.add(&sums);
        let mean = since.loss / since.tokens;
        loss = Some(mean);
        done += 1;
        bar.set_message(format!("loss {mean:.4}"));
        bar.inc(1);
        // A run that `max_steps` ends is the beginning of the whole one, so it has no line of its own.
        if done % training.logging_steps == 0 || done == schedule {
            let elapsed = begin.elapsed().as_secs_f64();
            let metrics = Metrics {
                step: done,
                epoch: (done * config.records_per_step()) as f64 / records.len() as f64,
                loss: mean,
                lr: rate,
                grad_norm: norm,
                samples_per_second: seen.records / elapsed,
                tokens_per_second: seen.tokens / elapsed,
                elapsed,
            };
            tracing::info!(step = done, of = last, loss = mean, "trained");
            log.append(&metrics)?;
            since = Sums::default();
        }
        let mut best = false;
        if let Some(watch) = watch.as_ref().filter(|it| it.due(done)) {
            let (line, found) = watch.evaluate(done, examples(config, &checkpoint, &ontology))?;
            log.append(&line)?;
            best = standing.note(found);
        }
        let ends = done == last || standing.exhausted(evaluation);
        if done % training.save_steps == 0 || best || ends {
            let snapshot = Snapshot {
                step: done,
                network: &checkpoint.network,
                optimizer: &optimizer,
                since,
                standing,
            };
            state::save(&base, config, &snapshot)?;
        }
    }
    bar.finish();
    Ok(Summary {
        steps: done,
        loss,
        standing,
        stopped_early: done < last,
        records: records.len(),
        checkpoint: config.run_dir.join(format!("checkpoint-{done}")),
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// How examples are made of records.
fn examples<'a>(
    config: &'a SftConfig,
    checkpoint: &'a Checkpoint,
    ontology: &'a Ontology,
) -> Examples<'a> {
    Examples {
        checkpoint,
        ontology,
        images: &config.data.images,
        target: config.training.target,
        emphasis: config.training.emphasis.as_ref(),
    }
}

/// The folder of a run that holds the checkpoint it starts from.
pub(crate) const BASE: &str = "base";

/// A run before its next step.
struct Run {
    /// The checkpoint it started from.
    base: PathBuf,
    ontology: Ontology,
    records: Vec<Record>,
    /// What is trained.
    checkpoint: Checkpoint,
    optimizer: AdamW,
    /// Steps done.
    first: usize,
    /// What no line of metrics has told yet.
    since: Sums,
    standing: Standing,
}

impl Run {
    /// A new one, or what its newest checkpoint holds.
    fn open(config: &SftConfig, device: &Device) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.run_dir).map_err(Error::io(&config.run_dir))?;
        provenance::note(config)?;
        let ontology = config.ontology()?;
        let records = stratified(
            read_records(&config.data.train)?,
            config.data.fraction,
            config.training.seed,
        );
        if records.is_empty() {
            return Err(Error::config(&config.data.train)(
                "has no records to learn from".to_owned(),
            ));
        }
        let base = base_checkpoint(config, &ontology, &records)?;
        let device = device.clone().autodiff();
        let mut checkpoint = Checkpoint::open(&Files::Dir(base.clone()), DType::F32, &device)?;
        let learning = config.learning();
        let init = Init::adapters(&device, config.training.seed);
        checkpoint.network = learning.adapted(checkpoint.network, &init);
        learning
            .check(&checkpoint.network)
            .map_err(Error::config(&config.run_dir))?;
        let made = examples(config, &checkpoint, &ontology);
        made.check_questions(&records)?;
        made.check_answers(&records)?;
        let resumed = state::resume(config, &checkpoint.network)?;
        let resumed = resumed.unwrap_or_else(|| Resumed {
            step: 0,
            network: checkpoint.network.clone(),
            optimizer: AdamW::new(config.training.adamw),
            since: Sums::default(),
            standing: Standing::default(),
        });
        checkpoint.network = learning.frozen(resumed.network);
        Ok(Self {
            base,
            ontology,
            records,
            checkpoint,
            optimizer: resumed.optimizer,
            first: resumed.step,
            since: resumed.since,
            standing: resumed.standing,
        })
    }
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
    let target = config.run_dir.join(BASE);
    if !target.exists() {
        let beside = config.run_dir.join("base.tmp");
        let form = config.training.target;
        let traces = records.iter().filter(|_| form == Form::Trace);
        let mut texts: Vec<String> = traces.filter_map(|record| record.trace.clone()).collect();
        texts.extend(records.iter().map(|record| record.text.clone()));
        for template in [Template::Paper, Template::Prefix] {
            // The prompt's constant words are seen with every record: they deserve tokens of their own.
            let prompt = proto::prompt(Wording { template, form }, ontology, "", "");
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

/// Summed gradients and losses of step `step`, `train_batch_size` records at a time. Worker `w` takes the `w`-th share of these, in one
/// pass or, `group_by_photo`, in one for every photo.
fn gradients(
    training: &TrainingConfig,
    step: usize,
    examples: Examples<'_>,
    records: &[Record],
    batch: &[Draw],
    workers: &Workers,
) -> Result<(Grads, Sums), Error> {
    let (by_photo, how) = (training.group_by_photo, training.how());
    let work = |network: &Qwen, worker: usize| -> Result<(Grads, Sums), Error> {
        let (mut grads, mut sums) = (Grads::default(), Sums::default());
        for draws in batch.chunks(training.train_batch_size) {
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
                let pass = Pass {
                    network,
                    examples: &made,
                    temperature: None,
                    how,
                };
                let (part, loss) = pass.gradient(|scores| {
                    let loss = unlikelihood(scores, &made);
                    let value = loss.clone().into_scalar::<f32>();
                    (loss, value)
                });
                sums.add(&Sums {
                    loss: f64::from(loss),
                    tokens: weights(&made).into_iter().map(f64::from).sum(),
                    records: made.len() as f64,
                });
                grads.add(part);
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
