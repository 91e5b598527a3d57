//! The models that are measured where no checkpoint is at hand: the sizes of published ones, random weights, the words of the mini, and
//! the way into a folder in Hugging Face layout, where other programs find the same weights.
//!
//! The mini's tokenizer does not fill the larger vocabularies: ids beyond it have rows in embedding and head, so they cost what they
//! cost, but no text and no way to be chosen. What is asked of such a model is therefore ids, not words.

use std::path::Path;

use burn::tensor::{DType, Device};
use model::sampling::GenerationConfig;
use model::save::{SHARD, save_shards};
use model::tokenizer::Tokenizer;
use model::{Checkpoint, Config, Files, Qwen};
use safetensors::Dtype;
use serde_json::{Map, Value};
use vision::Processor;

use crate::{Error, weights};

/// Files of the mini that go with every shape as they are.
const WORDS: [&str; 4] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// Ids in `config.json` that belong to the tokenizer.
const IDS: [&str; 6] = [
    "bos_token_id",
    "eos_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
    "image_token_id",
    "video_token_id",
];

/// Which sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Qwen2.5-VL-7B.
    B7,
    /// Qwen2.5-VL-3B.
    B3,
    /// 0.28 billion parameters, which two cores bear; sees photos as large as the published ones do.
    Mid,
    /// The mini inside the binary.
    Mini,
}

impl Shape {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::B7 => "7b",
            Self::B3 => "3b",
            Self::Mid => "mid",
            Self::Mini => "mini",
        }
    }

    /// The `config.json` of these sizes without the ids of a tokenizer; none of the mini's own.
    fn sizes(self) -> Option<Map<String, Value>> {
        let text = match self {
            Self::B7 => include_str!("../shapes/7b.json"),
            Self::B3 => include_str!("../shapes/3b.json"),
            Self::Mid => include_str!("../shapes/mid.json"),
            Self::Mini => return None,
        };
        Some(serde_json::from_str(text).expect("compiled in"))
    }

    /// The sizes alone, with ids that mean nothing; those of the mini are in its files.
    #[cfg(test)]
    pub(crate) fn published(self) -> Option<Config> {
        let mut json = self.sizes()?;
        json.extend(IDS.map(|key| (key.to_owned(), 0.into())));
        Config::from_json(&json.into()).ok()
    }

    /// The `config.json`, with the ids of the words in `mini`.
    ///
    /// # Errors
    /// Files that are not the mini's.
    pub fn config_json(self, mini: &Files) -> Result<Value, Error> {
        let own = file(mini, "config.json")?;
        let mut json = match self.sizes() {
            Some(mut sizes) => {
                sizes.extend(IDS.map(|key| (key.to_owned(), own[key].clone())));
                sizes.into()
            }
            None => own,
        };
        json["torch_dtype"] = "bfloat16".into();
        Ok(json)
    }

    /// The `preprocessor_config.json`: the published checkpoints' limits of pixels, or the mini's.
    fn processor_json(self, mini: &Files) -> Result<Value, Error> {
        let mut json = file(mini, "preprocessor_config.json")?;
        if self != Self::Mini {
            json["min_pixels"] = 3136.into();
            json["max_pixels"] = 12_845_056.into();
        }
        Ok(json)
    }

    /// A checkpoint of these sizes.
    ///
    /// # Errors
    /// Files that are not the mini's.
    pub fn checkpoint(
        self,
        mini: &Files,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Checkpoint, Error> {
        let config = Config::from_json(&self.config_json(mini)?)?;
        let processor = Processor::from_json(&self.processor_json(mini)?)?;
        random(config, processor, mini, seed, dtype, device)
    }

    /// Writes `network`, which has these sizes, as a checkpoint in bf16 to the folder `dir`, made if absent.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(self, mini: &Files, network: &Qwen, dir: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let write = |name: &str, bytes: Vec<u8>| {
            let path = dir.join(name);
            std::fs::write(&path, bytes).map_err(Error::io(path))
        };
        for name in WORDS {
            let bytes = mini.read(name)?;
            let bytes = bytes.ok_or_else(|| mini.missing(name))?;
            write(name, bytes)?;
        }
        let text = |json: &Value| format!("{json:#}\n").into_bytes();
        write("config.json", text(&self.config_json(mini)?))?;
        write(
            "preprocessor_config.json",
            text(&self.processor_json(mini)?),
        )?;
        Ok(save_shards(network, dir, Dtype::BF16, SHARD)?)
    }
}

/// A checkpoint with the words of `mini` and weights of `seed`.
///
/// # Errors
/// Files that are not the mini's.
pub(crate) fn random(
    config: Config,
    processor: Processor,
    mini: &Files,
    seed: u64,
    dtype: DType,
    device: &Device,
) -> Result<Checkpoint, Error> {
    let network = weights::random(&config, seed, dtype, device);
    let name = format!("{config:?} {seed}");
    Ok(Checkpoint {
        network,
        config,
        tokenizer: Tokenizer::open(mini)?.into(),
        processor,
        generation: GenerationConfig::open(mini)?,
        hash: blake3::hash(name.as_bytes()).to_hex().to_string(),
    })
}

/// The JSON in a file that the mini has.
pub(crate) fn file(mini: &Files, name: &str) -> Result<Value, Error> {
    let json = mini.json(name)?;
    Ok(json.ok_or_else(|| mini.missing(name))?)
}
