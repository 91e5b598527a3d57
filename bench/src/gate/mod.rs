//! Numbers before speed: what a device computes against what a processor computes in f32. On random checkpoints of small sizes greedy
//! tokens, every token's scores and the vision tower's rows; on the mini the labels of records drawn for it. A device that misses a
//! limit is not worth measuring.
//!
//! The reference answers one question at a time, from no cache. The candidate answers all at once, so what the engine shares and puts
//! together is part of what is judged, on a processor too.
//!
//! `scores` random checkpoints · `labels` the mini

mod labels;
pub mod scores;

use burn::tensor::{DType, Device};
use model::{Checkpoint, Config, Files};
use serde_json::{Value, json};
use vision::Processor;

use crate::shape::{file, random};
use crate::{Emit, Error, Line, Setting};

/// A check and how it came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What was compared.
    pub check: String,
    /// What `value` and `limit` count.
    pub unit: &'static str,
    /// What was found.
    pub value: f64,
    /// What is allowed.
    pub limit: f64,
    /// Whether more than `limit` is wanted, not less.
    pub at_least: bool,
    /// What else is to be known.
    pub note: String,
}

impl Verdict {
    /// Whether it holds; what is no number does not.
    pub fn passed(&self) -> bool {
        if self.at_least {
            self.value >= self.limit
        } else {
            self.value <= self.limit
        }
    }

    /// As a line of the report.
    pub fn line(&self) -> Line {
        Line {
            limit: Some(self.limit),
            passed: Some(self.passed()),
            ..Line::new("gate", &self.check, self.unit)
                .once(self.value)
                .note(&self.note)
        }
    }
}

/// What the gate is about.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The mini, for its words and its labels.
    pub mini: Files,
    /// What is judged.
    pub device: Device,
    /// In which types.
    pub dtypes: Vec<DType>,
    /// How many random checkpoints of either size.
    pub seeds: u64,
    /// How many records of the mini's world.
    pub records: usize,
}

impl Gate {
    /// Judges; says what was missed.
    ///
    /// # Errors
    /// A checkpoint that cannot be made, a line that cannot be written.
    pub fn run(&self, setting: &Setting, mut emit: Emit<'_>) -> Result<Vec<String>, Error> {
        let mut missed = vec![];
        let mut tell = |verdicts: Vec<Verdict>, dtype: DType| -> Result<(), Error> {
            for verdict in verdicts {
                let mut line = verdict.line();
                line.setting = Setting {
                    dtype: dtype.name(),
                    ..setting.clone()
                };
                emit(&line)?;
                if !verdict.passed() {
                    missed.push(format!("{}: {}", dtype.name(), verdict.check));
                }
            }
            Ok(())
        };
        for (small, seed) in SMALL
            .iter()
            .flat_map(|it| (1..=self.seeds).map(move |seed| (it, seed)))
        {
            let cpu = Device::flex();
            let reference = small.checkpoint(&self.mini, seed, DType::F32, &cpu)?;
            let expected = scores::Expected::of(reference)?;
            for &dtype in &self.dtypes {
                let candidate = small.checkpoint(&self.mini, seed, dtype, &self.device)?;
                let verdicts =
                    expected.judge(candidate, &format!("{}, seed {seed}", small.name))?;
                tell(verdicts, dtype)?;
            }
        }
        if self.records > 0 {
            for (dtype, verdict) in labels::judge(self)? {
                tell(vec![verdict], dtype)?;
            }
        }
        Ok(missed)
    }
}

/// Sizes that are computed in no time and have what the large ones have: grouped queries, heads of the published widths, widths that are
/// no multiple of 8, windows and full attention.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    name: &'static str,
    text: [usize; 6],
    section: [usize; 3],
    vision: [usize; 4],
    full: usize,
    tied: bool,
}

/// Two of them: heads of 64 in groups of two with a tied head; heads of 128 in a group of seven, as the 7B has, with a head of its own.
/// Vision heads of 80 as published, and of 32.
pub const SMALL: [Small; 2] = [
    Small {
        name: "4/2 heads of 64",
        text: [256, 688, 3, 4, 2, 1600],
        section: [8, 12, 12],
        vision: [3, 160, 428, 2],
        full: 1,
        tied: true,
    },
    Small {
        name: "7/1 heads of 128",
        text: [896, 1216, 2, 7, 1, 1664],
        section: [16, 24, 24],
        vision: [2, 128, 260, 4],
        full: 0,
        tied: false,
    },
];

impl Small {
    /// The configuration, for the words of `own`.
    ///
    /// # Errors
    /// None: the sizes fit.
    pub fn config(&self, own: &Config) -> Result<Config, Error> {
        let [hidden, inner, layers, heads, key_heads, vocab] = self.text;
        let [depth, width, vision_inner, vision_heads] = self.vision;
        let json = json!({
            "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": key_heads, "vocab_size": vocab,
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 4096,
            "rope_scaling": {"type": "mrope", "mrope_section": self.section},
            "tie_word_embeddings": self.tied,
            "image_token_id": own.image_token_id, "video_token_id": own.video_token_id,
            "vision_start_token_id": own.vision_start_token_id,
            "vision_config": {
                "depth": depth, "hidden_size": width, "intermediate_size": vision_inner,
                "num_heads": vision_heads, "in_chans": 3, "patch_size": 14, "temporal_patch_size": 2,
                "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [self.full],
                "out_hidden_size": hidden,
            },
        });
        Ok(Config::from_json(&json)?)
    }

    /// A checkpoint with the words of `mini` and weights of `seed`.
    ///
    /// # Errors
    /// Files that are not the mini's.
    pub fn checkpoint(
        &self,
        mini: &Files,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Checkpoint, Error> {
        let config = self.config(&Config::open(mini)?)?;
        let json: Value = file(mini, "preprocessor_config.json")?;
        let processor = Processor::from_json(&json)?;
        random(config, processor, mini, seed, dtype, device)
    }
}

/// The mini in the repository.
#[cfg(test)]
pub(crate) fn mini() -> Files {
    Files::Dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../mini").into())
}
