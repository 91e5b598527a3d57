//! Supervised fine-tuning end to end on a toy: it learns, it repeats, and a run that was interrupted ends where an
//! uninterrupted one does.

mod toy {
    pub mod corpus;
    pub mod run;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use model::checkpoint::Checkpoint;
use model::{Extractor, Files, Options};
use proto::{Form, Ontology, Template};
use serde_json::Value;
use tempfile::TempDir;
use train::config::{Emphasis, SftConfig};
use train::data::{Record, read_records};
use train::eval::{self, EvalOptions};
use train::example::{Example, Examples};
use train::log::Metrics;
use train::loss::{chosen, response_loss};
use train::optim::{Grads, Learning};
use train::pass::{How, Pass};
use train::watch::{Evaluation, Metric};
use train::{Error, sft};

use toy::corpus::corpus;
use toy::run::recipe;

fn metrics(config: &SftConfig) -> Vec<Metrics> {
    toy::run::metrics(&config.run_dir)
}

/// A toy after one step of Stage 1, on a device that keeps gradients.
struct Trained {
    images: PathBuf,
    records: Vec<Record>,
    checkpoint: Checkpoint,
}

impl Trained {
    fn new(folder: &Path) -> Self {
        corpus(folder);
        let mut config = recipe(folder, "run");
        config.training.max_steps = Some(1);
        let done = sft::run(&config, &[Device::flex()]).expect("the run ends");
        let device = Device::flex().autodiff();
        let checkpoint = Checkpoint::open(&Files::Dir(done.checkpoint), DType::F32, &device);
        Self {
            images: config.data.images,
            records: read_records(&config.data.train).expect("just written"),
            checkpoint: checkpoint.expect("a whole checkpoint"),
        }
    }

    fn examples(&self) -> Examples<'_> {
        Examples {
            checkpoint: &self.checkpoint,
            ontology: Ontology::more(),
            images: &self.images,
            target: Form::Trace,
            emphasis: None,
        }
    }
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let devices = [Device::flex()];
    let whole = recipe(folder.path(), "whole");
    let done = sft::run(&whole, &devices).expect("the run ends");
    assert_eq!(done.steps, 6, "1.5 epochs of 16 records in steps of 4");

    let mut cut = recipe(folder.path(), "cut");
    cut.training.max_steps = Some(3);
    sft::run(&cut, &devices).expect("the first part ends");
    // What a kill may leave: a checkpoint half written, and a metric line behind the last checkpoint.
    std::fs::create_dir_all(cut.run_dir.join("checkpoint-4.tmp")).expect("writable");
    std::fs::write(
        cut.run_dir.join("checkpoint-4.tmp/model.safetensors"),
        b"half",
    )
    .expect("writable");
    let log = cut.run_dir.join("metrics.jsonl");
    let mut text = std::fs::read_to_string(&log).expect("written");
    text.push_str(
        &text
            .lines()
            .last()
            .expect("a line")
            .replace("\"step\":3", "\"step\":4"),
    );
    text.push_str("\n{\"step\":5,");
    std::fs::write(&log, text).expect("writable");
    cut.training.max_steps = None;
    sft::run(&cut, &devices).expect("the second part ends");

    let essence = |config: &SftConfig| {
        metrics(config)
            .iter()
            .map(|m| (m.step, m.loss, m.lr, m.grad_norm))
            .collect::<Vec<_>>()
    };
    assert_eq!(essence(&whole), essence(&cut), "every loss, bit for bit");
    for file in ["model.safetensors", "optimizer.bin"] {
        let read = |config: &SftConfig| {
            std::fs::read(config.run_dir.join("checkpoint-6").join(file)).expect("saved")
        };
        assert!(read(&whole) == read(&cut), "{file} differs");
    }
    let losses: Vec<f64> = metrics(&whole).iter().map(|m| m.loss).collect();
    assert!(losses[5] < losses[0] - 0.2, "it learns: {losses:?}");
    assert!(
        !whole.run_dir.join("checkpoint-2").exists(),
        "only the newest two are kept"
    );
}

/// A line tells of the steps since the last one, also where a checkpoint lies between them.
#[test]
fn lines_do_not_depend_on_where_a_run_was_interrupted() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let run = |name: &str, cuts: &[usize]| {
        let mut config = recipe(folder.path(), name);
        config.training.save_steps = 3;
        config.training.logging_steps = 2;
        for &cut in cuts {
            config.training.max_steps = Some(cut);
            sft::run(&config, &[Device::flex()]).expect("a part ends");
        }
        config.training.max_steps = None;
        sft::run(&config, &[Device::flex()]).expect("the run ends");
        let line = |m: &Metrics| (m.step, m.loss, m.lr, m.grad_norm);
        metrics(&config).iter().map(line).collect::<Vec<_>>()
    };
    let whole = run("whole", &[]);
    assert_eq!(whole.iter().map(|it| it.0).collect::<Vec<_>>(), [2, 4, 6]);
    assert_eq!(whole, run("cut", &[3]));
    assert_eq!(whole, run("cut-twice", &[1, 5]));
}

/// The evaluations of a run, step and the numbers by name.
fn evaluations(run_dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().filter(|line| line.contains("\"eval/"));
    lines
        .map(|line| serde_json::from_str(line).expect("our own lines"))
        .collect()
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the run wrote it");
    serde_json::from_str(&text).expect("JSON")
}

/// A rate of next to nothing leaves the loss where it is, so the first evaluation stays the best.
#[test]
fn a_run_keeps_its_best_checkpoint_and_ends_when_nothing_better_comes() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let data = corpus(folder.path());
    let run = |name: &str, cuts: &[usize]| {
        let mut config = recipe(folder.path(), name);
        config.data.dev = Some(data.join("test.jsonl"));
        config.training.num_train_epochs = 4.0;
        config.training.learning_rate = 1e-12;
        config.training.warmup_ratio = 0.0;
        config.training.save_steps = 3;
        config.training.save_total_limit = 1;
        config.evaluation = Some(Evaluation {
            eval_steps: 2,
            metric_for_best_model: Metric::Loss,
            early_stopping_patience: Some(3),
            eval_records: Some(3),
            eval_batch_size: 2,
        });
        for &cut in cuts {
            config.training.max_steps = Some(cut);
            sft::run(&config, &[Device::flex()]).expect("a part ends");
        }
        config.training.max_steps = None;
        let done = sft::run(&config, &[Device::flex()]).expect("the run ends");
        (config, done)
    };
    let (config, done) = run("whole", &[]);
    let told = evaluations(&config.run_dir);
    println!("{told:?}");
    let losses = told.iter().map(|it| it["eval/loss"].as_f64());
    let losses: Vec<f64> = losses.collect::<Option<_>>().expect("the loss of each");
    let (place, least) = losses
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(b.1))
        .expect("there were some");
    // Three evaluations behind the best, and no more steps, though the schedule has sixteen.
    assert_eq!(losses.len(), place + 4, "{losses:?}");
    assert!(
        done.stopped_early && done.steps == 2 * losses.len() && done.steps < 16,
        "{done:?}"
    );
    let best = done.standing.best.expect("a best");
    assert_eq!((best.step, best.value), (2 * (place + 1), *least));
    let file = json(&config.run_dir.join("best.json"));
    let path = format!("checkpoint-{}", best.step);
    assert_eq!(
        file,
        serde_json::json!({"step": best.step, "metric": "loss", "value": least, "path": path})
    );
    // The best and the last, and no other.
    let mut kept: Vec<usize> = vec![];
    for entry in std::fs::read_dir(&config.run_dir).expect("the run's folder") {
        let name = entry.expect("readable").file_name();
        kept.extend(
            name.to_str()
                .and_then(|it| it.strip_prefix("checkpoint-")?.parse::<usize>().ok()),
        );
    }
    kept.sort_unstable();
    assert_eq!(kept, [best.step, done.steps]);

    // Interrupted between evaluations and on one: the same numbers, the same end.
    let (cut, again) = run("cut", &[3, 4]);
    assert_eq!(evaluations(&cut.run_dir), told);
    assert_eq!(metrics(&cut).len(), metrics(&config).len());
    assert_eq!((again.steps, again.standing), (done.steps, done.standing));
    // Asked once more it stays ended; with more patience it goes on.
    let once_more = sft::run(&cut, &[Device::flex()]).expect("nothing is left to do");
    assert_eq!(
        (once_more.steps, once_more.stopped_early),
        (done.steps, true)
    );
    let mut patient = cut.clone();
    let evaluation = patient.evaluation.as_mut().expect("set above");
    evaluation.early_stopping_patience = None;
    patient.training.max_steps = Some(done.steps + 1);
    let more = sft::run(&patient, &[Device::flex()]).expect("it goes on");
    assert_eq!((more.steps, more.stopped_early), (done.steps + 1, false));
}

#[test]
fn answers_are_evaluated_as_eval_does() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let data = corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.data.dev = Some(data.join("test.jsonl"));
    config.training.max_steps = Some(2);
    config.evaluation = Some(Evaluation {
        eval_steps: 2,
        metric_for_best_model: Metric::Accuracy,
        early_stopping_patience: None,
        eval_records: None,
        eval_batch_size: 2,
    });
    let summary = sft::run(&config, &[Device::flex()]).expect("the run ends");
    let files = Files::Dir(summary.checkpoint);
    let options = Options {
        template: config.training.templates[0],
        ..Options::default()
    };
    let extractor = Extractor::open("toy", &files, Ontology::more().clone(), options);
    let options = EvalOptions {
        data: data.join("test.jsonl"),
        images: data.join("images"),
        limit: None,
        blank_images: false,
        shuffle_text: false,
        batch_size: 3,
    };
    let scores = eval::run(&extractor.expect("opens"), &options)
        .expect("answers")
        .scores;
    let line = serde_json::json!(
        {"step": 2, "eval/accuracy": scores.accuracy, "eval/f1": scores.micro_f1}
    );
    assert_eq!(evaluations(&config.run_dir), [line]);
    let best = summary.standing.best.expect("the only one");
    assert_eq!((best.step, best.value), (2, scores.accuracy));
    let again = sft::run(&config, &[Device::flex()]).expect("a run that has ended");
    assert_eq!((again.steps, again.loss), (2, None));

    // A photo to evaluate on that is not there is missed before the first step.
    let text = std::fs::read_to_string(data.join("test.jsonl")).expect("readable");
    let last = text.lines().last().expect("a record");
    let mut last: serde_json::Value = serde_json::from_str(last).expect("a record");
    last["img_id"] = "gone.jpg".into();
    let dev = data.join("gone.jsonl");
    std::fs::write(&dev, format!("{text}{last}\n")).expect("writable");
    config.data.dev = Some(dev);
    config.run_dir = folder.path().join("gone");
    let error = sft::run(&config, &[Device::flex()]).expect_err("no photo");
    assert!(error.to_string().contains("gone.jpg"), "{error}");
    let told = std::fs::read_to_string(config.run_dir.join("metrics.jsonl"));
    assert_eq!(told.unwrap_or_default(), "");
}

/// What no run can be made of is named before anything is written or learned.
#[test]
fn what_cannot_be_meant_is_named() {
    type Change = fn(&mut SftConfig);
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let path = folder.path().join("sft.toml");
    let made: [(&str, Change); 8] = [
        ("training.learning_rate must be a finite", |it| {
            it.training.learning_rate = f64::INFINITY;
        }),
        ("training.max_grad_norm must be a finite", |it| {
            it.training.max_grad_norm = f64::INFINITY;
        }),
        ("training.adamw.beta_1", |it| it.training.adamw.beta_1 = 1.0),
        ("training.adamw.beta_1 and beta_2", |it| {
            it.training.adamw.beta_2 = -0.1;
        }),
        ("training.adamw.epsilon", |it| {
            it.training.adamw.epsilon = 0.0;
        }),
        ("training.adamw.weight_decay", |it| {
            it.training.adamw.weight_decay = -0.1;
        }),
        ("training.max_steps", |it| it.training.max_steps = Some(0)),
        ("training.warmup_ratio", |it| it.training.warmup_ratio = 1.0),
    ];
    for (field, change) in made {
        let mut config = recipe(folder.path(), "run");
        change(&mut config);
        std::fs::write(&path, toml::to_string(&config).expect("TOML")).expect("writable");
        let error = SftConfig::read(&path).expect_err(field).to_string();
        assert!(error.contains(field), "{field}: {error}");
    }
    let run: [(&str, Change); 4] = [
        ("no parameter's key begins with \"vision_tower\"", |it| {
            it.training.freeze = vec!["vision_tower".to_owned()];
        }),
        ("leaves nothing that learns", |it| {
            it.training.freeze = ["visual", "model"].map(str::to_owned).into();
        }),
        ("no records", |it| {
            it.data.train = it.data.train.with_file_name("none.jsonl");
            std::fs::write(&it.data.train, "\n").expect("writable");
        }),
        ("no trace to learn from", |it| {
            let text = std::fs::read_to_string(&it.data.train).expect("readable");
            let last = text.lines().last().expect("a record");
            let mut last: Value = serde_json::from_str(last).expect("a record");
            last.as_object_mut().expect("a record").remove("trace");
            it.data.train = it.data.train.with_file_name("traceless.jsonl");
            std::fs::write(&it.data.train, format!("{text}{last}\n")).expect("writable");
        }),
    ];
    for (place, (reason, change)) in run.into_iter().enumerate() {
        let mut config = recipe(folder.path(), &format!("run-{place}"));
        change(&mut config);
        let error = sft::run(&config, &[Device::flex()]).expect_err(reason);
        assert!(error.to_string().contains(reason), "{reason}: {error}");
        assert!(!config.run_dir.join("metrics.jsonl").exists(), "{reason}");
    }
}

/// A run goes on only with what it was begun with, wherever its folder lies by then.
#[test]
fn a_run_says_what_it_is_made_of_and_keeps_to_it() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.training.learning_rate = 0.012_345_678_901_234_567; // more digits than a reader of floats in a hurry keeps
    config.training.max_steps = Some(1);
    let train = |config: &SftConfig| sft::run(config, &[Device::flex()]);
    train(&config).expect("the run ends");
    let read = |name: &str| std::fs::read_to_string(config.run_dir.join(name)).expect("written");
    let run: Value = serde_json::from_str(&read("run.json")).expect("JSON");
    assert_eq!(run["seed"], config.training.seed);
    assert!(run["version"].is_string() && run.get("revision").is_some());
    let digest = &run["data"][config.data.train.to_str().expect("a plain path")];
    assert_eq!(digest.as_str().map(str::len), Some(64));
    assert!(read("config.toml").contains("bf16 = false"), "defaults too");

    let moved = folder.path().join("moved");
    std::fs::rename(&config.run_dir, &moved).expect("the same disk");
    config.run_dir = moved;
    config.training.max_steps = Some(2);
    assert_eq!(train(&config).expect("it goes on").steps, 2);

    let mut other = config.clone();
    other.training.warmup_ratio += 0.25;
    let error = train(&other).expect_err("another run").to_string();
    assert!(error.contains("another configuration"), "{error}");

    let records = std::fs::read_to_string(&config.data.train).expect("readable");
    let first = records.lines().next().expect("a record");
    std::fs::write(&config.data.train, format!("{records}{first}\n")).expect("writable");
    let error = train(&config).expect_err("other data").to_string();
    assert!(error.contains("has changed since"), "{error}");
}

/// Losses and gradient norms of a run, and its last weights by key.
fn outcome(config: &SftConfig, devices: &[Device]) -> (Vec<(f64, f64)>, Weights) {
    let done = sft::run(config, devices).expect("the run ends");
    let told = metrics(config)
        .iter()
        .map(|m| (m.loss, m.grad_norm))
        .collect();
    let files = Files::Dir(done.checkpoint);
    let checkpoint = Checkpoint::open(&files, DType::F32, &Device::flex()).expect("just written");
    (told, model::save::parameters(&checkpoint.network))
}

type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// How far `a` is from `b`, as a share of the way that `b` has come from `start`.
fn apart(a: &Weights, b: &Weights, start: &Weights) -> f64 {
    let distance = |a: &Weights, b: &Weights| {
        let squares = a.iter().flat_map(|(key, (_, values))| {
            let pairs = values.iter().zip(&b[key].1);
            pairs.map(|(a, b)| f64::from(a - b).powi(2))
        });
        squares.sum::<f64>().sqrt()
    };
    distance(a, b) / distance(b, start)
}

/// Data parallelism: the same records a step give the same run, whoever computes them. Where the order of sums is the same, so is
/// every bit.
#[test]
fn two_ranks_are_one_rank_with_twice_the_batch() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let run = |name: &str, workers: usize, batch: usize, devices: &[Device]| {
        let mut config = recipe(folder.path(), name);
        config.training.group_by_photo = false;
        config.training.workers = workers;
        config.training.train_batch_size = batch;
        config.training.gradient_accumulation_steps = 4 / batch;
        config.training.max_steps = Some(3);
        outcome(&config, devices)
    };
    let flex = Device::flex();
    let two = run("two", 2, 4, &[flex.clone(), flex.clone()]);
    let (told, weights) = &two;
    // Passes of two records, one after another: the same sums in the same order.
    assert!(two == run("accumulated", 1, 2, std::slice::from_ref(&flex)));
    assert!(two == run("threads", 2, 4, std::slice::from_ref(&flex)));
    // One pass of four: products of other shapes add in another order.
    let (once, alone) = run("one", 1, 4, std::slice::from_ref(&flex));
    let files = Files::Dir(folder.path().join("one/base"));
    let base = Checkpoint::open(&files, DType::F32, &flex).expect("the run made it");
    let start = model::save::parameters(&base.network);
    let share = apart(weights, &alone, &start);
    println!("weights {share:.2e} apart, {told:?} {once:?}");
    assert_eq!(told.len(), 3);
    for ((loss, norm), (one_loss, one_norm)) in told.iter().zip(&once) {
        assert!(
            (loss - one_loss).abs() < 1e-5 * one_loss,
            "{told:?} {once:?}"
        );
        assert!(
            (norm - one_norm).abs() < 1e-4 * one_norm,
            "{told:?} {once:?}"
        );
    }
    // AdamW divides by the root of the mean square, so that rounding counts in full where a gradient is nearly nothing.
    assert!(share < 1e-2, "{share}");
}

#[test]
fn devices_share_the_workers_evenly() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.training.workers = 3;
    let error = sft::run(&config, &[Device::flex(), Device::flex()]).expect_err("one is left over");
    let said = error.to_string();
    assert!(
        said.contains("training.workers is 3") && said.contains('2'),
        "{said}"
    );
}

/// What is shared in a pass is computed once; nobody learns anything else by it.
#[test]
fn examples_in_one_pass_learn_what_each_learns_alone() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let toy = Trained::new(folder.path());
    let (network, records, examples) = (&toy.checkpoint.network, &toy.records, toy.examples());
    let learn = |examples: &[Example], sign: f64| {
        let loss = response_loss(network, examples);
        let value = loss.clone().into_scalar::<f32>();
        (value, Grads::take(network, (loss * sign).backward()))
    };
    // Neighbours share the photo, the others only the task; one of them is cut.
    let mut photos: Vec<&Record> = records.iter().collect();
    photos.dedup_by_key(|record| &record.img_id);
    let neighbours: Vec<&Record> = records[..3].iter().collect();
    for (chosen, template) in [
        (&neighbours, Template::Prefix),
        (&neighbours, Template::Paper),
        (&photos, Template::Prefix),
    ] {
        let chosen = chosen.iter().zip([None, Some(2), None]);
        let made: Vec<Example> = chosen
            .map(|(record, steps)| {
                let made = examples.make(record, template, steps);
                made.expect("a gold record")
            })
            .collect();
        assert!(made[1].ids.len() < made[0].ids.len());
        let (together, opposite) = learn(&made, -1.0);
        let (mut alone, mut sum) = (0.0, Grads::default());
        for example in &made {
            let (loss, grads) = learn(std::slice::from_ref(example), 1.0);
            alone += loss;
            sum.add(grads);
        }
        assert!(
            (together - alone).abs() < 1e-3 * alone,
            "{together} {alone}"
        );
        let norm = sum.norm();
        sum.add(opposite);
        assert!(sum.norm() < 1e-4 * norm, "{} of {norm}", sum.norm());
    }
}

/// What is computed again on the way back is what it was but for rounding, so the gradient is too, whatever learns. In bf16 it is near.
#[test]
fn a_pass_learns_the_same_however_it_is_computed() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let toy = Trained::new(folder.path());
    let (network, records, examples) = (&toy.checkpoint.network, &toy.records, toy.examples());
    let made = records[..3].iter();
    let made = made.map(|record| examples.make(record, Template::Prefix, None));
    let made: Vec<Example> = made.collect::<Result<_, _>>().expect("gold records");
    for freeze in [
        &[][..],
        &["visual"],
        &["visual", "model.embed_tokens", "model.layers.0."],
        &["model"],
    ] {
        let freeze: Vec<String> = freeze.iter().map(|&it| it.to_owned()).collect();
        let learning = Learning {
            lora: None,
            freeze: &freeze,
        };
        let network = learning.frozen(network.clone());
        let learn = |how: How, sign: f64| {
            let pass = Pass {
                network: &network,
                examples: &made,
                temperature: Some(0.8),
                how,
            };
            pass.gradient(|scores| {
                let loss = chosen(scores, &made).sum().neg();
                let value = loss.clone().into_scalar::<f32>();
                (loss * sign, value)
            })
        };
        let kept = How::default();
        let again = How {
            gradient_checkpointing: true,
            ..kept
        };
        let (mut difference, loss) = learn(kept, -1.0);
        let (other, same) = learn(again, 1.0);
        let norm = other.norm();
        difference.add(other);
        // The way there keeps no tape, so kernels of our own compute it, and burn's operations what is computed again.
        let near_enough = |a: f32, b: f32| (a - b).abs() <= 1e-5 * a.abs();
        assert!(norm > 0.0 && near_enough(loss, same), "{freeze:?}");
        assert!(
            difference.norm() <= 1e-5 * norm,
            "{freeze:?}: {} of {norm}",
            difference.norm()
        );

        let half = |how: How| How { bf16: true, ..how };
        let (mut difference, near) = learn(half(kept), -1.0);
        let (other, same) = learn(half(again), 1.0);
        let (exact, _) = learn(kept, 1.0);
        assert!((near - same).abs() < 1e-3 * loss && (near - loss).abs() < 1e-2 * loss);
        let mut error = learn(half(kept), -1.0).0;
        error.add(exact);
        println!("{freeze:?}: bf16 {:.2e} of {norm:.2e}", error.norm());
        assert!(
            error.norm() < 0.1 * norm && error.norm() > 0.0,
            "{freeze:?}"
        );
        difference.add(other);
        assert!(
            difference.norm() <= 1e-2 * norm,
            "{freeze:?}: {} of {norm} in bf16",
            difference.norm()
        );
    }
}

/// Updates far below what bf16 can tell apart are learned, since the weights themselves are f32.
#[test]
fn a_run_in_bf16_learns_like_one_in_f32() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut exact = recipe(folder.path(), "exact");
    exact.training.learning_rate = 3e-3;
    let mut half = exact.clone();
    half.run_dir = folder.path().join("half");
    half.training.bf16 = true;
    half.training.gradient_checkpointing = true;
    let losses = |config: &SftConfig| {
        let done = sft::run(config, &[Device::flex()]).expect("the run ends");
        let losses: Vec<f64> = metrics(config).iter().map(|it| it.loss).collect();
        (losses, done.checkpoint)
    };
    let (exact, _) = losses(&exact);
    let (rounded, checkpoint) = losses(&half);
    println!("{exact:?} {rounded:?}");
    assert!(rounded[5] < rounded[0] - 0.2, "it learns: {rounded:?}");
    for (a, b) in exact.iter().zip(&rounded) {
        let gap = (a - b).abs();
        assert!(gap > 1e-6 * a && gap < 0.02 * a, "{exact:?} {rounded:?}");
    }
    let files = Files::Dir(checkpoint);
    let saved = Checkpoint::open(&files, DType::F32, &Device::flex()).expect("just written");
    let weights = model::save::parameters(&saved.network);
    let fine = |value: &&f32| value.to_bits() & 0xffff != 0;
    let (count, all) = weights.values().fold((0, 0), |(count, all), (_, values)| {
        (
            count + values.iter().filter(fine).count(),
            all + values.len(),
        )
    });
    assert!(2 * count > all, "{count} of {all} are finer than bf16");
}

/// Where a loss is a number and its gradient is none, a step would spoil the weights, or learn nothing and say so to nobody.
#[test]
fn a_gradient_that_is_no_number_ends_the_run() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.training.emphasis = Some(Emphasis {
        phrases: vec![" the same name".to_owned(), " a difference".to_owned()],
        weight: 1e30, // whose square is beyond f32
    });
    match sft::run(&config, &[Device::flex()]) {
        Err(Error::Diverged {
            step: 1,
            loss,
            grad_norm,
        }) => assert!(loss.is_finite() && !grad_norm.is_finite()),
        other => panic!("{other:?}"),
    }
    assert!(!config.run_dir.join("checkpoint-1").exists());
}

#[test]
fn another_configuration_does_not_go_on_with_the_run() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.training.max_steps = Some(1);
    sft::run(&config, &[Device::flex()]).expect("the run ends");
    config.training.learning_rate = 1e-3;
    let error = sft::run(&config, &[Device::flex()]).expect_err("the recipe has changed");
    assert!(
        error.to_string().contains("another configuration"),
        "{error}"
    );
}

#[test]
fn where_a_first_try_failed_the_next_may_be_another() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    let right = config.model.clone();
    config.model.from = Some(folder.path().join("nothing"));
    config.model.scratch = None;
    sft::run(&config, &[Device::flex()]).expect_err("there is no such checkpoint");
    config.model = right;
    config.training.max_steps = Some(1);
    sft::run(&config, &[Device::flex()]).expect("nothing was begun");
    let noted = std::fs::read_to_string(config.run_dir.join("config.toml")).expect("it is noted");
    assert!(!noted.contains("nothing"), "{noted}");
}

#[test]
fn frozen_parts_keep_their_values_and_the_rest_learns() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.training.max_steps = Some(2);
    config.training.freeze = vec!["visual".into()];
    sft::run(&config, &[Device::flex()]).expect("the run ends");
    let open = |name: &str| {
        let files = Files::Dir(config.run_dir.join(name));
        let checkpoint =
            Checkpoint::open(&files, DType::F32, &Device::flex()).expect("a whole checkpoint");
        model::save::parameters(&checkpoint.network)
    };
    let (before, after) = (open("base"), open("checkpoint-2"));
    for (key, value) in &before {
        let same = value == &after[key];
        assert_eq!(same, key.starts_with("visual."), "{key}");
    }
}

#[test]
fn an_untrained_model_already_follows_the_grammar() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let data = corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    config.training.max_steps = Some(1);
    let summary = sft::run(&config, &[Device::flex()]).expect("the run ends");
    let files = Files::Dir(summary.checkpoint);
    let extractor = Extractor::open("toy", &files, Ontology::more().clone(), Options::default())
        .expect("opens");
    let options = EvalOptions {
        data: data.join("test.jsonl"),
        images: data.join("images"),
        limit: Some(3),
        blank_images: true,
        shuffle_text: true,
        batch_size: 2,
    };
    let report = eval::run(&extractor, &options).expect("every record is answered");
    assert_eq!(report.records, 3);
    assert!(
        (report.valid_traces - 1.0).abs() < 1e-9,
        "the grammar is forced: {:?}",
        report.answers
    );
}

/// The paper's baseline: labels without reasons, from records that need no traces.
#[test]
fn a_model_learns_to_answer_with_the_label_alone() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let data = corpus(folder.path());
    let mut config = recipe(folder.path(), "run");
    let records = read_records(&config.data.train).expect("just written");
    let lines = records.into_iter().map(|record| {
        let bare = Record {
            trace: None,
            ..record
        };
        serde_json::to_string(&bare).expect("plain data")
    });
    config.data.train = data.join("bare.jsonl");
    let lines = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(&config.data.train, lines).expect("writable");
    config.training.target = Form::Label;
    let summary = sft::run(&config, &[Device::flex()]).expect("no trace is asked for");
    let losses: Vec<f64> = metrics(&config).iter().map(|m| m.loss).collect();
    assert!(losses[5] < losses[0] - 0.2, "it learns: {losses:?}");
    // Traces that are there change nothing: no token is made of words that it will not read or write.
    let mut traced = recipe(folder.path(), "traced");
    traced.training.target = Form::Label;
    traced.training.max_steps = Some(0);
    sft::run(&traced, &[Device::flex()]).expect("a tokenizer is made");
    let tokenizer = |run: &SftConfig| {
        let path = run.run_dir.join("base/tokenizer.json");
        std::fs::read_to_string(path).expect("it was written")
    };
    assert!(tokenizer(&config) == tokenizer(&traced));

    let options = Options {
        form: Form::Label,
        ..Options::default()
    };
    let files = Files::Dir(summary.checkpoint);
    let extractor = Extractor::open("toy", &files, Ontology::more().clone(), options);
    let report = eval::run(
        &extractor.expect("opens"),
        &EvalOptions {
            data: data.join("test.jsonl"),
            images: data.join("images"),
            limit: None,
            blank_images: false,
            shuffle_text: false,
            batch_size: 2,
        },
    )
    .expect("every record is answered");
    assert!(report.records > 0, "there are records to test by");
    for answer in &report.answers {
        let said = answer.said.as_deref().expect("the form is forced");
        assert_eq!(answer.raw, format!("<answer>{said}</answer>"));
        assert_eq!(answer.probabilities.len(), Ontology::more().labels.len());
    }
    assert!((report.valid_traces - 1.0).abs() < 1e-9);
    let json = serde_json::to_value(&report).expect("plain data");
    assert!(json["micro_f1"].is_number() && json["accuracy"].is_number());
    assert_eq!(report.statements, None, "there are no steps to agree with");
    assert!(json.get("consistent_traces").is_none() && json.get("types_agree").is_none());
}
