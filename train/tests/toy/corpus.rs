//! The corpus of a toy: sixteen drawn records to learn from, four to choose by, four to judge by.

use std::path::{Path, PathBuf};

use train::synth::{SynthOptions, generate};

/// Writes it to `data` in `folder`, and says where that is.
pub fn corpus(folder: &Path) -> PathBuf {
    let out = folder.join("data");
    generate(&SynthOptions {
        out: out.clone(),
        seed: 3,
        train: 16,
        dev: 4,
        test: 4,
        hard: false,
    })
    .expect("the corpus is written");
    out
}
