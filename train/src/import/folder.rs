//! What an import writes: a folder that is filled under another name and gets its own when it is whole. Decides nothing about rows.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use proto::Ontology;
use serde::Serialize;

use super::Error;
use super::rows::Reason;
use super::sort::Sorted;
use crate::data::{Record, Split, write_lines};
use crate::progress;

/// A line of `rejected.jsonl`.
#[derive(Serialize)]
struct Rejected<'a> {
    file: &'a Path,
    line: usize,
    reason: Reason,
    detail: &'a str,
}

/// Refuses a folder that cannot be written because something is there.
pub(super) fn check_free(out: &Path) -> Result<(), Error> {
    let refuse = |reason| {
        let path = out.to_owned();
        Err(Error::Out { path, reason })
    };
    if out.file_name().is_none() {
        return refuse("has no name to write under");
    }
    if !out.exists() {
        return Ok(());
    }
    if !out.is_dir() {
        return refuse("is there already, and is no folder");
    }
    let mut entries = fs::read_dir(out).map_err(Error::io(out))?;
    if entries.next().is_some() {
        return refuse("is there already, and is not empty");
    }
    Ok(())
}

/// Writes the folder `out`. Files of `src` are named from there in `rejected.jsonl`.
pub(super) fn write(
    out: &Path,
    src: &Path,
    ontology: &Ontology,
    sorted: &[Sorted],
) -> Result<(), Error> {
    let part = Part::make(out)?;
    write_facts(&part.0, sorted)?;
    let path = part.0.join("rejected.jsonl");
    write_lines(&path, rejected(src, sorted)).map_err(Error::io(&path))?;
    let path = part.0.join("ontology.json");
    let text = serde_json::to_string_pretty(ontology).expect("strings and lists serialise");
    fs::write(&path, text + "\n").map_err(Error::io(&path))?;
    if out.is_dir() {
        fs::remove_dir(out).map_err(Error::io(out))?; // It is empty.
    }
    fs::rename(&part.0, out).map_err(Error::io(out))
}

/// A folder beside the one to write, which goes away unless it was renamed.
struct Part(PathBuf);

impl Part {
    fn make(out: &Path) -> Result<Self, Error> {
        // Two imports at once have two folders.
        let part = out.with_added_extension(format!("part-{}", std::process::id()));
        let parent = part.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
        fs::create_dir(&part).map_err(Error::io(&part))?;
        Ok(Self(part))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // Renamed, or nobody is left to tell.
    }
}

/// Writes the good rows and their images.
fn write_facts(folder: &Path, sorted: &[Sorted]) -> Result<(), Error> {
    let images = folder.join("images");
    fs::create_dir(&images).map_err(Error::io(&images))?;
    let mut album = Album::new(images);
    let bar = progress::bar(sorted.iter().map(|it| it.kept.len()).sum(), "facts");
    for split in sorted {
        let name = split.files.split;
        let mut records: Vec<Record> = Vec::with_capacity(split.kept.len());
        for (record, image) in &split.kept {
            let img_id = album.place(name, image)?;
            records.push(Record {
                img_id,
                ..record.clone()
            });
            bar.inc(1);
        }
        let path = folder.join(format!("{name}.jsonl"));
        write_lines(&path, &records).map_err(Error::io(&path))?;
    }
    bar.finish();
    Ok(())
}

/// The bad rows of all splits.
fn rejected<'a>(src: &'a Path, sorted: &'a [Sorted]) -> impl Iterator<Item = Rejected<'a>> {
    sorted.iter().flat_map(move |split| {
        let rows = &split.files.rows;
        let inside = rows.strip_prefix(src).ok();
        let inside = inside.filter(|it| !it.as_os_str().is_empty()); // `src` may be the file itself.
        let file = inside.unwrap_or(rows);
        let rejected = split.rejected.iter();
        rejected.map(move |(line, rejection)| Rejected {
            file,
            line: *line,
            reason: rejection.reason,
            detail: &rejection.detail,
        })
    })
}

/// The images of all splits in one flat folder.
struct Album {
    folder: PathBuf,
    /// The name of every image that was placed.
    names: HashMap<PathBuf, String>,
    /// The image that has a name.
    taken: HashMap<String, PathBuf>,
}

impl Album {
    fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            names: HashMap::new(),
            taken: HashMap::new(),
        }
    }

    /// The name of `image` in the folder, where it is put at first. Another image of that name gets the split before it.
    fn place(&mut self, split: Split, image: &Path) -> Result<String, Error> {
        if let Some(name) = self.names.get(image) {
            return Ok(name.clone());
        }
        let plain = image.file_name().expect("it was decoded");
        let plain = plain.to_string_lossy();
        let others = (2..).map(|number| format!("{split}-{number}-{plain}"));
        let names = [plain.to_string(), format!("{split}-{plain}")];
        for name in names.into_iter().chain(others) {
            if !self.taken.contains_key(&name) {
                self.put(image, &name)?;
            }
            if same(&self.taken[&name], image)? {
                self.names.insert(image.to_owned(), name.clone());
                return Ok(name);
            }
        }
        unreachable!("there are as many names as numbers")
    }

    /// A second name for the file where the file system has such, a copy where it has not.
    fn put(&mut self, image: &Path, name: &str) -> Result<(), Error> {
        let place = self.folder.join(name);
        // A link to a relative link would lead nowhere.
        let file = fs::canonicalize(image).map_err(Error::io(image))?;
        if fs::hard_link(&file, &place).is_err() {
            fs::copy(&file, &place).map_err(Error::io(&place))?;
        }
        self.taken.insert(name.to_owned(), image.to_owned());
        Ok(())
    }
}

/// Whether two files are or hold the same.
fn same(one: &Path, other: &Path) -> Result<bool, Error> {
    if one == other {
        return Ok(true);
    }
    let read = |path: &Path| fs::read(path).map_err(Error::io(path));
    Ok(read(one)? == read(other)?)
}
