//! `config.json` as typed: every layout that Qwen2.5-VL checkpoints use, flat or nested. A key that decides a shape or a
//! frequency is never defaulted: the classes' defaults differ from the published files.

use serde_json::{Map, Value, json};

use crate::{Error, Files};

/// Sizes and ids of one checkpoint; field names are the keys of `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// The placeholder that image rows replace.
    pub image_token_id: u32,
    /// The placeholder of videos; never generated.
    pub video_token_id: u32,
    /// Stands before an image.
    pub vision_start_token_id: u32,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
}

/// Sizes of the decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Width of a token, `d`.
    pub hidden_size: usize,
    /// Width inside the feed-forward half.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the `head_dim / 2` frequencies are shared between time, height and width.
    pub mrope_section: [usize; 3],
    /// The longest sequence the checkpoint was made for.
    pub max_position_embeddings: usize,
}

/// Sizes of the vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of a patch, `d`.
    pub hidden_size: usize,
    /// Width inside the feed-forward half.
    pub intermediate_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Colour channels.
    pub in_channels: usize,
    /// Frames a patch spans.
    pub temporal_patch_size: usize,
    /// Patches a side that become one token, `m`.
    pub spatial_merge_size: usize,
    /// Side of an attention window in pixels.
    pub window_size: usize,
    /// The blocks that see the whole image.
    pub fullatt_block_indexes: Vec<usize>,
    /// Width of a merged token: the decoder's `hidden_size`.
    pub out_hidden_size: usize,
}

impl TextConfig {
    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

impl VisionConfig {
    /// Values in one patch row: channels × frames × side².
    pub fn patch_values(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }
}

impl Config {
    /// Reads the `config.json` among `files`.
    ///
    /// # Errors
    /// When there is none, and those of [`Config::from_json`].
    pub fn open(files: &Files) -> Result<Self, Error> {
        let json = files.json("config.json")?;
        Self::from_json(&json.ok_or_else(|| files.missing("config.json"))?)
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// A missing key, a value of another type or sizes that do not divide are named.
    pub fn from_json(root: &Value) -> Result<Self, Error> {
        let root = Keys {
            outer: None,
            inner: object(root, "config.json")?,
        };
        let text_object = root
            .inner
            .get("text_config")
            .map(|value| object(value, "text_config"))
            .transpose()?;
        let text = Keys {
            outer: Some(root.inner),
            inner: text_object.unwrap_or(root.inner),
        };
        let vision = Keys {
            outer: None,
            inner: object(root.value("vision_config")?, "vision_config")?,
        };
        let rope = ["rope_parameters", "rope_scaling"]
            .iter()
            .find_map(|key| text.inner.get(*key).or_else(|| root.inner.get(*key)))
            .and_then(Value::as_object)
            .ok_or_else(|| Error::bad("config.json", "needs rope_scaling or rope_parameters"))?;
        let rope_theta = match rope.get("rope_theta") {
            Some(theta) => theta
                .as_f64()
                .ok_or_else(|| Error::bad("config.json", "rope_theta is no number"))?,
            None => text.float("rope_theta")?,
        };
        let section = rope
            .get("mrope_section")
            .and_then(Value::as_array)
            .map(|values| {
                values
                    .iter()
                    .filter_map(Value::as_u64)
                    .map(|v| v as usize)
                    .collect::<Vec<_>>()
            })
            .and_then(|values| <[usize; 3]>::try_from(values).ok())
            .ok_or_else(|| {
                Error::bad("config.json", "mrope_section must be three whole numbers")
            })?;
        let config = Self {
            text: TextConfig {
                hidden_size: text.size("hidden_size")?,
                intermediate_size: text.size("intermediate_size")?,
                num_hidden_layers: text.size("num_hidden_layers")?,
                num_attention_heads: text.size("num_attention_heads")?,
                num_key_value_heads: text.size("num_key_value_heads")?,
                vocab_size: text.size("vocab_size")?,
                rms_norm_eps: text.float("rms_norm_eps")?,
                rope_theta,
                mrope_section: section,
                max_position_embeddings: text.size("max_position_embeddings")?,
            },
            vision: VisionConfig {
                depth: vision.size("depth")?,
                hidden_size: vision.size("hidden_size")?,
                intermediate_size: vision.size("intermediate_size")?,
                num_heads: vision.size("num_heads")?,
                patch_size: vision.size("patch_size")?,
                in_channels: vision
                    .size("in_channels")
                    .or_else(|_| vision.size("in_chans"))?,
                temporal_patch_size: vision.size("temporal_patch_size")?,
                spatial_merge_size: vision.size("spatial_merge_size")?,
                window_size: vision.size("window_size")?,
                fullatt_block_indexes: vision.sizes("fullatt_block_indexes")?,
                out_hidden_size: vision.size("out_hidden_size")?,
            },
            image_token_id: root.id("image_token_id", &text)?,
            video_token_id: root.id("video_token_id", &text)?,
            vision_start_token_id: root.id("vision_start_token_id", &text)?,
            tie_word_embeddings: ["tie_word_embeddings"]
                .iter()
                .find_map(|key| root.inner.get(*key).or_else(|| text.inner.get(*key)))
                .and_then(Value::as_bool)
                .ok_or_else(|| Error::bad("config.json", "needs tie_word_embeddings"))?,
        };
        for keys in [&root, &text, &vision] {
            if let Some(act) = keys.inner.get("hidden_act").and_then(Value::as_str)
                && act != "silu"
            {
                return Err(Error::bad(
                    "config.json",
                    format!("hidden_act is {act:?}, only \"silu\" is known"),
                ));
            }
        }
        config.check()?;
        Ok(config)
    }

    /// The flat layout that the published checkpoints use (`architectures` and `model_type` included).
    pub fn to_json(&self) -> Value {
        let (text, vision) = (&self.text, &self.vision);
        json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "attention_dropout": 0.0,
            "hidden_act": "silu",
            "hidden_size": text.hidden_size,
            "image_token_id": self.image_token_id,
            "initializer_range": 0.02,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": text.max_position_embeddings,
            "max_window_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_scaling": {"type": "mrope", "mrope_section": text.mrope_section},
            "rope_theta": text.rope_theta,
            "sliding_window": text.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "bfloat16",
            "use_cache": true,
            "use_sliding_window": false,
            "video_token_id": self.video_token_id,
            "vision_start_token_id": self.vision_start_token_id,
            "vision_config": {
                "depth": vision.depth,
                "fullatt_block_indexes": vision.fullatt_block_indexes,
                "hidden_act": "silu",
                "hidden_size": vision.hidden_size,
                "in_channels": vision.in_channels,
                "in_chans": vision.in_channels,
                "intermediate_size": vision.intermediate_size,
                "model_type": "qwen2_5_vl",
                "num_heads": vision.num_heads,
                "out_hidden_size": vision.out_hidden_size,
                "patch_size": vision.patch_size,
                "spatial_merge_size": vision.spatial_merge_size,
                "spatial_patch_size": vision.patch_size,
                "temporal_patch_size": vision.temporal_patch_size,
                "tokens_per_second": 2,
                "window_size": vision.window_size,
            },
            "vocab_size": text.vocab_size,
        })
    }

    /// Refuses sizes that no network of this family can have.
    fn check(&self) -> Result<(), Error> {
        let (text, vision) = (&self.text, &self.vision);
        let demand = |holds: bool, reason: String| {
            if holds {
                Ok(())
            } else {
                Err(Error::bad("config.json", reason))
            }
        };
        for (what, whole, part) in [
            (
                "hidden_size by num_attention_heads",
                text.hidden_size,
                text.num_attention_heads,
            ),
            (
                "num_attention_heads by num_key_value_heads",
                text.num_attention_heads,
                text.num_key_value_heads,
            ),
            (
                "vision hidden_size by num_heads",
                vision.hidden_size,
                vision.num_heads,
            ),
            (
                "window_size by patch_size × spatial_merge_size",
                vision.window_size,
                vision.patch_size * vision.spatial_merge_size,
            ),
        ] {
            demand(
                whole % part == 0,
                format!("{what}: {whole} is no multiple of {part}"),
            )?;
        }
        let half = text.head_dim() / 2;
        let sum: usize = text.mrope_section.iter().sum();
        demand(
            sum == half,
            format!("mrope_section adds up to {sum}, head_dim / 2 is {half}"),
        )?;
        demand(
            vision.out_hidden_size == text.hidden_size,
            format!(
                "out_hidden_size is {}, hidden_size is {}",
                vision.out_hidden_size, text.hidden_size
            ),
        )?;
        let head = vision.hidden_size / vision.num_heads;
        demand(
            head % 4 == 0,
            format!("vision head_dim {head} is no multiple of 4"),
        )
    }
}

/// Looks a key up inside a section, then outside it (flat files keep text keys at the top).
struct Keys<'a> {
    outer: Option<&'a Map<String, Value>>,
    inner: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    fn value(&self, key: &str) -> Result<&'a Value, Error> {
        self.inner
            .get(key)
            .or_else(|| self.outer?.get(key))
            .filter(|value| !value.is_null())
            .ok_or_else(|| Error::bad("config.json", format!("needs {key}")))
    }

    fn size(&self, key: &str) -> Result<usize, Error> {
        match self.value(key)?.as_u64() {
            Some(size) if (1..=u64::from(u32::MAX)).contains(&size) => Ok(size as usize),
            _ => Err(Error::bad(
                "config.json",
                format!("{key} must be a positive whole number"),
            )),
        }
    }

    fn sizes(&self, key: &str) -> Result<Vec<usize>, Error> {
        self.value(key)?
            .as_array()
            .and_then(|values| {
                values
                    .iter()
                    .map(|v| v.as_u64().map(|v| v as usize))
                    .collect()
            })
            .ok_or_else(|| {
                Error::bad(
                    "config.json",
                    format!("{key} must be a list of whole numbers"),
                )
            })
    }

    fn float(&self, key: &str) -> Result<f64, Error> {
        self.value(key)?
            .as_f64()
            .ok_or_else(|| Error::bad("config.json", format!("{key} must be a number")))
    }

    fn id(&self, key: &str, other: &Self) -> Result<u32, Error> {
        let value = self.value(key).or_else(|_| other.value(key))?;
        value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| Error::bad("config.json", format!("{key} must be a token id")))
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| Error::bad("config.json", format!("{what} is no object")))
}
