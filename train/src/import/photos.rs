//! Every image that rows name, decoded once, as training will decode it. Keeps sizes and hashes and lets the pixels go.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use blake3::Hash;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use vision::Limits;

use super::check::Size;
use super::find::SplitFiles;
use super::rows::{Reason, Rejection, Row};
use crate::progress;

/// What is kept of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Photo {
    /// Upright.
    pub size: Size,
    /// Of the file: two with the same one are the same image, whatever they are called.
    pub hash: Hash,
}

/// What became of each image.
pub(super) struct Photos(HashMap<PathBuf, Result<Photo, Rejection>>);

impl Photos {
    /// Decodes the images of all rows, on every core.
    pub fn decode(splits: &[(&SplitFiles, Vec<Row>)]) -> Self {
        let mut paths = BTreeSet::new();
        for (files, rows) in splits {
            let records = rows.iter().filter_map(|row| row.record.as_ref().ok());
            paths.extend(records.filter_map(|record| record.image_in(&files.images).ok()));
        }
        let bar = progress::bar(paths.len(), "images");
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let look = |path: PathBuf| {
            let photo = read(&path);
            bar.inc(1);
            (path, photo)
        };
        let photos = paths.into_par_iter().map(look).collect();
        bar.finish();
        Self(photos)
    }

    /// An image that some row names.
    pub fn get(&self, path: &Path) -> Result<Photo, Rejection> {
        self.0[path].clone()
    }
}

fn read(path: &Path) -> Result<Photo, Rejection> {
    let because =
        |reason: Reason, why: &dyn Display| reason.because(format!("{}: {why}", path.display()));
    let unread = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => because(Reason::ImageMissing, &error),
        _ => because(Reason::ImageUnreadable, &error),
    };
    let broken = |error: vision::Error| because(Reason::ImageUnreadable, &error);
    // A pipe would never end, and what is too large is not read to be refused.
    let limits = Limits::default();
    let file = fs::metadata(path).map_err(unread)?;
    if !file.is_file() {
        return Err(because(Reason::ImageUnreadable, &"is no file"));
    }
    if file.len() > limits.max_bytes as u64 {
        return Err(broken(vision::Error::TooManyBytes {
            got: file.len() as usize,
            limit: limits.max_bytes,
        }));
    }
    let bytes = fs::read(path).map_err(unread)?;
    let photo = vision::decode(&bytes, &limits).map_err(broken)?;
    Ok(Photo {
        size: photo.pixels.dimensions(),
        hash: blake3::hash(&bytes),
    })
}
