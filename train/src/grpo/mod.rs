//! Stage 2: group relative policy optimisation (GRPO, arXiv 2402.03300) on questions whose answers are judged by rules, mixed as the
//! paper of MORE-R1 says. Reads top to bottom; evaluates nothing but its own rewards.
//!
//! `mix` which questions an epoch asks · `rollout` answers drawn on the engine · `reward` what they are worth · `advantage` compared
//! within a group · `loss` the objective · `update` its gradient

mod advantage;
pub mod config;
pub mod loss;
pub mod mix;
pub mod reward;
pub(crate) mod rollout;
mod update;

pub use advantage::advantages;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{DType, Device};
use model::guide::{Lexicon, Script};
use model::init::Init;
use model::{Checkpoint, Files, Qwen};
use proto::{Form, Ontology};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::advantage::mean_and_std;
use self::config::GrpoConfig;
use self::mix::Mixer;
use self::reward::{Judged, Rewards};
use self::rollout::{Drawing, Rollout};
use self::update::{Group, Update, Updates};
use crate::config::learning_rate;
use crate::data::{Record, read_records};
use crate::example::{Asked, Examples, check_labels};
use crate::log::{self, Completion, Log, Sampled, Sums};
use crate::optim::{AdamW, plain};
use crate::state::Snapshot;
use crate::watch::{Standing, Watch};
use crate::workers::Workers;
use crate::{Error, progress, provenance, state};

/// Where the random streams of the answers begin: the mixture's lie below.
const ANSWERS: u64 = 1 << 32;

/// What a run ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Updates done in all.
    pub steps: usize,
    /// The mean reward of the last batch; none where nothing was left to do.
    pub reward: Option<f64>,
    /// How its evaluations went, if there were any.
    pub standing: Standing,
    /// Whether it ended since nothing better was to be expected.
    pub stopped_early: bool,
    /// The trained checkpoint in Hugging Face layout, or its adapter in PEFT's.
    pub checkpoint: PathBuf,
    /// Seconds this call took.
    pub seconds: f64,
}

/// One line of `metrics.jsonl`: one batch of questions and the updates it made. Names are TRL's, but for the two that the mixture brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Updates done.
    pub step: usize,
    /// Epochs of the mixture begun.
    pub epoch: usize,
    /// The objective's negative, mean of the batch's updates.
    pub loss: f64,
    /// Mean over the answers.
    pub reward: f64,
    /// The same over the answers to hard questions; absent where the batch has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_hard: Option<f64>,
    /// The same of easy ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_easy: Option<f64>,
    /// Standard deviation within a group, mean over the groups.
    pub reward_std: f64,
    /// `reward/NAME/mean` of every rule, before its weight.
    #[serde(flatten)]
    pub rewards: BTreeMap<String, f64>,
    /// The share of groups that teach nothing since all answers got the same.
    pub frac_reward_zero_std: f64,
    /// Nats from the Stage-1 model a token, mean of the batch's updates; absent where there is no reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// The share of tokens cut at the lower edge.
    #[serde(rename = "clip_ratio/low_mean")]
    pub clip_low: f64,
    /// The share of tokens cut at the upper edge.
    #[serde(rename = "clip_ratio/high_mean")]
    pub clip_high: f64,
    /// The share of tokens cut at either.
    #[serde(rename = "clip_ratio/region_mean")]
    pub clip: f64,
    /// Tokens an answer.
    #[serde(rename = "completions/mean_length")]
    pub mean_length: f64,
    /// The share of answers that were cut.
    #[serde(rename = "completions/clipped_ratio")]
    pub clipped_ratio: f64,
    /// Nats a token when the answers were drawn; without a reference, of groups with spread.
    pub entropy: f64,
    /// Norm of the last update's gradient before clipping.
    pub grad_norm: f64,
    /// Rate of the last update.
    pub lr: f64,
    /// Tokens drawn a second of this batch, its updates included.
    #[serde(rename = "tokens/s")]
    pub tokens_per_second: f64,
    /// Seconds since the run (or its resumption) began.
    pub elapsed: f64,
}

/// Runs (or goes on with) the run that `config` describes, judged by those of `rewards` that it names. All `devices` share drawing
/// and learning, the first keeps the optimizer.
///
/// # Errors
/// Bad configuration or data, a loss or a gradient that is no number, a disk that is full: finished checkpoints stay valid.
pub fn run(config: &GrpoConfig, rewards: Rewards, devices: &[Device]) -> Result<Summary, Error> {
    let begin = Instant::now();
    std::fs::create_dir_all(&config.run_dir).map_err(Error::io(&config.run_dir))?;
    let mut run = Run::open(config, rewards, devices)?;
    let training = &config.training;
    run.examples().check_questions(&run.records)?;
    let evaluation = config.evaluation.as_ref();
    let (dev, images) = (config.data.dev.as_deref(), &config.data.images);
    let watch = Watch::open(evaluation, dev, images, &run.ontology, training.template)?;
    let (first, mut optimizer, mut standing) = run.resume()?;
    let batches = run.batches();
    let updates = config.grpo.num_iterations;
    let schedule = batches.len() * updates;
    let last = training.max_steps.unwrap_or(schedule).min(schedule);
    let mut metrics = Log::after(&config.run_dir, first)?;
    let mut completions = log::open(&config.run_dir.join("completions.jsonl"), first)?;
    let bar = progress::resumed(last, "updates", first);
    let (mut reward, mut done) = (None, first);
    while done < last && !standing.exhausted(evaluation) {
        let index = done / updates;
        let (epoch, questions) = &batches[index];
        let start = Instant::now();
        let batch = run.batch(index, questions)?;
        let mut made = Updates::new(&batch.groups, config.terms());
        let (mut told, mut norm, mut rate) = (Update::default(), 0.0, 0.0);
        for iteration in 0..updates {
            let step = index * updates + iteration;
            let (grads, update) = made.gradients(&run.policy(), index, iteration)?;
            norm = grads.norm();
            Error::unless_finite(step + 1, update.loss, norm)?;
            let (peak, warmup) = (training.learning_rate, training.warmup_ratio);
            rate = learning_rate(peak, warmup, step, schedule);
            let scale = (training.max_grad_norm / norm).min(1.0);
            run.checkpoint.network = optimizer.step(run.checkpoint.network, grads, rate, scale);
            told.add(&update);
            bar.inc(1);
        }
        done += updates;
        let made = Made {
            step: done,
            epoch: epoch + 1,
            updates,
            told,
            grad_norm: norm,
            lr: rate,
            reference: config.grpo.beta > 0.0,
            seconds: start.elapsed().as_secs_f64(),
            elapsed: begin.elapsed().as_secs_f64(),
        };
        let line = batch.metrics(&run.rewards, &made);
        reward = Some(line.reward);
        bar.set_message(format!("reward {:.3}", line.reward));
        tracing::info!(step = done, of = last, reward = line.reward, "trained");
        metrics.append(&line)?;
        completions.append(&[batch.sampled(done, &run.rewards)])?;
        let mut best = false;
        if let Some(watch) = watch.as_ref().filter(|it| it.due(done)) {
            let (line, found) = watch.evaluate(done, run.examples())?;
            metrics.append(&line)?;
            best = standing.note(found);
        }
        let ends = done == last || standing.exhausted(evaluation);
        if done.is_multiple_of(training.save_steps) || best || ends {
            let snapshot = Snapshot {
                step: done,
                network: &run.checkpoint.network,
                optimizer: &optimizer,
                since: Sums::default(), // every batch has its line
                standing,
            };
            state::save(&config.model, config, &snapshot)?;
        }
    }
    bar.finish();
    Ok(Summary {
        steps: done,
        reward,
        standing,
        stopped_early: done < last,
        checkpoint: config.run_dir.join(format!("checkpoint-{done}")),
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// What stays the same through a run, and the network.
struct Run<'a> {
    config: &'a GrpoConfig,
    ontology: Ontology,
    rewards: Rewards,
    weights: Vec<f64>,
    records: Vec<Record>,
    mixer: Mixer,
    devices: &'a [Device],
    workers: Workers,
    /// What is trained.
    checkpoint: Checkpoint,
    /// The Stage-1 model on each device, if the distance from it counts.
    references: Vec<Qwen>,
    /// Leads the answers, if they are led.
    script: Option<Arc<Script>>,
}

impl<'a> Run<'a> {
    fn open(
        config: &'a GrpoConfig,
        rewards: Rewards,
        devices: &'a [Device],
    ) -> Result<Self, Error> {
        provenance::note(config)?;
        let grpo = &config.grpo;
        let workers = Workers::new(config.training.workers, devices, config.training.seed);
        let workers = workers.map_err(Error::config(&config.run_dir))?;
        let fault = |reason: String| Error::Config {
            path: config.run_dir.clone(),
            reason,
        };
        let rewards = rewards
            .named(&grpo.rewards)
            .map_err(|name| fault(format!("grpo.rewards: there is no rule {name:?}")))?;
        let mut records = read_records(&config.data.hard)?;
        let hard = records.len();
        if let Some(easy) = &config.data.easy {
            records.extend(read_records(easy)?);
        }
        if hard == 0 {
            return Err(fault("data.hard has no records".into()));
        }
        let ontology = config.ontology()?;
        check_labels(&ontology, &records)?;
        let files = Files::Dir(config.model.clone());
        let first = devices[0].clone().autodiff();
        let mut checkpoint = Checkpoint::open(&files, DType::F32, &first)?;
        // In the precision of the passes, or the network would be far from itself. Weights that nobody changes stay one copy for both.
        let how = config.how();
        let kept_near = devices.iter().filter(|_| grpo.beta > 0.0);
        let references =
            kept_near.map(|device| how.rounded(&plain(checkpoint.network.clone(), device)));
        let references = references.collect();
        let init = Init::adapters(&first, config.training.seed);
        let learning = config.learning();
        checkpoint.network = learning.frozen(learning.adapted(checkpoint.network, &init));
        learning.check(&checkpoint.network).map_err(fault)?;
        let script = grpo.constrained.then(|| {
            let (tokenizer, config) = (&checkpoint.tokenizer, &checkpoint.config);
            let end = &checkpoint.generation.eos_token_id;
            let lexicon = Arc::new(Lexicon::new(tokenizer, config.text.vocab_size, end));
            let ontology = Arc::new(ontology.clone());
            Arc::new(Script::new(tokenizer, lexicon, ontology, Form::Trace))
        });
        let weights = grpo.reward_weights.clone();
        Ok(Self {
            config,
            weights: weights.unwrap_or_else(|| vec![1.0; grpo.rewards.len()]),
            rewards,
            mixer: Mixer::new(&records, hard, config.mixing, config.training.seed),
            records,
            devices,
            workers,
            checkpoint,
            references,
            script,
            ontology,
        })
    }

    /// Goes on from the newest checkpoint, if there is one: the updates done, the optimizer, how evaluations went.
    fn resume(&mut self) -> Result<(usize, AdamW, Standing), Error> {
        let resumed = state::resume(self.config, &self.checkpoint.network)?;
        let Some(resumed) = resumed else {
            let optimizer = AdamW::new(self.config.training.adamw);
            return Ok((0, optimizer, Standing::default()));
        };
        self.checkpoint.network = self.config.learning().frozen(resumed.network);
        Ok((resumed.step, resumed.optimizer, resumed.standing))
    }

    /// The batches of all epochs: the epoch (from 0) and the questions.
    fn batches(&self) -> Vec<(usize, Vec<usize>)> {
        let training = &self.config.training;
        let mut batches = vec![];
        for epoch in 0..training.num_train_epochs {
            let questions = self.mixer.epoch(epoch);
            let chunks = questions.chunks(training.train_batch_size);
            batches.extend(chunks.map(|questions| (epoch, questions.to_vec())));
        }
        batches
    }

    fn policy(&self) -> update::Policy<'_> {
        update::Policy {
            checkpoint: &self.checkpoint,
            references: &self.references,
            workers: &self.workers,
            terms: self.config.terms(),
            temperature: self.config.grpo.temperature,
            how: self.config.how(),
        }
    }

    fn examples(&self) -> Examples<'_> {
        Examples {
            checkpoint: &self.checkpoint,
            ontology: &self.ontology,
            images: &self.config.data.images,
            emphasis: None,
            target: Form::Trace,
        }
    }

    /// Asks `questions`, draws the answers of batch `index` and judges them.
    fn batch(&self, index: usize, questions: &[usize]) -> Result<Batch, Error> {
        let grpo = &self.config.grpo;
        let examples = self.examples();
        let records = questions.iter().map(|&it| self.records[it].clone());
        let records: Vec<Record> = records.collect();
        let asked = records
            .iter()
            .map(|record| examples.question(record, self.config.training.template));
        let asked: Vec<Asked> = asked.collect::<Result<_, _>>()?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.training.seed);
        rng.set_stream(ANSWERS + index as u64);
        let seeds = std::iter::repeat_with(|| rng.random());
        let drawing = Drawing {
            checkpoint: &self.checkpoint,
            devices: self.devices,
            script: self.script.as_ref(),
            grpo,
            how: self.config.how(),
        };
        let answers = drawing.roll_out(&asked, seeds)?;
        let judged = answers.iter().zip(&records);
        let rewards: Vec<Vec<Vec<f64>>> = judged
            .map(|(answers, record)| self.judge(answers, record))
            .collect();
        let total = |rewards: &Vec<f64>| {
            let counted = rewards.iter().zip(&self.weights);
            counted.map(|(reward, weight)| reward * weight).sum()
        };
        let totals = rewards
            .iter()
            .map(|group| group.iter().map(total).collect());
        let totals: Vec<Vec<f64>> = totals.collect();
        let groups = self.groups(&asked, &answers, &totals);
        let hard = questions.iter().map(|&it| self.mixer.is_hard(it));
        Ok(Batch {
            hard: hard.collect(),
            records,
            answers,
            rewards,
            totals,
            groups,
        })
    }

    /// What each rule gives each of `answers`.
    fn judge(&self, answers: &[Rollout], record: &Record) -> Vec<Vec<f64>> {
        let judge = |answer: &Rollout| {
            self.rewards.score(&Judged {
                response: &answer.text,
                relation: &record.relation,
                ontology: &self.ontology,
            })
        };
        answers.iter().map(judge).collect()
    }

    fn groups(&self, asked: &[Asked], answers: &[Vec<Rollout>], totals: &[Vec<f64>]) -> Vec<Group> {
        let grpo = &self.config.grpo;
        let counts = |answer: &&Rollout| answer.finished || !grpo.mask_truncated_completions;
        let all: Vec<&Rollout> = answers.iter().flatten().collect();
        let tokens = all.iter().copied().filter(counts);
        let tokens: usize = tokens.map(|answer| answer.ids.len()).sum();
        let weight = |answer: &Rollout| {
            let (length, longest) = (answer.ids.len(), grpo.max_completion_length);
            let weight = grpo.loss_type.weight(length, all.len(), tokens, longest);
            if counts(&answer) { weight } else { 0.0 }
        };
        let group = |((asked, answers), totals): ((&Asked, &Vec<Rollout>), &Vec<f64>)| {
            let counted = answers.iter().map(|it| (&it.ids[..], weight(it)));
            let advantages = advantages(totals, grpo.std_epsilon);
            Group::new(asked, counted, advantages, &self.checkpoint)
        };
        let groups = asked.iter().zip(answers).zip(totals);
        groups.map(group).collect()
    }
}

/// What became of a batch.
struct Made {
    step: usize,
    epoch: usize,
    updates: usize,
    /// Sums over the updates.
    told: Update,
    grad_norm: f64,
    lr: f64,
    /// Whether there was a reference.
    reference: bool,
    /// From the questions to the last update.
    seconds: f64,
    elapsed: f64,
}

/// Questions, the answers drawn, and what these were worth.
struct Batch {
    records: Vec<Record>,
    /// `[question]`
    hard: Vec<bool>,
    answers: Vec<Vec<Rollout>>,
    /// `[question][answer][rule]`
    rewards: Vec<Vec<Vec<f64>>>,
    /// `[question][answer]`: the rules' sum.
    totals: Vec<Vec<f64>>,
    groups: Vec<Group>,
}

impl Batch {
    /// Tokens drawn.
    fn tokens(&self) -> f64 {
        let answers = self.answers.iter().flatten();
        answers.map(|answer| answer.ids.len() as f64).sum()
    }

    fn metrics(&self, rewards: &Rewards, made: &Made) -> Metrics {
        let answers: Vec<&Rollout> = self.answers.iter().flatten().collect();
        let count = answers.len() as f64;
        let groups = self.totals.iter().map(|totals| mean_and_std(totals));
        let groups: Vec<(f64, f64)> = groups.collect();
        let mean = |of: &dyn Fn(&(f64, f64)) -> f64| {
            groups.iter().map(of).sum::<f64>() / groups.len() as f64
        };
        let over = |wanted: bool| {
            let chosen = self
                .hard
                .iter()
                .zip(&groups)
                .filter(|(hard, _)| **hard == wanted);
            let rewards: Vec<f64> = chosen.map(|(_, group)| group.0).collect();
            (!rewards.is_empty()).then(|| mean_and_std(&rewards).0)
        };
        let rule = |(place, name): (usize, &str)| {
            let given = self.rewards.iter().flatten().map(|it| it[place]);
            (format!("reward/{name}/mean"), given.sum::<f64>() / count)
        };
        let cut = answers.iter().filter(|answer| !answer.finished).count();
        let told = &made.told.told;
        // Those of groups that were left out were not clipped.
        let counted: usize = self.groups.iter().map(Group::counted).sum();
        let share = |sum: f64| sum / (made.updates * counted).max(1) as f64;
        Metrics {
            step: made.step,
            epoch: made.epoch,
            loss: made.told.loss / made.updates as f64,
            reward: mean(&|group| group.0),
            reward_hard: over(true),
            reward_easy: over(false),
            reward_std: mean(&|group| group.1),
            rewards: rewards.names().enumerate().map(rule).collect(),
            frac_reward_zero_std: mean(&|group| f64::from(group.1 == 0.0)),
            kl: made.reference.then(|| share(told.kl)),
            clip_low: share(told.clipped_low),
            clip_high: share(told.clipped_high),
            clip: share(told.clipped_low + told.clipped_high),
            mean_length: self.tokens() / count,
            clipped_ratio: cut as f64 / count,
            entropy: made.told.entropy / made.told.drawn.max(1.0),
            grad_norm: made.grad_norm,
            lr: made.lr,
            tokens_per_second: self.tokens() / made.seconds,
            elapsed: made.elapsed,
        }
    }

    /// The first question and all answers to it.
    fn sampled(&self, step: usize, rewards: &Rewards) -> Sampled {
        let record = &self.records[0];
        let answers = self.answers[0].iter().zip(&self.rewards[0]);
        let answers = answers.zip(self.groups[0].advantages());
        let completion = |((answer, given), &advantage): ((&Rollout, &Vec<f64>), &f64)| {
            let names = rewards.names().map(str::to_owned);
            Completion {
                text: answer.text.clone(),
                rewards: names.zip(given.iter().copied()).collect(),
                advantage,
            }
        };
        Sampled {
            step,
            img_id: record.img_id.clone(),
            entity: record.entity(),
            relation: record.relation.clone(),
            completions: answers.map(completion).collect(),
        }
    }
}
