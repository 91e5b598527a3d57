//! Checkpoints of a run on disk: a directory in Hugging Face layout, or an adapter in PEFT's, with the optimizer beside. A checkpoint appears whole or
//! not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Tensor, TensorData};
use model::adapter::{Adapter, save as save_adapter};
use model::save::{save as save_weights, write as write_tensors};
use model::{Files, LoraConfig, Qwen, calibration, init::Init, weights};
use safetensors::{Dtype, SafeTensors};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::log::Sums;
use crate::optim::{AdamW, AdamWConfig};
use crate::part::Part;
use crate::watch::{Best, Standing};

/// Where a checkpoint keeps its [`State`].
pub(crate) const STATE: &str = "trainer_state.json";
/// Where a run says which of its checkpoints is the best.
const BEST: &str = "best.json";
const OPTIMIZER: &str = "optimizer.bin"; // safetensors inside; the name keeps it apart from the weights

/// The configuration of a run, as far as its checkpoints are concerned.
pub trait RunConfig: Clone + PartialEq + Serialize + DeserializeOwned {
    /// Where they go.
    fn run_dir(&self) -> &Path;
    /// The optimizer's constants.
    fn adamw(&self) -> AdamWConfig;
    /// How many of them are kept.
    fn save_total_limit(&self) -> usize;
    /// The adapters that learn, if only they do.
    fn lora(&self) -> Option<&LoraConfig>;
    /// Starts every random stream.
    fn seed(&self) -> u64;
    /// The files of records and relations.
    fn data(&self) -> Vec<&Path>;
    /// The configuration without what is no part of what a run computes, such as where it stops early and where it is kept.
    #[must_use]
    fn essence(&self) -> Self;
}

/// Where a run stands. Random streams and data order follow from the step.
#[derive(Debug, Serialize, Deserialize)]
struct State<C> {
    step: usize,
    optimizer_steps: u32,
    /// Absent from checkpoints of earlier versions.
    #[serde(default)]
    since: Sums,
    #[serde(default)]
    standing: Standing,
    config: C,
}

/// What a checkpoint is made of.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// Steps done.
    pub step: usize,
    /// The network after them.
    pub network: &'a Qwen,
    /// The optimizer after them.
    pub optimizer: &'a AdamW,
    /// What no line of metrics has told yet.
    pub since: Sums,
    /// How its evaluations went.
    pub standing: Standing,
}

/// What is needed to go on.
#[derive(Debug)]
pub struct Resumed {
    /// Steps done.
    pub step: usize,
    /// The network after them.
    pub network: Qwen,
    /// The optimizer after them.
    pub optimizer: AdamW,
    /// What no line of metrics has told yet.
    pub since: Sums,
    /// How its evaluations went.
    pub standing: Standing,
}

/// The best checkpoint of a run, as [`BEST`] says it.
#[derive(Debug, Serialize)]
struct BestFile {
    #[serde(flatten)]
    best: Best,
    /// Its folder in that of the run.
    path: String,
}

/// Copies everything of the checkpoint `from` that is not weights, nor fitted to them.
///
/// # Errors
/// A file that cannot be read or written.
pub fn copy_static(from: &Files, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(Error::io(to))?;
    for suffix in [".json", ".jinja", ".txt"] {
        for name in from.names(suffix)? {
            let own = [STATE, calibration::FILE].contains(&name.as_str());
            if own || name.ends_with(".safetensors.index.json") {
                continue;
            }
            let bytes = from.read(&name)?.expect("just listed");
            std::fs::write(to.join(&name), bytes).map_err(Error::io(to.join(&name)))?;
        }
    }
    Ok(())
}

/// Writes a checkpoint beside, renames it, says in [`BEST`] which is the best, and drops all but that and the newest
/// `save_total_limit`.
///
/// # Errors
/// A file that cannot be written; older checkpoints are untouched.
pub fn save<C: RunConfig>(
    base: &Path,
    config: &C,
    snapshot: &Snapshot<'_>,
) -> Result<PathBuf, Error> {
    let Snapshot {
        step,
        network,
        optimizer,
        since,
        standing,
    } = *snapshot;
    let run_dir = config.run_dir();
    let target = run_dir.join(format!("checkpoint-{step}"));
    let beside = run_dir.join(format!("checkpoint-{step}.tmp"));
    if beside.exists() {
        std::fs::remove_dir_all(&beside).map_err(Error::io(&beside))?;
    }
    if let Some(lora) = config.lora() {
        std::fs::create_dir_all(&beside).map_err(Error::io(&beside))?;
        save_adapter(network, lora, base, &beside)?;
    } else {
        copy_static(&Files::Dir(base.to_owned()), &beside)?;
        save_weights(network, &beside.join("model.safetensors"), Dtype::F32)?;
    }
    let moments = optimizer.moments().iter().flat_map(|(key, pair)| {
        ["mean", "square"]
            .iter()
            .zip(pair)
            .map(move |(which, tensor)| {
                let values = tensor
                    .to_data()
                    .try_into_vec::<f32>()
                    .expect("moments are f32");
                (format!("{which}.{key}"), vec![values.len()], values)
            })
    });
    write_tensors(
        &beside.join(OPTIMIZER),
        Dtype::F32,
        &moments.collect::<Vec<_>>(),
    )?;
    let state = State {
        step,
        optimizer_steps: optimizer.steps(),
        since,
        standing,
        config: config.clone(),
    };
    let text = serde_json::to_string_pretty(&state).expect("the state is plain data");
    std::fs::write(beside.join(STATE), text).map_err(Error::io(beside.join(STATE)))?;
    if target.exists() {
        std::fs::remove_dir_all(&target).map_err(Error::io(&target))?;
    }
    std::fs::rename(&beside, &target).map_err(Error::io(&target))?;
    if let Some(best) = standing.best {
        write_best(run_dir, best)?;
    }
    let mut old = checkpoints(run_dir)?;
    old.truncate(old.len().saturating_sub(config.save_total_limit()));
    old.retain(|(step, _)| standing.best.is_none_or(|best| best.step != *step));
    for (_, path) in old {
        std::fs::remove_dir_all(&path).map_err(Error::io(&path))?;
    }
    Ok(target)
}

/// Names the best checkpoint, whole or not at all.
fn write_best(run_dir: &Path, best: Best) -> Result<(), Error> {
    let path = format!("checkpoint-{}", best.step);
    let text = serde_json::to_string_pretty(&BestFile { best, path }).expect("plain data");
    Part::text(&run_dir.join(BEST), &text)?.finish()
}

/// The newest checkpoint of a run that began with `network`, or `None` where there is none.
///
/// # Errors
/// A checkpoint that cannot be read.
pub fn resume<C: RunConfig>(config: &C, network: &Qwen) -> Result<Option<Resumed>, Error> {
    let Some((_, path)) = checkpoints(config.run_dir())?.pop() else {
        return Ok(None);
    };
    let fault = |reason: String| Error::Config {
        path: path.join(STATE),
        reason,
    };
    let text = std::fs::read_to_string(path.join(STATE)).map_err(Error::io(path.join(STATE)))?;
    let state: State<IgnoredAny> =
        serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let files = Files::Dir(path.clone());
    let device = network.device();
    let network = if config.lora().is_some() {
        let mut network = network.clone();
        Adapter::open(&files)?.attach(&mut network)?;
        network
    } else {
        let empty = Qwen::new(network.config(), &Init::lazy(&device));
        weights::load(empty, &files, DType::F32.into(), &device)?
    };
    let bytes = std::fs::read(path.join(OPTIMIZER)).map_err(Error::io(path.join(OPTIMIZER)))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| fault(error.to_string()))?;
    let mut moments: BTreeMap<String, [Tensor<1>; 2]> = BTreeMap::new();
    let plain = device.without_autodiff();
    let read = |name: &str| -> Result<Tensor<1>, Error> {
        let tensor = tensors
            .tensor(name)
            .map_err(|error| fault(error.to_string()))?;
        let values: Vec<f32> = tensor
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect();
        let shape = [values.len()];
        Ok(Tensor::from_data(TensorData::new(values, shape), &plain))
    };
    for name in tensors.names() {
        if let Some(key) = name.strip_prefix("mean.") {
            moments.insert(
                key.to_owned(),
                [read(name)?, read(&format!("square.{key}"))?],
            );
        }
    }
    let optimizer = AdamW::resume(config.adamw(), state.optimizer_steps, moments);
    Ok(Some(Resumed {
        step: state.step,
        network,
        optimizer,
        since: state.since,
        standing: state.standing,
    }))
}

/// The finished checkpoints of a run, oldest first.
pub(crate) fn checkpoints(run_dir: &Path) -> Result<Vec<(usize, PathBuf)>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(run_dir).map_err(Error::io(run_dir))? {
        let path = entry.map_err(Error::io(run_dir))?.path();
        let step = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix("checkpoint-")?.parse().ok());
        if let Some(step) = step {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// What the newest checkpoint of a run of any stage says that it was made with; nothing before the first.
pub(crate) fn newest_config<T: DeserializeOwned>(run_dir: &Path) -> Result<Option<T>, Error> {
    #[derive(Deserialize)]
    struct Made<T> {
        config: T,
    }
    let Some((_, newest)) = checkpoints(run_dir)?.pop() else {
        return Ok(None);
    };
    let path = newest.join(STATE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let state: Made<T> = serde_json::from_str(&text).map_err(|error| Error::Config {
        path,
        reason: error.to_string(),
    })?;
    Ok(Some(state.config))
}
