//! A procedural corpus in the manner of MORE: drawn scenes of an invented world, headlines about it, boxes, relations
//! and gold traces. The same options give the same bytes. This file decides which records exist and writes them;
//! it trains nothing and reads nothing.
//!
//! `world` who exists · `rule.rs` what the label is · `claims.rs`, `phrases`, `headline.rs` the texts · `scene.rs`,
//! `draw` the pictures · `trace.rs` the reasoning · `cast.rs` who is in a picture and what is asked ·
//! `summary.rs` the counts.

mod cast;
mod claims;
mod draw;
mod headline;
mod phrases;
mod rule;
mod scene;
mod summary;
#[cfg(test)]
mod tests;
mod trace;
mod world;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::data::{Head, Record, Split, Tail};
use crate::progress;
pub use summary::{SplitSummary, Summary};

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthOptions {
    /// Folder to fill; made when it is not there.
    pub out: PathBuf,
    /// Chooses the corpus; the world is the same for every seed.
    pub seed: u64,
    /// Records for training, about five a picture, one in a hard corpus.
    pub train: usize,
    /// Records for development.
    pub dev: usize,
    /// Records for the test.
    pub test: usize,
    /// Rare idioms, facts that only the world holds, bad light, one question a picture: a corpus that a quarter of it does not teach.
    pub hard: bool,
}

/// What a picture and its text are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Aim {
    /// Whether held-out pairs are left out.
    training: bool,
    /// Whether the corpus is a hard one.
    hard: bool,
}

/// Everything that can go wrong while writing a corpus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture cannot be encoded.
    #[error("cannot encode picture {name}: {source}")]
    Encode {
        /// Its name.
        name: String,
        /// Why.
        source: image::ImageError,
    },
    /// A record or the ontology cannot be put into JSON.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A picture and its records.
struct Sample {
    name: String,
    jpeg: Vec<u8>,
    records: Vec<Record>,
}

/// Writes `train.jsonl`, `dev.jsonl`, `test.jsonl`, `ontology.json` and `images/`.
///
/// # Errors
/// When something cannot be written.
pub fn generate(options: &SynthOptions) -> Result<Summary, Error> {
    let images = options.out.join("images");
    fs::create_dir_all(&images).map_err(|source| write_error(&images, source))?;
    let mut summary = Summary::default();
    let splits = [
        (Split::Train, options.train),
        (Split::Dev, options.dev),
        (Split::Test, options.test),
    ];
    let bar = progress::bar(options.train + options.dev + options.test, "records");
    for (split, count) in splits {
        let path = options.out.join(format!("{}.jsonl", split.name()));
        let file = File::create(&path).map_err(|source| write_error(&path, source))?;
        let mut lines = BufWriter::new(file);
        let mut left = count;
        for index in 0.. {
            if left == 0 {
                break;
            }
            let mut sample = sample(options, split, index)?;
            sample.records.truncate(left);
            left -= sample.records.len();
            bar.inc(sample.records.len() as u64);
            let picture = images.join(&sample.name);
            fs::write(&picture, &sample.jpeg).map_err(|source| write_error(&picture, source))?;
            for record in &sample.records {
                let line = serde_json::to_string(record)?;
                writeln!(lines, "{line}").map_err(|source| write_error(&path, source))?;
            }
            summary.add(split.name(), &sample.records);
        }
        lines.flush().map_err(|source| write_error(&path, source))?;
    }
    bar.finish();
    let path = options.out.join("ontology.json");
    let ontology = serde_json::to_string_pretty(proto::Ontology::more())?;
    fs::write(&path, ontology + "\n").map_err(|source| write_error(&path, source))?;
    Ok(summary)
}

fn write_error(path: &Path, source: std::io::Error) -> Error {
    Error::Write {
        path: path.to_owned(),
        source,
    }
}

/// Makes one picture and its records; depends on nothing but the arguments.
fn sample(options: &SynthOptions, split: Split, index: usize) -> Result<Sample, Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    // A stream for each picture: no split can repeat the numbers of another.
    rng.set_stream(((split as u64) << 48) | index as u64);
    let name = format!("{}-{index:06}.jpg", split.name());
    let aim = Aim {
        training: split == Split::Train,
        hard: options.hard,
    };
    let cast = cast::choose(aim, &mut rng);
    let scene =
        scene::render(&cast.objects, aim.hard, &mut rng).map_err(|source| Error::Encode {
            name: name.clone(),
            source,
        })?;
    let text = cast.headline.text();
    let records = cast.facts.iter().map(|fact| {
        let object = cast.objects[fact.object];
        let mention = cast
            .headline
            .mention(fact.entity)
            .expect("questions are about mentions");
        let [start, end] = mention.span;
        let question = trace::Question {
            object,
            entity: fact.entity,
            story: &cast.headline.story,
            setting: scene.setting,
        };
        Record {
            img_id: name.clone(),
            text: text.clone(),
            token: cast.headline.tokens.clone(),
            h: Head {
                name: cast.headline.tokens[start..end].to_vec(),
                pos: mention.span,
            },
            t: Tail {
                name: object.name().unwrap_or("thing").to_lowercase(),
                pos: scene.boxes[fact.object],
            },
            relation: cast
                .headline
                .story
                .relation(object, fact.entity)
                .map_or("none", world::Relation::label)
                .to_owned(),
            trace: Some(trace::write(&question, &mut rng)),
        }
    });
    Ok(Sample {
        records: records.collect(),
        name,
        jpeg: scene.jpeg,
    })
}
