//! One checkpoint directory, opened whole: configuration, tokenizer, processor, generation settings, weights.

use std::sync::Arc;

use burn::tensor::Device;

use ::vision::{Grid, Patches, Processor};

use crate::init::Init;
use crate::layout::for_answering;
use crate::lora::merge;
use crate::quantize::{Format, Quantization, quantize};
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
    /// BLAKE3 of the weight files, hexadecimal; of files above 64 MiB their sizes and samples count.
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
    /// Opens `files`, with weights in `format` on `device`. With weights in few bits it only answers.
    ///
    /// # Errors
    /// Whatever is missing or does not fit is named.
    pub fn open(files: &Files, format: impl Into<Format>, device: &Device) -> Result<Self, Error> {
        let config = Config::open(files)?;
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
            format.into(),
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

    /// The same with the weights of the decoder's layers rounded; not for training, nor for adapters.
    #[must_use]
    pub fn quantized(mut self, quantization: Quantization) -> Self {
        quantize(&mut self.network, quantization);
        self
    }

    /// The same with one product for maps of one input where that is faster, which is not on CPUs; not for training, nor for adapters. Weights that
    /// somebody else holds are not let go: they would be there twice.
    #[must_use]
    pub fn joined(mut self) -> Self {
        if self.network.device() != Device::flex() {
            self.network.join();
        }
        self
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

/// The image processor's settings, wherever the checkpoint keeps them. Reads no weights.
///
/// # Errors
/// Settings that are missing or cannot be meant.
pub fn processor(files: &Files) -> Result<Processor, Error> {
    for file in ["preprocessor_config.json", "processor_config.json"] {
        if let Some(value) = files.json(file)? {
            return Ok(Processor::from_json(&value)?);
        }
    }
    Err(files.missing("preprocessor_config.json"))
}

/// Names the weights: BLAKE3 over names, sizes and contents of the safetensors `names`; of large ones over samples, so that a 7B checkpoint
/// opens without being read twice.
pub(crate) fn digest(files: &Files, names: &[String]) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        let mut reader = files.open(name)?;
        let size = reader.size()?;
        hasher.update(name.as_bytes()).update(&size.to_le_bytes());
        for (offset, length) in spans(size) {
            let mut bytes = vec![0; length];
            reader.read_at(offset, &mut bytes)?;
            hasher.update(&bytes);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// What is read of a file of `size` bytes: all of it up to 64 MiB, of more both ends and 254 samples evenly between them, 128 KiB each. In a
/// shard of 5 GB they are 20 MB apart, and every matrix as wide as Qwen2.5-VL-7B has 26 MB in 16 bits.
fn spans(size: u64) -> Vec<(u64, usize)> {
    const WHOLE: u64 = 64 << 20;
    const SAMPLES: u64 = 256;
    const SAMPLE: usize = 128 << 10;
    if size <= WHOLE {
        return vec![(0, size as usize)];
    }
    let last = size - SAMPLE as u64;
    let at = |sample: u64| u128::from(last) * u128::from(sample) / u128::from(SAMPLES - 1);
    (0..SAMPLES)
        .map(|sample| (at(sample) as u64, SAMPLE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_read_whole_and_large_ones_everywhere() {
        for size in [0, 1, 64 << 20] {
            assert_eq!(spans(size), [(0, size as usize)]);
        }
        for size in [(64 << 20) + 1, 5_000_000_000, 1 << 40] {
            let spans = spans(size);
            let ends: Vec<u64> = spans
                .iter()
                .map(|&(at, length)| at + length as u64)
                .collect();
            assert_eq!((spans[0].0, ends[255]), (0, size));
            let gaps = spans[1..].iter().zip(&ends).map(|((at, _), end)| at - end);
            let widest = gaps.max().expect("256 spans");
            assert!(widest <= size / 255, "{widest} of {size}");
        }
    }
}
