//! Both stages with adapters on a toy: only they learn, a run that was interrupted ends where an uninterrupted one does, and what is
//! written is what PEFT reads. That PEFT does is `model/tests/golden/lora.py`'s.

mod toy {
    pub mod brief;
    pub mod corpus;
}

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use model::init::Init;
use model::save::parameters;
use model::{Adapter, Checkpoint, Files};
use proto::{Form, Ontology, Template};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;
use train::config::SftConfig;
use train::data::read_records;
use train::example::Examples;
use train::grpo::config::GrpoConfig;
use train::loss::response_loss;
use train::merge::{MergeOptions, merge};
use train::optim::{AdamW, AdamWConfig, Grads};
use train::{grpo, sft};

use toy::brief::rewards;
use toy::corpus::corpus;

const BASE: &str = "../model/tests/golden/b";
const WRITTEN: &str = "../model/tests/golden/lora/written";
const FILES: [&str; 3] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "optimizer.bin",
];

fn config(folder: &Path, run: &str) -> SftConfig {
    let folder = folder.display();
    let text = format!(
        "run_dir = '{folder}/{run}'\nmodel.from = '{BASE}'\n\
         data = {{ train = '{folder}/data/train.jsonl', images = '{folder}/data/images' }}\n\
         [training]\nnum_train_epochs = 1.5\ntrain_batch_size = 2\ngradient_accumulation_steps = 2\nworkers = 2\n\
         learning_rate = 2e-2\nwarmup_ratio = 0.2\nmax_grad_norm = 1.0\ntemplates = ['prefix', 'paper']\n\
         group_by_photo = true\nseed = 5\nsave_steps = 2\n\
         [lora]\nr = 4\nlora_alpha = 8\nlora_dropout = 0.1\n"
    );
    toml::from_str(&text).expect("a whole recipe")
}

/// The lines of `metrics.jsonl`, without what tells the time.
fn metrics(run_dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).expect("metrics");
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("our own lines");
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "elapsed" && !name.ends_with("/s"));
        line
    };
    text.lines().map(line).collect()
}

fn numbers(run_dir: &Path, name: &str) -> Vec<f64> {
    let lines = metrics(run_dir).into_iter();
    lines.map(|line| line[name].as_f64().expect(name)).collect()
}

fn same_files(whole: &Path, cut: &Path, step: usize) {
    for file in FILES {
        let read = |run: &Path| {
            let path = run.join(format!("checkpoint-{step}")).join(file);
            std::fs::read(path).expect("saved")
        };
        assert!(read(whole) == read(cut), "{file} differs");
    }
}

#[test]
fn an_interrupted_run_ends_where_an_uninterrupted_one_does() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let device = Device::flex();
    let short = |run: &str| {
        let mut config = config(folder.path(), run);
        config.training.num_train_epochs = 0.75;
        config.training.gradient_accumulation_steps = 1;
        config
    };
    let whole = short("whole");
    let done = sft::run(&whole, std::slice::from_ref(&device)).expect("the run ends");
    assert_eq!(done.steps, 6);
    let mut cut = short("cut");
    cut.training.max_steps = Some(3);
    sft::run(&cut, std::slice::from_ref(&device)).expect("the first part ends");
    cut.training.max_steps = None;
    sft::run(&cut, std::slice::from_ref(&device)).expect("the second part ends");
    assert_eq!(metrics(&whole.run_dir), metrics(&cut.run_dir));
    same_files(&whole.run_dir, &cut.run_dir, 6);
    let losses = numbers(&whole.run_dir, "loss");
    assert!(losses[5] < losses[0] - 2.0, "it learns: {losses:?}");
    looks_as_written(&done.checkpoint);

    // Another share dropped is another run.
    let mut other = short("other");
    other.training.max_steps = Some(2);
    other.lora.as_mut().expect("adapters").lora_dropout = 0.0;
    sft::run(&other, std::slice::from_ref(&device)).expect("the run ends");
    assert_ne!(losses[..2], numbers(&other.run_dir, "loss")[..]);
}

/// The adapter that PEFT was asked about: the same configuration, the same tensors under the same names. Their values depend on the
/// machine.
fn looks_as_written(adapter: &Path) {
    let read = |folder: &Path, file: &str| std::fs::read(folder.join(file)).expect("there");
    let golden = Path::new(WRITTEN);
    assert_eq!(
        String::from_utf8(read(adapter, FILES[0])),
        String::from_utf8(read(golden, FILES[0]))
    );
    let shapes = |folder: &Path| {
        let bytes = read(folder, FILES[1]);
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = tensors.iter();
        let mut shapes: Vec<_> = tensors
            .map(|(name, it)| (name.to_owned(), it.shape().to_vec(), it.dtype()))
            .collect();
        shapes.sort_by(|a, b| a.0.cmp(&b.0));
        shapes
    };
    assert_eq!(shapes(adapter), shapes(golden));
}

/// Makes `model/tests/golden/lora/written` again; then run `golden/lora.py written`.
#[test]
#[ignore = "writes the golden that PEFT is asked about"]
fn write_the_golden() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let done = sft::run(&config(folder.path(), "run"), &[Device::flex()]).expect("the run ends");
    std::fs::create_dir_all(WRITTEN).expect("writable");
    for file in &FILES[..2] {
        std::fs::copy(done.checkpoint.join(file), Path::new(WRITTEN).join(file)).expect("writable");
    }
}

/// What the optimizer touches, counts and keeps is the adapters, and the base keeps every bit.
#[test]
fn only_adapters_learn() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let config = config(folder.path(), "run");
    let device = Device::flex().autodiff();
    let checkpoint = Checkpoint::open(&Files::Dir(BASE.into()), DType::F32, &device);
    let mut checkpoint = checkpoint.expect("the golden checkpoint opens");
    let learning = config.learning();
    let adapted = learning.adapted(checkpoint.network, &Init::adapters(&device, 1));
    checkpoint.network = learning.frozen(adapted);
    let before = parameters(&checkpoint.network);
    let images = folder.path().join("data/images");
    let records = read_records(&config.data.train).expect("just written");
    let mut optimizer = AdamW::new(AdamWConfig::default());
    for record in &records[..2] {
        let examples = Examples {
            checkpoint: &checkpoint,
            ontology: Ontology::more(),
            images: &images,
            target: Form::Label,
            emphasis: None,
        };
        let example = examples.make(record, Template::Prefix, None);
        let loss = response_loss(&checkpoint.network, &[example.expect("a gold record")]);
        let grads = Grads::take(&checkpoint.network, loss.backward());
        checkpoint.network = optimizer.step(checkpoint.network, grads, 1e-3, 1.0);
    }
    let after = parameters(&checkpoint.network);
    for (key, value) in &before {
        let learns = key.contains(".lora.");
        assert_eq!(value == &after[key], !learns, "{key}");
        assert_eq!(optimizer.moments().contains_key(key), learns, "{key}");
    }
    assert_eq!(optimizer.moments().len(), 3 * 7 * 2);
}

/// Served with its base, merged into one, or merged by the command: the same weights, bit for bit.
#[test]
fn a_merged_checkpoint_is_what_is_served() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let out = folder.path().join("merged");
    let options = MergeOptions {
        base: Files::Dir(BASE.into()),
        adapter: Files::Dir(WRITTEN.into()),
        out: out.clone(),
        dtype: Dtype::F32,
    };
    let hash = merge(&options).expect("it is written");
    let open = |dir: PathBuf| {
        let checkpoint = Checkpoint::open(&Files::Dir(dir), DType::F32, &Device::flex());
        checkpoint.expect("a whole checkpoint")
    };
    let base = open(BASE.into());
    let served = base.clone().adapted(&options.adapter).expect("it fits");
    assert_eq!(hash, served.hash);
    let (base, served) = (parameters(&base.network), parameters(&served.network));
    assert_eq!(served, parameters(&open(out.clone()).network));
    assert_eq!(base.len(), served.len());
    let moved = base.iter().filter(|(key, value)| served[*key] != **value);
    let moved: Vec<&String> = moved.map(|(key, _)| key).collect();
    assert_eq!(moved.len(), 3 * 7, "{moved:?}");
    for file in ["config.json", "tokenizer.json", "chat_template.jinja"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let error = merge(&options).expect_err("it is there");
    assert!(error.to_string().contains("is there already"), "{error}");
}

#[test]
fn what_cannot_be_meant_is_named() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    let path = folder.path().join("sft.toml");
    let config = config(folder.path(), "run");
    let read = |change: &dyn Fn(&mut model::LoraConfig)| {
        let mut config = config.clone();
        change(config.lora.as_mut().expect("adapters"));
        std::fs::write(&path, toml::to_string(&config).expect("TOML")).expect("writable");
        SftConfig::read(&path)
    };
    assert_eq!(read(&|_| ()).expect("a whole configuration"), config);
    let error = |change: &dyn Fn(&mut model::LoraConfig)| {
        let error = read(change).expect_err("it cannot be meant");
        error.to_string()
    };
    assert!(error(&|lora| lora.r = 0).contains("lora.r must"));
    assert!(error(&|lora| lora.lora_alpha = 0.0).contains("lora.lora_alpha must"));
    assert!(error(&|lora| lora.lora_dropout = 1.0).contains("lora.lora_dropout must"));
    let named = error(&|lora| lora.target_modules = vec!["qkv".to_owned()]);
    assert!(
        named.contains("lora.target_modules must name some of q_proj"),
        "{named}"
    );
    assert!(error(&|lora| lora.target_modules.clear()).contains("lora.target_modules"));
}

fn stage_two(folder: &Path, run: &str, dropout: f64) -> GrpoConfig {
    let folder = folder.display();
    let text = format!(
        "run_dir = '{folder}/{run}'\nmodel = '{BASE}'\n\
         data = {{ hard = '{folder}/data/dev.jsonl', images = '{folder}/data/images' }}\n\
         mixing = {{ strategy = 'hard-only' }}\n\
         [grpo]\nnum_generations = 4\ntemperature = 1.0\nmax_completion_length = 24\nrewards = ['brief']\nbeta = 0.05\n\
         [training]\nnum_train_epochs = 4\ntrain_batch_size = 2\nworkers = 2\nlearning_rate = 2e-2\nwarmup_ratio = 0.0\n\
         max_grad_norm = 1.0\nseed = 7\nsave_steps = 2\nsave_total_limit = 9\n\
         [lora]\nr = 4\nlora_dropout = {dropout}\n"
    );
    toml::from_str(&text).expect("a whole recipe")
}

#[test]
fn stage_two_learns_with_adapters_and_goes_on_exactly() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let device = Device::flex();
    let whole = stage_two(folder.path(), "whole", 0.1);
    let done = grpo::run(&whole, rewards(), std::slice::from_ref(&device)).expect("the run ends");
    assert_eq!(done.steps, 16, "4 epochs of 2 batches, two updates each");
    let mut cut = stage_two(folder.path(), "cut", 0.1);
    cut.training.max_steps = Some(6);
    grpo::run(&cut, rewards(), std::slice::from_ref(&device)).expect("the first part ends");
    cut.training.max_steps = None;
    grpo::run(&cut, rewards(), std::slice::from_ref(&device)).expect("the second part ends");
    assert_eq!(metrics(&whole.run_dir), metrics(&cut.run_dir));
    same_files(&whole.run_dir, &cut.run_dir, 16);
    // Stage 1 is where it begins: B is zero there, whatever is dropped.
    let mut once = stage_two(folder.path(), "once", 0.1);
    once.grpo.num_iterations = 1;
    once.training.max_steps = Some(1);
    grpo::run(&once, rewards(), std::slice::from_ref(&device)).expect("the run ends");
    let kl = numbers(&once.run_dir, "kl")[0];
    assert!(kl.abs() < 1e-6, "{kl}: the reference adds in another order");
    let kl = numbers(&whole.run_dir, "kl");
    let left = kl.iter().all(|&kl| kl > 1e-3);
    assert!(left, "it leaves the reference: {kl:?}");
    // The adapter it ends with fits the base it began with.
    let checkpoint = Checkpoint::open(&Files::Dir(BASE.into()), DType::F32, &device);
    let adapter = Adapter::open(&Files::Dir(done.checkpoint)).expect("written");
    let mut network = checkpoint.expect("it opens").network;
    adapter.attach(&mut network).expect("it fits");
}

/// Answers are drawn from the adapted network, or nothing could grow.
#[test]
fn what_is_rewarded_grows() {
    let folder = TempDir::new().expect("the temporary folder is writable");
    corpus(folder.path());
    let mut config = stage_two(folder.path(), "run", 0.0);
    config.grpo.beta = 0.0;
    config.grpo.num_generations = 8;
    config.training.num_train_epochs = 16;
    grpo::run(&config, rewards(), &[Device::flex()]).expect("the run ends");
    let rewards = numbers(&config.run_dir, "reward");
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&rewards[..4]), mean(&rewards[rewards.len() - 4..]));
    assert!(last > first + 0.2, "{first} {last}: {rewards:?}");
}
