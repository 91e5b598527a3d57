//! What a run is made of, written into its folder before the first step: `config.toml`, the configuration with every default, and `run.json`,
//! the program, the seed and the data. A run goes on only with the same configuration and the same data.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::log::METRICS;
use crate::part::Part;
use crate::sft::BASE;
use crate::state::{RunConfig, checkpoints, newest_config};

const CONFIG: &str = "config.toml";
const RUN: &str = "run.json";

/// What numbers depend on beside the configuration.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Origin {
    /// Of the program.
    version: String,
    /// The commit of its code, if that is known.
    revision: Option<String>,
    seed: u64,
    /// The BLAKE3 digest of every file of records or relations.
    data: BTreeMap<PathBuf, String>,
}

/// Notes what the run of `config` is made of. One that was begun before has to be the same run.
///
/// # Errors
/// Another configuration or other data than the run was begun with; files that cannot be read or written.
pub(crate) fn note<C: RunConfig>(config: &C) -> Result<(), Error> {
    let run_dir = config.run_dir();
    let (kept, noted) = (run_dir.join(CONFIG), run_dir.join(RUN));
    // Where nothing came of a first try, the next may be another.
    let started = run_dir.join(BASE).exists()
        || run_dir.join(METRICS).exists()
        || !checkpoints(run_dir)?.is_empty();
    let begun: Option<C> = begun(run_dir)?.filter(|_| started);
    if begun.is_some_and(|begun| begun.essence() != config.essence()) {
        let reason = "the run was begun with another configuration; choose another run_dir or restore the old file";
        return Err(Error::config(&kept)(reason.to_owned()));
    }
    let origin = Origin::of(config)?;
    if started && noted.exists() {
        let text = std::fs::read_to_string(&noted).map_err(Error::io(&noted))?;
        let before: Origin = serde_json::from_str(&text)
            .map_err(|error| Error::config(&noted)(error.to_string()))?;
        let changed = origin.data.iter().find(|(path, digest)| {
            let before = before.data.get(*path);
            before.is_some_and(|before| before != *digest)
        });
        if let Some((path, _)) = changed {
            let reason =
                "has changed since the run began; choose another run_dir or restore the old file";
            return Err(Error::config(path)(reason.to_owned()));
        }
        if (&before.version, &before.revision) != (&origin.version, &origin.revision) {
            tracing::warn!(?before.revision, ?origin.revision, "the run was begun with other code, its numbers may change");
        }
    } else {
        let text = serde_json::to_string_pretty(&origin).expect("plain data");
        Part::text(&noted, &text)?.finish()?;
    }
    let text =
        toml::to_string_pretty(config).map_err(|error| Error::config(&kept)(error.to_string()))?;
    Part::text(&kept, &text)?.finish()
}

/// The configuration that a run was begun with; none before its first step.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn begun<T: DeserializeOwned>(run_dir: &Path) -> Result<Option<T>, Error> {
    let path = run_dir.join(CONFIG);
    if !path.exists() {
        return newest_config(run_dir); // of a run that earlier versions began
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let config = toml::from_str(&text).map_err(|error| Error::config(&path)(error.to_string()))?;
    Ok(Some(config))
}

impl Origin {
    fn of<C: RunConfig>(config: &C) -> Result<Self, Error> {
        let digest = |path: &Path| -> Result<(PathBuf, String), Error> {
            let mut hasher = blake3::Hasher::new();
            let file = File::open(path).map_err(Error::io(path))?;
            hasher.update_reader(file).map_err(Error::io(path))?;
            Ok((path.to_owned(), hasher.finalize().to_hex().to_string()))
        };
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: revision(),
            seed: config.seed(),
            data: config
                .data()
                .into_iter()
                .map(digest)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What `MORE_R1_REVISION` says, now or when this was built, else the commit of the working directory, marked where it was changed.
fn revision() -> Option<String> {
    let said = std::env::var("MORE_R1_REVISION").ok();
    let said = said.or_else(|| option_env!("MORE_R1_REVISION").map(str::to_owned));
    said.or_else(|| {
        let mut git = Command::new("git");
        git.args([
            "describe",
            "--always",
            "--dirty",
            "--exclude=*",
            "--abbrev=40",
        ]);
        let output = git.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    })
}
