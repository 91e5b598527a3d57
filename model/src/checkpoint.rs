//! One checkpoint directory, opened whole: configuration, tokenizer, processor, generation settings, weights.

use std::sync::Arc;

use burn::tensor::{DType, Device};

use ::vision::{Grid, Patches, Processor};

use crate::init::Init;
use crate::layout::for_answering;
use crate::lora::merge;
use crate::sampling::GenerationConfig;
use crate::text::Positions;
use crate::tokenizer::Tokenizer;
use crate::{Adapter, Config, Error, Files, Qwen, weights};

/// Everything a Hugging Face Qwen2.5-VL directory holds.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Sizes and ids.
    pub config: Config,
    /// The network, weights loaded.
    pub network: Qwen,
    /// Text to ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Pictures to patches.
    pub processor: Processor,
    /// Its own way of choosing tokens, and what ends an answer.
    pub generation: GenerationConfig,
    /// BLAKE3 of the weight files, hexadecimal; of files above 64 MiB only sizes and edges count.
    pub hash: String,
}

/// A prompt with its images expanded to placeholders.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Where they stand.
    pub positions: Positions,
    /// How many of them are image placeholders.
    pub image_tokens: usize,
}

impl Checkpoint {
    /// Opens `files`, with weights in `dtype` on `device`.
    ///
    /// # Errors
    /// Whatever is missing or does not fit is named.
    pub fn open(files: &Files, dtype: DType, device: &Device) -> Result<Self, Error> {
        let config = files
            .json("config.json")?
            .ok_or_else(|| Error::MissingFile("config.json".into()))?;
        let config = Config::from_json(&config)?;
        let tokenizer = Tokenizer::open(files)?;
        if tokenizer.len() > config.text.vocab_size {
            let reason = format!(
                "{} tokens, but vocab_size is {}",
                tokenizer.len(),
                config.text.vocab_size
            );
            return Err(Error::bad("tokenizer.json", reason));
        }
        let generation = GenerationConfig::open(files)?;
        let processor = processor(files)?;
        let network = weights::load(
            Qwen::new(&config, &Init::lazy(device)),
            files,
            dtype,
            device,
        )?;
        Ok(Self {
            network,
            config,
            tokenizer: Arc::new(tokenizer),
            processor,
            generation,
            hash: digest(files, &files.names(".safetensors")?)?,
        })
    }

    /// The same with the adapter in `files` merged into its weights; the hash tells them apart.
    ///
    /// # Errors
    /// As [`Adapter::open`] and [`Adapter::attach`].
    pub fn adapted(mut self, files: &Files) -> Result<Self, Error> {
        let adapter = Adapter::open(files)?;
        let hashes = [self.hash.as_bytes(), adapter.hash.as_bytes()].concat();
        self.hash = blake3::hash(&hashes).to_hex().to_string();
        adapter.attach(&mut self.network)?;
        merge(&mut self.network);
        Ok(self)
    }

    /// The same, faster in answering; not for training.
    #[must_use]
    pub fn for_answering(mut self) -> Self {
        self.network = for_answering(self.network);
        self
    }

    /// Expands the single placeholder of each image in `ids` to as many as its grid has tokens, and places all tokens.
    ///
    /// # Errors
    /// If the prompt has not one placeholder for each image.
    pub fn prompt(&self, ids: &[u32], grids: &[Grid]) -> Result<Prompt, Error> {
        let placeholder = self.config.image_token_id;
        let places = ids.iter().filter(|&&id| id == placeholder).count();
        if places != grids.len() {
            let reason = format!("the prompt has {places} places for {} images", grids.len());
            return Err(Error::Input {
                field: "image",
                reason,
            });
        }
        let merge = self.config.vision.spatial_merge_size;
        let mut tokens = grids.iter().map(|grid| grid.tokens(merge));
        let mut expanded = Vec::with_capacity(ids.len());
        for &id in ids {
            let count = if id == placeholder {
                tokens.next().expect("counted above")
            } else {
                1
            };
            expanded.extend(std::iter::repeat_n(id, count));
        }
        let positions = Positions::new(&expanded, grids, &self.config);
        let image_tokens = expanded.iter().filter(|&&id| id == placeholder).count();
        Ok(Prompt {
            ids: expanded,
            positions,
            image_tokens,
        })
    }

    /// The grids of `images`.
    pub fn grids(images: &[Patches]) -> Vec<Grid> {
        images.iter().map(|image| image.grid).collect()
    }
}

/// The image processor's settings, wherever the checkpoint keeps them.
fn processor(files: &Files) -> Result<Processor, Error> {
    for file in ["preprocessor_config.json", "processor_config.json"] {
        if let Some(value) = files.json(file)? {
            return Ok(Processor::from_json(&value)?);
        }
    }
    Err(Error::MissingFile("preprocessor_config.json".into()))
}

/// Names the weights: BLAKE3 over the headers, sizes and, for files up to 64 MiB, contents of the safetensors `names`. Larger files
/// give their first and last MiB, so that a 7B checkpoint opens without being read twice.
pub(crate) fn digest(files: &Files, names: &[String]) -> Result<String, Error> {
    const WHOLE: u64 = 64 << 20;
    const EDGE: usize = 1 << 20;
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let mut reader = files.open(name)?;
        let size = reader.size()?;
        hasher.update(name.as_bytes()).update(&size.to_le_bytes());
        let spans = if size <= WHOLE {
            vec![(0, size as usize)]
        } else {
            vec![(0, EDGE), (size - EDGE as u64, EDGE)]
        };
        for (offset, length) in spans {
            let mut bytes = vec![0; length];
            reader.read_at(offset, &mut bytes)?;
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}
