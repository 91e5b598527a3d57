//! An adapter and its base made one checkpoint in Hugging Face layout, for those who cannot read adapters and for the next stage of
//! training. Knows no arithmetic and no format: both are `model`'s.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use model::save::save;
use model::{Checkpoint, Files, calibration};
use safetensors::Dtype;

use crate::Error;
use crate::part::Part;
use crate::state::copy_static;

/// What is merged, and where it goes.
#[derive(Clone, Debug)]
pub struct MergeOptions {
    /// The checkpoint that the adapter was trained beside.
    pub base: Files,
    /// The adapter.
    pub adapter: Files,
    /// The folder to write; must not be there, or be empty.
    pub out: PathBuf,
    /// How the weights are written; they are added in f32.
    pub dtype: Dtype,
}

/// Writes the folder, whole or not at all, and says the hash of what was merged: that of `--model` with `--adapter`.
///
/// # Errors
/// An output that is there already, a base or an adapter that cannot be read, files that cannot be written.
pub fn merge(options: &MergeOptions) -> Result<String, Error> {
    let part = Part::folder(&options.out)?;
    let checkpoint = Checkpoint::open(&options.base, DType::F32, &Device::flex())?;
    let checkpoint = checkpoint.adapted(&options.adapter)?;
    write(options, &checkpoint, part.path())?;
    part.finish()?;
    Ok(checkpoint.hash)
}

fn write(options: &MergeOptions, checkpoint: &Checkpoint, part: &Path) -> Result<(), Error> {
    copy_static(&options.base, part)?;
    // The base's own was fitted to other weights.
    if let Some(fitted) = options.adapter.read(calibration::FILE)? {
        let path = part.join(calibration::FILE);
        std::fs::write(&path, fitted).map_err(Error::io(&path))?;
    }
    let weights = part.join("model.safetensors");
    Ok(save(&checkpoint.network, &weights, options.dtype)?)
}
