//! Adapters as PEFT keeps them: a folder of `adapter_config.json` and `adapter_model.safetensors`. Reads and writes plain `LoRA` of linear
//! maps and refuses everything else by name. Knows no arithmetic: that is `lora.rs`'s.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::tensor::{DType, Tensor, TensorData};
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::checkpoint::digest;
use crate::lora::{Lora, LoraConfig};
use crate::save::write;
use crate::weights::{Archive, canonical, published};
use crate::{Error, Files, Qwen};

/// The file that says how an adapter is meant; a folder that has it holds one.
pub const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What PEFT puts before the names of its base, and behind them for A and B.
const BASE: &str = "base_model.model.";
const PARTS: [&str; 2] = [".lora_A.weight", ".lora_B.weight"];

/// Fields of `adapter_config.json` that are read below, that name things, or whose work was done when the adapter was trained. All others
/// have to be empty, false or null: they change what the base computes.
const FREE: [&str; 19] = [
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "revision",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Ways to begin that leave the base as it is; with the others an adapter belongs to a base of its own.
const BEGINNINGS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// Faults that are told by name.
const TOLD: usize = 3;

/// An adapter that stands beside no network yet.
#[derive(Debug)]
pub struct Adapter {
    config: LoraConfig,
    /// A and B by the name of their map.
    pairs: BTreeMap<String, [Option<TensorData>; 2]>,
    /// BLAKE3 of all that decides what it adds, hexadecimal.
    pub hash: String,
}

impl Adapter {
    /// Reads the adapter in `files`.
    ///
    /// # Errors
    /// [`Error::Adapter`] names what is missing, broken or not plain `LoRA`.
    pub fn open(files: &Files) -> Result<Self, Error> {
        let fault = |error: Error| Error::Adapter(error.to_string());
        let lacks = |file: &str| Error::Adapter(format!("there is no {file}"));
        let config = files.json(CONFIG).map_err(fault)?;
        let config = settings(&config.ok_or_else(|| lacks(CONFIG))?)?;
        let name = vec![WEIGHTS.to_owned()];
        if !files.names(WEIGHTS).map_err(fault)?.contains(&name[0]) {
            return Err(lacks(WEIGHTS));
        }
        let mut archive = Archive::open(files, &name).map_err(fault)?;
        let mut pairs: BTreeMap<String, [Option<TensorData>; 2]> = BTreeMap::new();
        for (key, shape) in archive.shapes() {
            let (map, part) = place(&key).ok_or_else(|| {
                Error::Adapter(format!("{WEIGHTS}: {key} is no lora_A or lora_B of a map"))
            })?;
            let held = &mut pairs.entry(map).or_default()[part];
            let data = archive.read(&key, shape, DType::F32).map_err(fault)?;
            if held.replace(data).is_some() {
                return Err(Error::Adapter(format!("{WEIGHTS}: {key} is there twice")));
            }
        }
        if pairs.is_empty() {
            return Err(Error::Adapter(format!("{WEIGHTS}: no adapter of any map")));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&config.scaling().to_le_bytes());
        hasher.update(digest(files, &name).map_err(fault)?.as_bytes());
        Ok(Self {
            config,
            pairs,
            hash: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Puts it beside the maps of `network`, in place of what stands there.
    ///
    /// # Errors
    /// [`Error::Adapter`] names maps that the network does not have, and matrices of another shape than theirs.
    pub fn attach(mut self, network: &mut Qwen) -> Result<(), Error> {
        let (mut faults, rank) = (vec![], self.config.r);
        for (name, linear) in network.linears_mut() {
            let Some(pair) = self.pairs.remove(&name) else {
                continue;
            };
            let [output, input] = linear.weight.lazy_shape().dims();
            let device = linear.weight.val().device();
            let mut part = |which: usize, needs: [usize; 2]| -> Option<Param<Tensor<2>>> {
                let got = pair[which].as_ref().map(|data| data.shape().to_vec());
                if got.as_deref() == Some(&needs) {
                    let data = pair[which].clone()?;
                    let tensor = Tensor::from_data(data, (&device, DType::F32));
                    return Some(Param::from_tensor(tensor));
                }
                let part = PARTS[which];
                let got = got.map_or("is missing".to_owned(), |got| format!("is {got:?}"));
                faults.push(format!("{name}{part} {got}, needs {needs:?}"));
                None
            };
            if let (Some(a), Some(b)) = (part(0, [rank, input]), part(1, [output, rank])) {
                linear.lora = Some(Lora::new(a, b, &self.config));
            }
        }
        let strangers = self.pairs.keys();
        faults.extend(strangers.map(|name| format!("the base has no map {name}")));
        if faults.is_empty() {
            return Ok(());
        }
        let rest = match faults.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        faults.truncate(TOLD);
        Err(Error::Adapter(format!(
            "{WEIGHTS} does not fit the base: {}{rest}",
            faults.join("; ")
        )))
    }
}

/// Writes the adapters of `network`, made under `config` beside the checkpoint `base`, to the folder `out`, which is there.
///
/// # Errors
/// A file that cannot be written.
pub fn save(network: &Qwen, config: &LoraConfig, base: &Path, out: &Path) -> Result<(), Error> {
    let mut network = network.clone();
    let mut tensors = vec![];
    for (name, linear) in network.linears_mut() {
        let Some(lora) = &linear.lora else {
            continue;
        };
        for (part, matrix) in PARTS.iter().zip([&lora.lora_a, &lora.lora_b]) {
            let tensor = matrix.val();
            let shape = tensor.dims().to_vec();
            let values = tensor.into_data().try_into_vec();
            let values: Vec<f32> = values.expect("adapters are f32");
            tensors.push((format!("{BASE}{}{part}", published(&name)), shape, values));
        }
    }
    let path = out.join(CONFIG);
    let text = serde_json::to_string_pretty(&peft(config, base)).expect("plain data");
    std::fs::write(&path, text + "\n").map_err(|fault| Error::Io { path, fault })?;
    write(&out.join(WEIGHTS), Dtype::F32, &tensors)
}

/// The map, by its name in a network, and the part of its adapter that PEFT calls `key`.
fn place(key: &str) -> Option<(String, usize)> {
    let name = key.strip_prefix(BASE)?;
    let mut parts = PARTS.iter().enumerate();
    parts.find_map(|(index, part)| Some((canonical(name.strip_suffix(part)?), index)))
}

/// What `adapter_config.json` says, if it is plain `LoRA`.
fn settings(value: &Value) -> Result<LoraConfig, Error> {
    let refuse = |field: &str, reason: &str| {
        let got = value.get(field).unwrap_or(&Value::Null);
        Error::Adapter(format!("{CONFIG}: `{field}` is {got}; {reason}"))
    };
    let fields = value.as_object();
    let fields = fields.ok_or_else(|| Error::Adapter(format!("{CONFIG}: no JSON object")))?;
    if value["peft_type"] != "LORA" {
        return Err(refuse("peft_type", "only \"LORA\" can be used"));
    }
    if !value["bias"].is_null() && value["bias"] != "none" {
        return Err(refuse("bias", "only \"none\" can be used"));
    }
    let beginning = value["init_lora_weights"].as_str();
    if beginning.is_some_and(|it| !BEGINNINGS.contains(&it)) {
        let reason = "such adapters belong to a base that was changed with them";
        return Err(refuse("init_lora_weights", reason));
    }
    for (field, value) in fields {
        let says_nothing = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
        };
        if !says_nothing && !FREE.contains(&field.as_str()) {
            return Err(refuse(field, "only plain LoRA can be used, without it"));
        }
    }
    let r = value["r"].as_u64().filter(|&rank| rank > 0);
    let alpha = value["lora_alpha"].as_f64().filter(|it| it.is_finite());
    Ok(LoraConfig {
        r: r.ok_or_else(|| refuse("r", "has to be at least 1"))? as usize,
        lora_alpha: alpha.ok_or_else(|| refuse("lora_alpha", "has to be a number"))?,
        lora_dropout: value["lora_dropout"].as_f64().unwrap_or(0.0),
        target_modules: vec![], // Which maps have one is what the tensors say.
        use_rslora: value["use_rslora"] == true,
    })
}

/// What PEFT reads of an adapter of ours. The vision tower has maps of the same names, which have none.
fn peft(config: &LoraConfig, base: &Path) -> Value {
    let alpha = config.lora_alpha;
    let whole = alpha.fract() == 0.0;
    json!({
        "base_model_name_or_path": base.display().to_string(),
        "bias": "none",
        "exclude_modules": ".*visual.*",
        "inference_mode": true,
        "lora_alpha": if whole { json!(alpha as i64) } else { json!(alpha) },
        "lora_dropout": config.lora_dropout,
        "peft_type": "LORA",
        "r": config.r,
        "target_modules": config.target_modules,
        "task_type": null,
        "use_rslora": config.use_rslora,
    })
}
