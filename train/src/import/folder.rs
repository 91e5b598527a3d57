//! What an import writes: a folder that is filled under another name and gets its own when it is whole. Decides nothing about rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use blake3::Hash;
use proto::Ontology;
use serde::Serialize;

use super::rows::Rejection;
use super::sort::Sorted;
use crate::data::{Record, Split, write_lines};
use crate::part::Part;
use crate::{Error, progress};

/// A line of `rejected.jsonl`.
#[derive(Serialize)]
struct Rejected<'a> {
    file: &'a Path,
    line: usize,
    #[serde(flatten)]
    why: &'a Rejection,
}

/// Writes the folder `out`. Files of `src` are named from there in `rejected.jsonl`.
pub(super) fn write(
    out: &Path,
    src: &Path,
    ontology: &Ontology,
    sorted: &[Sorted],
) -> Result<(), Error> {
    let part = Part::folder(out)?;
    let folder = part.path();
    write_facts(folder, sorted)?;
    write_lines(&folder.join("rejected.jsonl"), rejected(src, sorted))?;
    let path = folder.join("ontology.json");
    let text = serde_json::to_string_pretty(ontology).expect("strings and lists serialise");
    fs::write(&path, text + "\n").map_err(Error::io(&path))?;
    part.finish()
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
        for row in &split.kept {
            records.push(Record {
                img_id: album.place(name, &row.image, row.hash)?,
                ..row.record.clone()
            });
            bar.inc(1);
        }
        write_lines(&folder.join(format!("{name}.jsonl")), &records)?;
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
        rejected.map(move |(line, why)| Rejected {
            file,
            line: *line,
            why,
        })
    })
}

/// The images of all splits in one flat folder.
struct Album {
    folder: PathBuf,
    /// The name of every image that was placed.
    names: HashMap<PathBuf, String>,
    /// Every name given and whose it is, by the name in small letters: some file systems do not tell `A.jpg` from `a.jpg`.
    taken: HashMap<String, (String, Hash)>,
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
    fn place(&mut self, split: Split, image: &Path, hash: Hash) -> Result<String, Error> {
        if let Some(name) = self.names.get(image) {
            return Ok(name.clone());
        }
        let plain = image.file_name().expect("it was decoded");
        let plain = plain.to_string_lossy();
        let others = (2..).map(|number| format!("{split}-{number}-{plain}"));
        let names = [plain.to_string(), format!("{split}-{plain}")];
        for name in names.into_iter().chain(others) {
            let given = match self.taken.entry(name.to_lowercase()) {
                Entry::Occupied(taken) => {
                    let (given, whose) = taken.get();
                    (*whose == hash).then(|| given.clone())
                }
                Entry::Vacant(free) => put(image, &self.folder.join(&name))?
                    .then(|| free.insert((name, hash)).0.clone()),
            };
            if let Some(given) = given {
                self.names.insert(image.to_owned(), given.clone());
                return Ok(given);
            }
        }
        unreachable!("there are as many names as numbers")
    }
}

/// Makes `place` a second name of the file where the file system has such, a copy where it has not. Returns whether the place was free:
/// what is there may be the only copy of another image, so it is never written over.
fn put(image: &Path, place: &Path) -> Result<bool, Error> {
    // A link to a relative link would lead nowhere.
    let file = fs::canonicalize(image).map_err(Error::io(image))?;
    let placed = fs::hard_link(&file, place).or_else(|error| match error.kind() {
        ErrorKind::AlreadyExists => Err(error),
        _ => copy(&file, place),
    });
    match placed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::io(place)(error)),
    }
}

/// Copies a file to a place where none is.
fn copy(file: &Path, place: &Path) -> io::Result<()> {
    let mut from = File::open(file)?;
    io::copy(&mut from, &mut File::create_new(place)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// What a file system that takes two names for one, by letters or by marks, shows in the place of a new name.
    #[test]
    fn an_image_in_the_way_stays_as_it_is() {
        let folder = TempDir::new().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        for (name, bytes) in [("source.png", "theirs"), ("a.png", "ours")] {
            fs::write(at(name), bytes).expect("a new file");
        }
        fs::create_dir(at("images")).expect("a new folder");
        fs::hard_link(at("source.png"), at("images/a.png")).expect("a second name");
        let mut album = Album::new(at("images"));
        let hash = blake3::hash(b"ours");
        let name = album.place(Split::Test, &at("a.png"), hash);
        assert_eq!(name.expect("another name is free"), "test-a.png");
        let read = |name: &str| fs::read_to_string(at(name)).expect("it is there");
        assert_eq!(read("source.png"), "theirs");
        assert_eq!(read("images/test-a.png"), "ours");

        assert!(copy(&at("a.png"), &at("source.png")).is_err());
        copy(&at("a.png"), &at("copy.png")).expect("a free place");
        assert_eq!(
            (read("source.png"), read("copy.png")),
            ("theirs".into(), "ours".into())
        );
    }
}
