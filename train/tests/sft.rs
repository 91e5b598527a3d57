//! Supervised fine-tuning end to end on a toy: it learns, it repeats, and a run that was interrupted ends where an
//! uninterrupted one does.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use model::checkpoint::Checkpoint;
use model::{Extractor, Files, Options};
use proto::{Form, Ontology, Template};
use tempfile::TempDir;
use train::config::{DataConfig, ModelConfig, SftConfig, TrainingConfig};
use train::data::{Record, read_records};
use train::eval::{self, EvalOptions};
use train::example::{Example, Examples};
use train::log::Metrics;
use train::loss::response_loss;
use train::optim::{AdamWConfig, Grads};
use train::scratch::{Scratch, ScratchVision};
use train::sft;
use train::synth::{SynthOptions, generate};

fn corpus(folder: &Path) -> PathBuf {
    let out = folder.join("data");
    generate(&SynthOptions {
        out: out.clone(),
        seed: 3,
        train: 16,
        dev: 1,
        test: 4,
        hard: false,
    })
    .expect("the corpus is written");
    out
}

fn config(folder: &Path, run: &str) -> SftConfig {
    SftConfig {
        run_dir: folder.join(run),
        model: ModelConfig {
            from: None,
            scratch: Some(Scratch {
                vocab_size: 400,
                hidden_size: 32,
                intermediate_size: 48,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                num_key_value_heads: 1,
                mrope_section: [2, 3, 3],
                rope_theta: 10_000.0,
                initializer_range: 0.02,
                min_pixels: 3136,
                max_pixels: 3136,
                vision: ScratchVision {
                    depth: 2,
                    hidden_size: 16,
                    intermediate_size: 24,
                    num_heads: 2,
                    fullatt_block_indexes: vec![1],
                },
            }),
        },
        data: DataConfig {
            train: folder.join("data/train.jsonl"),
            images: folder.join("data/images"),
            ontology: None,
            fraction: 1.0,
        },
        training: TrainingConfig {
            num_train_epochs: 1.5,
            train_batch_size: 2,
            gradient_accumulation_steps: 2,
            workers: 2,
            learning_rate: 3e-3,
            warmup_ratio: 0.2,
            max_grad_norm: 1.0,
            adamw: AdamWConfig::default(),
            freeze: vec![],
            target: Form::Trace,
            templates: vec![Template::Prefix, Template::Paper],
            group_by_photo: true,
            emphasis: None,
            shorten: None,
            seed: 5,
            save_steps: 2,
            save_total_limit: 2,
            logging_steps: 1,
            max_steps: None,
        },
    }
}

fn metrics(config: &SftConfig) -> Vec<Metrics> {
    let text = std::fs::read_to_string(config.run_dir.join("metrics.jsonl"))
        .expect("the run wrote metrics");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("our own lines"))
        .collect()
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let device = Device::flex();
    let whole = config(folder.path(), "whole");
    let done = sft::run(&whole, &device).expect("the run ends");
    assert_eq!(done.steps, 6, "1.5 epochs of 16 records in steps of 4");

    let mut cut = config(folder.path(), "cut");
    cut.training.max_steps = Some(3);
    sft::run(&cut, &device).expect("the first part ends");
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
    sft::run(&cut, &device).expect("the second part ends");

    let essence = |config: &SftConfig| {
        metrics(config)
            .iter()
            .map(|m| (m.step, m.loss, m.learning_rate, m.grad_norm))
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

/// What is shared in a pass is computed once; nobody learns anything else by it.
#[test]
fn examples_in_one_pass_learn_what_each_learns_alone() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let data = corpus(folder.path());
    let mut config = config(folder.path(), "run");
    config.training.max_steps = Some(1);
    sft::run(&config, &Device::flex()).expect("the run ends");
    let files = Files::Dir(config.run_dir.join("checkpoint-1"));
    let device = Device::flex().autodiff();
    let checkpoint = Checkpoint::open(&files, DType::F32, &device).expect("a whole checkpoint");
    let examples = Examples {
        checkpoint: &checkpoint,
        ontology: Ontology::more(),
        images: &data.join("images"),
        target: Form::Trace,
        emphasis: None,
    };
    let records = read_records(&config.data.train).expect("just written");
    let learn = |examples: &[Example], sign: f64| {
        let loss = response_loss(&checkpoint.network, examples);
        let value = loss.clone().into_scalar::<f32>();
        (
            value,
            Grads::take(&checkpoint.network, (loss * sign).backward()),
        )
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

#[test]
fn another_configuration_does_not_go_on_with_the_run() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = config(folder.path(), "run");
    config.training.max_steps = Some(1);
    sft::run(&config, &Device::flex()).expect("the run ends");
    config.training.learning_rate = 1e-3;
    let error = sft::run(&config, &Device::flex()).expect_err("the recipe has changed");
    assert!(
        error.to_string().contains("another configuration"),
        "{error}"
    );
}

#[test]
fn frozen_parts_keep_their_values_and_the_rest_learns() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = config(folder.path(), "run");
    config.training.max_steps = Some(2);
    config.training.freeze = vec!["visual".into()];
    sft::run(&config, &Device::flex()).expect("the run ends");
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
    let mut config = config(folder.path(), "run");
    config.training.max_steps = Some(1);
    let summary = sft::run(&config, &Device::flex()).expect("the run ends");
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
    let mut config = config(folder.path(), "run");
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
    let summary = sft::run(&config, &Device::flex()).expect("no trace is asked for");
    let losses: Vec<f64> = metrics(&config).iter().map(|m| m.loss).collect();
    assert!(losses[5] < losses[0] - 0.2, "it learns: {losses:?}");

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
