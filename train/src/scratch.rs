//! A checkpoint from nothing: tokenizer learned from the corpus, configuration as asked, random weights. Trains no network.

use std::path::Path;

use burn::tensor::Device;
use model::config::{TextConfig, VisionConfig};
use model::init::Init;
use model::{Config, Qwen, save};
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use crate::Error;

/// The sizes of a network that is trained from scratch; names are keys of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scratch {
    /// Entries the tokenizer learns, bytes included.
    pub vocab_size: usize,
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the feed-forward half.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Shares of the rotary frequencies.
    pub mrope_section: [usize; 3],
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Deviation of the random weights.
    pub initializer_range: f32,
    /// Pictures are enlarged to this many pixels.
    pub min_pixels: u64,
    /// Pictures are shrunk to this many pixels.
    pub max_pixels: u64,
    /// The vision tower.
    pub vision: ScratchVision,
}

/// The sizes of the vision tower.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchVision {
    /// Blocks.
    pub depth: usize,
    /// Width of a patch.
    pub hidden_size: usize,
    /// Width inside the feed-forward half.
    pub intermediate_size: usize,
    /// Heads.
    pub num_heads: usize,
    /// Blocks that see the whole image.
    pub fullatt_block_indexes: Vec<usize>,
}

/// The words that steer a conversation, in Qwen's spelling.
pub(crate) const SPECIAL: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// How Qwen2 cuts text before merging: words, single digits, marks, spaces.
const PRE_TOKENS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Turns like Qwen's, without its default system message: a small model has no use for it.
const CHAT_TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Learns a tokenizer from `texts` and writes a whole random checkpoint to the directory `out`.
///
/// # Errors
/// If the directory cannot be written, or the sizes do not fit each other.
pub fn write(scratch: &Scratch, texts: &[String], seed: u64, out: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(Error::io(out))?;
    let tokenizer = learn_tokenizer(scratch.vocab_size, texts);
    let id = |token: &str| tokenizer.token_to_id(token).expect("added below");
    let words = tokenizer.get_vocab_size(true);
    let config = config(scratch, words, id)?;
    let store = |name: &str, value: &Value| {
        let text = serde_json::to_string_pretty(value).expect("JSON values always print");
        std::fs::write(out.join(name), text + "\n").map_err(Error::io(out.join(name)))
    };
    tokenizer
        .save(out.join("tokenizer.json"), false)
        .map_err(|error| Error::Config {
            path: out.join("tokenizer.json"),
            reason: error.to_string(),
        })?;
    let mut json = config.to_json();
    json["torch_dtype"] = "float32".into();
    json["initializer_range"] = json!(scratch.initializer_range);
    json["bos_token_id"] = id("<|endoftext|>").into();
    json["eos_token_id"] = id("<|im_end|>").into();
    json["vision_end_token_id"] = id("<|vision_end|>").into();
    store("config.json", &json)?;
    let eos = [id("<|im_end|>"), id("<|endoftext|>")];
    store(
        "generation_config.json",
        &json!({"do_sample": false, "eos_token_id": eos, "pad_token_id": eos[1], "repetition_penalty": 1.0}),
    )?;
    store(
        "tokenizer_config.json",
        &json!({
            "add_bos_token": false,
            "add_prefix_space": false,
            "additional_special_tokens": &SPECIAL[1..],
            "eos_token": "<|im_end|>",
            "model_max_length": config.text.max_position_embeddings,
            "pad_token": "<|endoftext|>",
            "processor_class": "Qwen2_5_VLProcessor",
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": null,
        }),
    )?;
    store(
        "preprocessor_config.json",
        &json!({
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor",
            "min_pixels": scratch.min_pixels,
            "max_pixels": scratch.max_pixels,
            "patch_size": config.vision.patch_size,
            "temporal_patch_size": config.vision.temporal_patch_size,
            "merge_size": config.vision.spatial_merge_size,
            "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
            "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        }),
    )?;
    let path = out.join("chat_template.jinja");
    std::fs::write(&path, CHAT_TEMPLATE).map_err(Error::io(&path))?;
    let network = Qwen::new(
        &config,
        &Init::normal(&Device::flex(), scratch.initializer_range, seed),
    );
    Ok(save::save(
        &network,
        &out.join("model.safetensors"),
        Dtype::F32,
    )?)
}

/// The configuration of a tokenizer that has learned as many entries as it may; its ids are no tokenizer's.
///
/// # Errors
/// Sizes that do not fit each other.
pub(crate) fn largest(scratch: &Scratch) -> Result<Config, model::Error> {
    config(scratch, scratch.vocab_size + SPECIAL.len(), |_| 0)
}

/// The configuration for a tokenizer of `words` entries.
fn config(
    scratch: &Scratch,
    words: usize,
    id: impl Fn(&str) -> u32,
) -> Result<Config, model::Error> {
    let vision = &scratch.vision;
    let config = Config {
        text: TextConfig {
            hidden_size: scratch.hidden_size,
            intermediate_size: scratch.intermediate_size,
            num_hidden_layers: scratch.num_hidden_layers,
            num_attention_heads: scratch.num_attention_heads,
            num_key_value_heads: scratch.num_key_value_heads,
            vocab_size: words.next_multiple_of(64),
            rms_norm_eps: 1e-6,
            rope_theta: scratch.rope_theta,
            mrope_section: scratch.mrope_section,
            max_position_embeddings: 4096,
        },
        vision: VisionConfig {
            depth: vision.depth,
            hidden_size: vision.hidden_size,
            intermediate_size: vision.intermediate_size,
            num_heads: vision.num_heads,
            patch_size: 14,
            in_channels: 3,
            temporal_patch_size: 2,
            spatial_merge_size: 2,
            window_size: 112,
            fullatt_block_indexes: vision.fullatt_block_indexes.clone(),
            out_hidden_size: scratch.hidden_size,
        },
        image_token_id: id("<|image_pad|>"),
        video_token_id: id("<|video_pad|>"),
        vision_start_token_id: id("<|vision_start|>"),
        tie_word_embeddings: true,
    };
    Config::from_json(&config.to_json()) // refuses sizes that do not fit
}

/// Byte-level BPE with Qwen2's cuts.
fn learn_tokenizer(vocab_size: usize, texts: &[String]) -> Tokenizer {
    let empty = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PRE_TOKENS}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": {}, "merges": []},
    });
    let mut tokenizer =
        Tokenizer::from_bytes(empty.to_string()).expect("the empty tokenizer is well formed");
    let mut trainer: TrainerWrapper = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build()
        .into();
    tokenizer
        .train(&mut trainer, texts.iter().map(String::as_str))
        .expect("training reads strings from memory");
    let special = SPECIAL.map(|token| AddedToken::from(token, true));
    tokenizer
        .add_special_tokens(special)
        .expect("the special tokens are distinct");
    tokenizer
}
