//! The flags of `data import` and `data sample`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `more-r1 data import …`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImportCommand {
    /// The MORE data set as it is published, or rows of your own in its shape: an entity of a text, a box in an image, a label.
    #[command(visible_alias = "jsonl")]
    More(MoreArgs),
    /// The MNRE data set as it is published; its rows have no boxes, so the whole image is the object.
    Mnre(ImportArgs),
}

/// `more-r1 data import more`.
#[derive(Debug, Clone, Args)]
pub struct MoreArgs {
    /// What every import has.
    #[command(flatten)]
    pub import: ImportArgs,
    /// The relations, as JSON; without it MORE's 21.
    #[arg(long, env = "MORE_R1_ONTOLOGY", value_name = "FILE")]
    pub ontology: Option<PathBuf>,
}

/// `more-r1 data import mnre`, and what all others have too.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The folder of the data set, with its texts and images, and its list of relations if there is one; or one file of rows.
    #[arg(long, env = "MORE_R1_SRC", value_name = "DIR|FILE")]
    pub src: PathBuf,
    /// The folder of the images, whole or by split; without it `img_org`, images, image or `mnre_image` in --src.
    #[arg(long, env = "MORE_R1_IMAGES", value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// The folder to write; must not be there, or be empty. Images are linked into it where the disk allows, else copied.
    #[arg(long, env = "MORE_R1_OUT", value_name = "DIR")]
    pub out: PathBuf,
    /// The share of all rows that may be rejected; above it nothing is written.
    #[arg(long, env = "MORE_R1_MAX_REJECTED", default_value_t = 0.05, value_name = "SHARE", value_parser = share)]
    pub max_rejected: f64,
}

/// `more-r1 data sample`.
#[derive(Debug, Clone, Args)]
pub struct SampleArgs {
    /// The facts, one a line.
    #[arg(long, env = "MORE_R1_SRC", value_name = "FILE")]
    pub src: PathBuf,
    /// Where those drawn go; must not be there.
    #[arg(long, env = "MORE_R1_OUT", value_name = "FILE")]
    pub out: PathBuf,
    /// Where all others go; must not be there.
    #[arg(long, env = "MORE_R1_REST", value_name = "FILE")]
    pub rest: Option<PathBuf>,
    /// The share to draw, above 0 and at most 1; the paper's cold start is a quarter.
    #[arg(long, env = "MORE_R1_FRACTION", default_value_t = 0.25, value_name = "SHARE", value_parser = some)]
    pub fraction: f64,
    /// Draw the same share of every relation, at least one fact of each, or a share of the whole.
    #[arg(
        long,
        env = "MORE_R1_STRATIFY",
        default_value = "relation",
        value_name = "NAME"
    )]
    pub stratify: StrataName,
    /// Same seed, same facts.
    #[arg(long, env = "MORE_R1_SEED", default_value_t = 0)]
    pub seed: u64,
}

/// What a share is drawn of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StrataName {
    /// Every relation.
    Relation,
    /// The whole.
    None,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("has to be a number from 0 to 1".to_owned()),
    }
}

fn some(text: &str) -> Result<f64, String> {
    match share(text) {
        Ok(share) if share > 0.0 => Ok(share),
        _ => Err("has to be a number above 0 and at most 1".to_owned()),
    }
}
