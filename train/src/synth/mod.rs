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
use std::path::PathBuf;

use proto::Ontology;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::data::{Head, Record, Split, Tail};
use crate::part::Part;
use crate::{Error, progress};
pub use summary::{SplitSummary, Summary};

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthOptions {
    /// The folder to write; must not be there, or be empty.
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

/// A picture and its records.
struct Sample {
    name: String,
    jpeg: Vec<u8>,
    records: Vec<Record>,
}

/// Writes `train.jsonl`, `dev.jsonl`, `test.jsonl`, `ontology.json` and `images/`: all of it is there in the end, or nothing.
///
/// # Errors
/// An output that is taken, files that cannot be written.
pub fn generate(options: &SynthOptions) -> Result<Summary, Error> {
    let part = Part::folder(&options.out)?;
    let images = part.path().join("images");
    fs::create_dir(&images).map_err(Error::io(&images))?;
    let mut summary = Summary::default();
    let splits = [
        (Split::Train, options.train),
        (Split::Dev, options.dev),
        (Split::Test, options.test),
    ];
    let bar = progress::bar(options.train + options.dev + options.test, "records");
    for (split, count) in splits {
        let path = part.path().join(format!("{split}.jsonl"));
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut lines = BufWriter::new(file);
        let mut left = count;
        for index in 0.. {
            if left == 0 {
                break;
            }
            let mut sample = sample(options, split, index);
            sample.records.truncate(left);
            left -= sample.records.len();
            bar.inc(sample.records.len() as u64);
            let picture = images.join(&sample.name);
            fs::write(&picture, &sample.jpeg).map_err(Error::io(&picture))?;
            for record in &sample.records {
                let line = serde_json::to_string(record).expect("plain data");
                writeln!(lines, "{line}").map_err(Error::io(&path))?;
            }
            summary.add(split.name(), &sample.records);
        }
        lines.flush().map_err(Error::io(&path))?;
    }
    bar.finish();
    let path = part.path().join("ontology.json");
    let ontology = serde_json::to_string_pretty(Ontology::more()).expect("plain data");
    fs::write(&path, ontology + "\n").map_err(Error::io(&path))?;
    part.finish()?;
    Ok(summary)
}

/// Makes one picture and its records; depends on nothing but the arguments.
fn sample(options: &SynthOptions, split: Split, index: usize) -> Sample {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    // A stream for each picture: no split can repeat the numbers of another.
    rng.set_stream(((split as u64) << 48) | index as u64);
    let name = format!("{}-{index:06}.jpg", split.name());
    let aim = Aim {
        training: split == Split::Train,
        hard: options.hard,
    };
    let cast = cast::choose(aim, &mut rng);
    let scene = scene::render(&cast.objects, aim.hard, &mut rng);
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
            varied: !aim.hard,
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
    Sample {
        records: records.collect(),
        name,
        jpeg: scene.jpeg,
    }
}
