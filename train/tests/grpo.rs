//! Stage 2: the objective against a float64 reference written independently, and end to end on a toy: a run that was interrupted ends
//! where an uninterrupted one does, answers that are drawn depend on nothing but weights and seed.

mod toy {
    pub mod brief;
    pub mod corpus;
    pub mod run;
}

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use proto::Template;
use serde::Deserialize;
use tempfile::TempDir;
use train::grpo::config::{Grpo, GrpoConfig, Questions, Training};
use train::grpo::loss::{Fixed, LossType, Terms, objective};
use train::grpo::mix::{Mixing, Strategy};
use train::grpo::reward::{Judged, Reward, Rewards};
use train::grpo::{self, Metrics, advantages};
use train::optim::AdamWConfig;
use train::sft;
use train::watch::{Evaluation, Metric};

use toy::brief::rewards;
use toy::corpus::corpus;
use toy::run::recipe;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    terms: GoldenTerms,
    groups: Vec<GoldenGroup>,
    counts: Vec<Vec<bool>>,
    loss: f64,
    gradient: Vec<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct GoldenTerms {
    epsilon: f64,
    beta: f64,
    std_epsilon: f64,
    loss_type: LossType,
    longest: usize,
}

#[derive(Deserialize)]
struct GoldenGroup {
    rewards: Vec<f64>,
    new: Vec<Vec<f32>>,
    old: Vec<Vec<f32>>,
    reference: Vec<Vec<f32>>,
}

/// The tokens of a case, one after another, and what they are compared with.
fn flat(case: &Case) -> (Vec<f32>, Fixed) {
    let answers: usize = case.groups.iter().map(|group| group.rewards.len()).sum();
    let counted = case.groups.iter().zip(&case.counts);
    let counted = counted.flat_map(|(group, counts)| group.new.iter().zip(counts));
    let tokens: usize = counted
        .filter(|(_, counts)| **counts)
        .map(|(new, _)| new.len())
        .sum();
    let (mut new, mut fixed) = (vec![], Fixed::default());
    let mut reference = vec![];
    for (group, counts) in case.groups.iter().zip(&case.counts) {
        let advantages = advantages(&group.rewards, case.terms.std_epsilon);
        for (answer, &counts) in counts.iter().enumerate() {
            let length = group.new[answer].len();
            let kind = case.terms.loss_type;
            let weight = kind.weight(length, answers, tokens, case.terms.longest);
            let weight = if counts { weight } else { 0.0 };
            new.extend(&group.new[answer]);
            fixed.old.extend(&group.old[answer]);
            reference.extend(&group.reference[answer]);
            let repeated = |value: f64| std::iter::repeat_n(value as f32, length);
            fixed.advantages.extend(repeated(advantages[answer]));
            fixed.weights.extend(repeated(weight));
        }
    }
    fixed.reference = (case.terms.beta > 0.0).then_some(reference);
    (new, fixed)
}

#[test]
fn the_objective_and_its_gradient_are_the_references() {
    let golden: Golden =
        serde_json::from_str(include_str!("golden/grpo.json")).expect("our own file");
    assert_eq!(golden.cases.len(), 18);
    let device = Device::flex().autodiff();
    let (mut low, mut high) = (0.0, 0.0);
    for (number, case) in golden.cases.iter().enumerate() {
        let (new, fixed) = flat(case);
        let new = Tensor::<1>::from_data(&new[..], &device).require_grad();
        let terms = Terms {
            epsilon: case.terms.epsilon,
            beta: case.terms.beta,
        };
        let made = objective(new.clone(), &fixed, terms);
        low += made.told.clipped_low;
        high += made.told.clipped_high;
        let loss = f64::from(made.loss.clone().into_scalar::<f32>());
        let close = |a: f64, b: f64| (a - b).abs() < 2e-6 * (1.0 + b.abs());
        assert!(
            close(loss, case.loss),
            "case {number}: {loss} {}",
            case.loss
        );
        let gradient = new.grad(&made.loss.backward()).expect("it is tracked");
        let gradient: Vec<f32> = gradient.to_data().try_into_vec().expect("f32");
        let wanted: Vec<f64> = case.gradient.iter().flatten().flatten().copied().collect();
        for (place, (&got, &wanted)) in gradient.iter().zip(&wanted).enumerate() {
            let got = f64::from(got);
            assert!(
                close(got, wanted),
                "case {number}, token {place}: {got} {wanted}"
            );
        }
    }
    assert!(low > 10.0 && high > 10.0, "both edges occur: {low} {high}");
}

#[test]
fn a_group_without_spread_teaches_nothing() {
    assert_eq!(advantages(&[3.0; 8], 1e-4), [0.0; 8]);
    let spread = advantages(&[1.0, 0.0, 0.0, 0.0], 0.0);
    assert!(spread[0] > 1.4999 && spread[0] < 1.5001, "{spread:?}");
    assert!(spread.iter().sum::<f64>().abs() < 1e-12);
}

/// A few steps of Stage 1 on a toy.
fn stage_one(folder: &Path) -> PathBuf {
    let mut config = recipe(folder, "sft");
    let training = &mut config.training;
    training.num_train_epochs = 1.0;
    training.train_batch_size = 4;
    training.gradient_accumulation_steps = 1;
    training.warmup_ratio = 0.0;
    training.templates = vec![Template::Prefix];
    training.save_steps = 100;
    sft::run(&config, &[Device::flex()])
        .expect("the run ends")
        .checkpoint
}

/// What Stage 2 of a toy begins with, in a folder of the test's own.
fn begun() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let model = stage_one(folder.path());
    (folder, model)
}

fn config(folder: &Path, model: &Path, run: &str) -> GrpoConfig {
    GrpoConfig {
        run_dir: folder.join(run),
        model: model.to_owned(),
        data: Questions {
            hard: folder.join("data/dev.jsonl"),
            easy: Some(folder.join("data/test.jsonl")),
            dev: None,
            images: folder.join("data/images"),
            ontology: None,
        },
        mixing: Mixing {
            strategy: Strategy::Progressive,
            ratio: 1.0,
            gamma: 0.5,
        },
        grpo: Grpo {
            num_generations: 3,
            temperature: 1.0,
            max_completion_length: 24,
            rewards: ["format", "length", "answer", "brief"]
                .map(str::to_owned)
                .into(),
            reward_weights: Some(vec![1.0, 1.0, 1.0, 2.0]),
            beta: 0.05,
            ..Grpo::default()
        },
        training: Training {
            num_train_epochs: 2,
            train_batch_size: 3,
            workers: 2,
            bf16: false,
            gradient_checkpointing: false,
            learning_rate: 1e-2,
            warmup_ratio: 0.0,
            max_grad_norm: 1.0,
            adamw: AdamWConfig::default(),
            freeze: vec!["visual".to_owned()],
            template: Template::Prefix,
            seed: 7,
            save_steps: 2,
            save_total_limit: 9,
            max_steps: None,
        },
        evaluation: None,
        lora: None,
    }
}

fn metrics(config: &GrpoConfig) -> Vec<Metrics> {
    toy::run::metrics(&config.run_dir)
}

/// All that does not tell the time.
fn essence(config: &GrpoConfig) -> Vec<Metrics> {
    let timeless = |line| Metrics {
        tokens_per_second: 0.0,
        elapsed: 0.0,
        ..line
    };
    metrics(config).into_iter().map(timeless).collect()
}

fn completions(config: &GrpoConfig) -> String {
    std::fs::read_to_string(config.run_dir.join("completions.jsonl")).expect("completions")
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let (folder, model) = begun();
    let devices = [Device::flex()];
    let whole = config(folder.path(), &model, "whole");
    let done = grpo::run(&whole, rewards(), &devices).expect("the run ends");
    // 4 hard and 4 easy questions, then 4 and 2: 3 and 2 batches of 3, two updates each.
    assert_eq!(done.steps, 10);

    let mut cut = config(folder.path(), &model, "cut");
    cut.training.max_steps = Some(4);
    grpo::run(&cut, rewards(), &devices).expect("the first part ends");
    // What a kill leaves behind the last checkpoint.
    for (log, line) in [
        ("metrics.jsonl", "{\"step\":6}\n{\"st"),
        ("completions.jsonl", "{\"step\":6}\n"),
    ] {
        let path = cut.run_dir.join(log);
        let text = std::fs::read_to_string(&path).expect("written");
        std::fs::write(&path, text + line).expect("writable");
    }
    cut.training.max_steps = None;
    grpo::run(&cut, rewards(), &devices).expect("the second part ends");

    assert_eq!(essence(&whole), essence(&cut), "every number, bit for bit");
    assert_eq!(completions(&whole), completions(&cut));
    for file in ["model.safetensors", "optimizer.bin"] {
        let read = |config: &GrpoConfig| {
            std::fs::read(config.run_dir.join("checkpoint-10").join(file)).expect("saved")
        };
        assert!(read(&whole) == read(&cut), "{file} differs");
    }

    let lines = metrics(&whole);
    assert_eq!(
        lines.iter().map(|it| it.epoch).collect::<Vec<_>>(),
        [1, 1, 1, 2, 2]
    );
    for line in &lines {
        let given = |name| line.rewards[&format!("reward/{name}/mean")];
        assert!(given("brief") < 0.0, "{line:?}");
        let sum = given("format") + given("length") + given("answer") + 2.0 * given("brief");
        assert!((line.reward - sum).abs() < 1e-12, "{line:?}");
        assert!(line.rewards["reward/length/mean"] <= 0.0, "{line:?}");
        let parts = [line.reward_hard, line.reward_easy].into_iter().flatten();
        let below = parts.clone().any(|it| it <= line.reward + 1e-12);
        assert!(
            below && parts.clone().any(|it| it >= line.reward - 1e-12),
            "{line:?}"
        );
        assert!(line.entropy > 0.0 && line.grad_norm > 0.0, "{line:?}");
        assert!((1.0..=24.0).contains(&line.mean_length), "{line:?}");
        assert!((0.0..=1.0).contains(&line.clipped_ratio), "{line:?}");
    }
    let both = |it: &&Metrics| it.reward_hard.is_some() && it.reward_easy.is_some();
    assert!(lines.iter().find(both).is_some(), "{lines:?}");
    let far = lines[4].kl > lines[0].kl && lines[4].kl > Some(1e-3);
    assert!(far, "it leaves the reference: {lines:?}");

    let mut once = config(folder.path(), &model, "once");
    once.grpo.num_iterations = 1;
    once.training.max_steps = Some(1);
    grpo::run(&once, rewards(), &devices).expect("the run ends");
    let line = &metrics(&once)[0];
    // The reference keeps no gradients, so other kernels compute it, in another order (ADR 14).
    let there = line.kl.is_some_and(|kl| kl.abs() < 1e-6) && line.clip == 0.0;
    assert!(there, "it begins there: {line:?}");

    let again = grpo::run(&whole, rewards(), &devices).expect("a run that has ended");
    assert_eq!((again.steps, again.reward), (10, None));

    // A run of another configuration does not go on in this folder.
    let mut other = whole.clone();
    other.grpo.beta = 0.5;
    let error = grpo::run(&other, rewards(), &devices).expect_err("another run");
    assert!(
        error.to_string().contains("another configuration"),
        "{error}"
    );
}

/// Data parallelism: the same answers are drawn and the same is learned from them, whoever draws and learns. Groups are passes of
/// their own, so the order of sums is the same for three of them, and every bit; for five it is not.
#[test]
fn two_ranks_are_one_rank_with_twice_the_batch() {
    let (folder, model) = begun();
    let run = |name: &str, batch: usize, workers: usize, devices: &[Device]| {
        let mut config = config(folder.path(), &model, name);
        config.training.train_batch_size = batch;
        config.training.workers = workers;
        config.training.max_steps = Some(4);
        let done = grpo::run(&config, rewards(), devices).expect("the run ends");
        let weights = std::fs::read(done.checkpoint.join("model.safetensors")).expect("saved");
        (essence(&config), weights)
    };
    let (one, two) = ([Device::flex()], [Device::flex(), Device::flex()]);
    assert!(run("three", 3, 2, &two) == run("alone", 3, 1, &one));
    let (shared, _) = run("five", 5, 2, &two);
    let (alone, _) = run("five-alone", 5, 1, &one);
    // The first batch draws from the same weights; its second update comes after one of another rounding.
    let (shared, alone) = (&shared[0], &alone[0]);
    assert_eq!(shared.rewards, alone.rewards);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * b.abs().max(1e-3);
    assert!(
        close(shared.loss, alone.loss)
            && close(shared.kl.unwrap_or(f64::NAN), alone.kl.unwrap_or(f64::NAN)),
        "{shared:?} {alone:?}"
    );
    assert!(
        close(shared.grad_norm, alone.grad_norm),
        "{shared:?} {alone:?}"
    );
}

/// A toy gets nothing right, so the first evaluation stays the best and patience ends.
#[test]
fn a_run_is_evaluated_and_ends_when_nothing_better_comes() {
    let (folder, model) = begun();
    let mut config = config(folder.path(), &model, "run");
    config.data.dev = Some(folder.path().join("data/test.jsonl"));
    config.training.learning_rate = 1e-9;
    config.training.save_total_limit = 1;
    config.evaluation = Some(Evaluation {
        eval_steps: 2,
        metric_for_best_model: Metric::F1,
        early_stopping_patience: Some(2),
        eval_records: Some(2),
        eval_batch_size: 2,
    });
    let done = grpo::run(&config, rewards(), &[Device::flex()]).expect("the run ends");
    assert!(done.stopped_early && done.steps == 6, "{done:?}");
    let best = done.standing.best.expect("the first");
    assert_eq!((best.step, done.standing.since_best), (2, 2));
    assert!(config.run_dir.join("best.json").exists());
    let kept = |step: usize| config.run_dir.join(format!("checkpoint-{step}")).exists();
    assert_eq!([2, 4, 6].map(kept), [true, false, true]);
    let text = std::fs::read_to_string(config.run_dir.join("metrics.jsonl")).expect("metrics");
    assert_eq!(text.matches("\"eval/f1\"").count(), 3);
    assert_eq!(text.matches("\"eval/accuracy\"").count(), 3);
}

/// `brief` alone, without a reference: the reward grows.
#[test]
fn what_is_rewarded_grows() {
    let (folder, model) = begun();
    let mut config = config(folder.path(), &model, "run");
    config.grpo.rewards = vec!["brief".to_owned()];
    config.grpo.reward_weights = None;
    config.grpo.beta = 0.0;
    config.grpo.num_generations = 8;
    config.training.num_train_epochs = 8;
    config.training.learning_rate = 3e-2;
    config.mixing.strategy = Strategy::HardOnly;
    grpo::run(&config, rewards(), &[Device::flex()]).expect("the run ends");
    let lines = metrics(&config);
    let mean =
        |lines: &[Metrics]| lines.iter().map(|it| it.reward).sum::<f64>() / lines.len() as f64;
    let (first, last) = (mean(&lines[..4]), mean(&lines[lines.len() - 4..]));
    assert!(last > first + 0.2, "{first} {last}");
    assert!(lines.iter().all(|it| it.kl.is_none()));
}

/// 1 for every third number of different letters: a third of the groups has no spread.
struct Coarse;

impl Reward for Coarse {
    fn name(&self) -> &'static str {
        "brief"
    }

    fn score(&self, judged: &Judged<'_>) -> f64 {
        let letters: HashSet<char> = judged.response.chars().collect();
        f64::from(letters.len().is_multiple_of(3))
    }
}

/// Without a reference, groups without spread are not computed; with one that counts next to nothing they are. The network ends the same.
#[test]
fn groups_without_spread_may_be_left_out() {
    let (folder, model) = begun();
    let run = |name: &str, beta: f64| {
        let mut config = config(folder.path(), &model, name);
        config.grpo.rewards = vec!["brief".to_owned()];
        config.grpo.reward_weights = None;
        config.grpo.beta = beta;
        config.training.max_steps = Some(4);
        let rewards = Rewards::paper(1024).with(Box::new(Coarse));
        let done = grpo::run(&config, rewards, &[Device::flex()]).expect("the run ends");
        let weights = std::fs::read(done.checkpoint.join("model.safetensors")).expect("saved");
        (metrics(&config), weights)
    };
    let (left_out, weights) = run("left-out", 0.0);
    let (computed, others) = run("computed", 1e-30);
    let silent = left_out.iter().map(|it| it.frac_reward_zero_std);
    assert!(
        silent.clone().any(|it| it > 0.0) && silent.clone().any(|it| it < 1.0),
        "{left_out:?}"
    );
    for (a, b) in left_out.iter().zip(&computed) {
        assert!(
            (a.grad_norm - b.grad_norm).abs() <= 1e-4 * b.grad_norm,
            "{a:?} {b:?}"
        );
        assert!((a.loss - b.loss).abs() < 1e-6, "{a:?} {b:?}");
    }
    // Of the same answers, drawn in the first batch, some are left out, none of them clipped.
    let (a, b) = (&left_out[0], &computed[0]);
    let share = 1.0 - a.frac_reward_zero_std;
    assert!(0.0 < share && share < 1.0 && a.clip > 0.0, "{a:?}");
    assert!((a.clip - b.clip).abs() < 1e-9, "{a:?} {b:?}");
    let parsed = |bytes: &[u8]| -> Vec<f32> {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let values = bytes[8 + length..].chunks_exact(4);
        values
            .map(|it| f32::from_le_bytes(it.try_into().expect("four bytes")))
            .collect()
    };
    let (weights, others) = (parsed(&weights), parsed(&others));
    let gaps = weights
        .iter()
        .zip(&others)
        .map(|(a, b)| f64::from((a - b).abs()));
    let gap = gaps.sum::<f64>() / weights.len() as f64; // a step is 1e-2
    assert!(gap < 1e-5, "{gap}");
}

/// The grammar leads every answer to its end, so it is never cut, and the format reward says nothing.
#[test]
fn answers_can_be_led() {
    let (folder, model) = begun();
    let mut config = config(folder.path(), &model, "run");
    config.grpo.constrained = true;
    config.grpo.max_completion_length = 400;
    config.training.max_steps = Some(2);
    grpo::run(&config, rewards(), &[Device::flex()]).expect("the run ends");
    let line = &metrics(&config)[0];
    let told = (line.rewards["reward/format/mean"], line.clipped_ratio);
    assert_eq!(told, (1.0, 0.0));
}

/// Answers that are cut teach nothing if the configuration says so: nothing moves.
#[test]
fn cut_answers_can_be_left_out() {
    let (folder, model) = begun();
    let mut config = config(folder.path(), &model, "run");
    config.grpo.max_completion_length = 1;
    config.grpo.mask_truncated_completions = true;
    config.training.max_steps = Some(2);
    let done = grpo::run(&config, rewards(), &[Device::flex()]).expect("the run ends");
    let line = &metrics(&config)[0];
    assert_eq!(
        (line.clipped_ratio, line.loss, line.grad_norm),
        (1.0, 0.0, 0.0)
    );
    let weights = |folder: &Path| std::fs::read(folder.join("model.safetensors")).expect("saved");
    assert!(
        weights(&done.checkpoint) == weights(&model),
        "nothing was learned"
    );
}

#[test]
fn what_cannot_be_meant_is_named() {
    let (folder, model) = begun();
    let mut config = config(folder.path(), &model, "run");
    config.grpo.rewards = vec!["kindness".to_owned()];
    let error = grpo::run(&config, rewards(), &[Device::flex()]).expect_err("no such rule");
    assert!(error.to_string().contains("\"kindness\""), "{error}");

    let path = folder.path().join("grpo.toml");
    let read = |config: &GrpoConfig| {
        std::fs::write(&path, toml::to_string(config).expect("TOML")).expect("writable");
        GrpoConfig::read(&path)
    };
    config.grpo.rewards = vec!["answer".to_owned()];
    config.grpo.reward_weights = None;
    assert_eq!(read(&config).expect("a whole configuration"), config);
    config.data.easy = None;
    let error = read(&config).expect_err("nothing to mix");
    assert!(error.to_string().contains("data.easy"), "{error}");
    config.mixing.strategy = Strategy::HardOnly;
    config.training.save_steps = 3;
    let error = read(&config).expect_err("not a multiple of two updates");
    assert!(error.to_string().contains("training.save_steps"), "{error}");
    config.training.save_steps = 2;
    let evaluation = Evaluation {
        eval_steps: 2,
        metric_for_best_model: Metric::F1,
        early_stopping_patience: None,
        eval_records: None,
        eval_batch_size: 8,
    };
    for (field, wrong) in [
        ("data.dev", evaluation.clone()),
        (
            "evaluation.eval_steps",
            Evaluation {
                eval_steps: 3,
                ..evaluation.clone()
            },
        ),
        (
            "evaluation.metric_for_best_model",
            Evaluation {
                metric_for_best_model: Metric::Loss,
                ..evaluation.clone()
            },
        ),
        (
            "evaluation.eval_records",
            Evaluation {
                eval_records: Some(0),
                ..evaluation.clone()
            },
        ),
        (
            "evaluation.early_stopping_patience",
            Evaluation {
                early_stopping_patience: Some(0),
                ..evaluation.clone()
            },
        ),
    ] {
        config.data.dev = (field != "data.dev").then(|| path.clone());
        config.evaluation = Some(wrong);
        let error = read(&config).expect_err("no such evaluation");
        assert!(error.to_string().contains(field), "{error}");
    }
    config.evaluation = None;
    config.grpo.num_generations = 1;
    let error = read(&config).expect_err("a group of one");
    assert!(
        error.to_string().contains("grpo.num_generations"),
        "{error}"
    );
}
