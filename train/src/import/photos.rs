//! Every image that rows name, decoded once, as training will decode it. Keeps sizes and hashes and lets the pixels go.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use blake3::Hash;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use vision::Limits;

use super::check::{Size, image_name};
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
            let names = records.map(|record| &record.img_id);
            let inside = names.filter(|name| image_name(name).is_ok());
            paths.extend(inside.map(|name| files.images.join(name)));
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
    let bytes = std::fs::read(path).map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::NotFound => Reason::ImageMissing,
            _ => Reason::ImageUnreadable,
        };
        reason.because(format!("{}: {error}", path.display()))
    })?;
    let photo = vision::decode(&bytes, &Limits::default())
        .map_err(|error| Reason::ImageUnreadable.because(format!("{}: {error}", path.display())))?;
    Ok(Photo {
        size: photo.pixels.dimensions(),
        hash: blake3::hash(&bytes),
    })
}
