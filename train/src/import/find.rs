//! Which file of a published corpus is what, by the names its releases use. Never guesses: two candidates are refused. Reads no row.

use std::fs;
use std::path::{Path, PathBuf};

use super::corpus;
use crate::Error;
use crate::data::Split;

/// Folders of images by the names that releases of MORE and MNRE, and our own corpora, give them.
const IMAGE_FOLDERS: [&str; 4] = ["img_org", "images", "image", "mnre_image"];

/// The files of a corpus.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// At least one.
    pub splits: Vec<SplitFiles>,
    /// The file that lists the labels.
    pub relations: Option<PathBuf>,
}

/// The files of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SplitFiles {
    /// Which.
    pub split: Split,
    /// One row a line.
    pub rows: PathBuf,
    /// Where its images lie.
    pub images: PathBuf,
}

/// What releases call a split.
const fn names(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["train"],
        Split::Dev => &["dev", "val", "valid", "validation"],
        Split::Test => &["test"],
    }
}

/// The files of the corpus in `src`, or of the one that is the file `src`.
pub(super) fn find(src: &Path, images: Option<&Path>) -> Result<Found, Error> {
    let folder = match src.parent() {
        Some(parent) if src.is_file() => parent,
        _ if src.is_dir() => src,
        _ => return Err(corpus(src, "is no file and no folder")),
    };
    let images = match images {
        Some(folder) if folder.is_dir() => folder.to_owned(),
        Some(folder) => return Err(corpus(folder, "is no folder of images")),
        None => image_folder(folder)?,
    };
    if src.is_file() {
        // A file that names no split is there to learn from. The only file is one of rows whatever its ending.
        let is_named = |split: &Split| last_word_is(src, *split);
        let split = Split::ALL.into_iter().find(is_named);
        let split = files_of(split.unwrap_or(Split::Train), src.to_owned(), &images)?;
        return Ok(Found {
            splits: vec![split],
            relations: None,
        });
    }
    let files = files(src)?;
    let mut splits = vec![];
    for split in Split::ALL {
        let rows = files.iter().filter(|file| is_named(file, split));
        if let Some(rows) = only(src, &format!("rows of {split}"), rows)? {
            splits.push(files_of(split, rows.clone(), &images)?);
        }
    }
    if splits.is_empty() {
        let reason = "has no file of rows: train, dev (or val, valid) and test are looked for, ending in .txt or .jsonl, \
            in the folder itself and in txt or *_txt inside";
        return Err(corpus(src, reason));
    }
    let relations = |file: &&PathBuf| {
        let name = file.file_name().and_then(|it| it.to_str());
        name.is_some_and(|it| it.ends_with("rel2id.json"))
    };
    let relations = files.iter().filter(relations);
    Ok(Found {
        splits,
        relations: only(src, "the list of relations", relations)?.cloned(),
    })
}

/// The only candidate, if there is one.
fn only<'a>(
    src: &Path,
    what: &str,
    candidates: impl Iterator<Item = &'a PathBuf>,
) -> Result<Option<&'a PathBuf>, Error> {
    let candidates: Vec<&PathBuf> = candidates.collect();
    if let [] | [_] = candidates[..] {
        return Ok(candidates.first().copied());
    }
    let names: Vec<_> = candidates
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    let reason = format!(
        "{what} could be any of {}: leave one of them",
        names.join(", ")
    );
    Err(corpus(src, reason))
}

/// The files of `src` and of its folders of texts, in the order of their names; hidden ones (macOS leaves some) are none.
fn files(src: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = vec![];
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let name = path.file_name().and_then(|it| it.to_str());
            let name = name.unwrap_or_default().to_owned();
            if name.starts_with('.') {
                continue;
            }
            if path.is_file() {
                files.push(path);
            } else if folder == src && (name == "txt" || name.ends_with("_txt")) {
                folders.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file is one of the rows of a split, by its ending and its last word.
fn is_named(file: &Path, split: Split) -> bool {
    let end = file.extension().and_then(|it| it.to_str());
    matches!(end, Some("txt" | "jsonl")) && last_word_is(file, split)
}

/// Whether the last word of a file's name is a split, as in `ours_val.txt`. One release of MNRE has a blank before the dot.
fn last_word_is(file: &Path, split: Split) -> bool {
    let stem = file.file_stem().and_then(|it| it.to_str());
    let stem = stem.unwrap_or_default().trim().to_lowercase();
    let last = stem.rsplit(['_', '-']).next().unwrap_or_default();
    names(split).contains(&last)
}

/// The folder of images in the corpus.
fn image_folder(src: &Path) -> Result<PathBuf, Error> {
    let folders = IMAGE_FOLDERS.map(|name| src.join(name));
    let folders = folders.iter().filter(|it| it.is_dir());
    let hint = || {
        let reason = format!(
            "has none of the folders {}: name that of the images",
            IMAGE_FOLDERS.join(", ")
        );
        corpus(src, reason)
    };
    only(src, "the folder of images", folders)?
        .cloned()
        .ok_or_else(hint)
}

/// The files of `split`, whose images lie in a folder of its own or in that of all.
fn files_of(split: Split, rows: PathBuf, images: &Path) -> Result<SplitFiles, Error> {
    let own: Vec<PathBuf> = names(split).iter().map(|it| images.join(it)).collect();
    let own = own.iter().filter(|it| it.is_dir());
    let own = only(images, &format!("the images of {split}"), own)?.cloned();
    Ok(SplitFiles {
        split,
        rows,
        images: own.unwrap_or_else(|| images.to_owned()),
    })
}
