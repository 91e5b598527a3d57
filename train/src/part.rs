//! Files and folders that are there when they are whole: they are written under another name beside their own and renamed. What was begun
//! and not finished goes away, unless the process is killed: then it stays under the other name. A journal that another run goes on with is
//! `lines.rs`.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::data::write_lines;

/// What is being written, under its other name.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    out: PathBuf,
}

impl Part {
    /// The file `out` with these lines, once it is finished.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn lines<T: Serialize>(
        out: &Path,
        lines: impl IntoIterator<Item = T>,
    ) -> Result<Self, Error> {
        let part = Self::file(out)?;
        match write_lines(&part.path, lines) {
            Err(Error::Io { fault, .. }) => Err(Error::io(out)(fault)),
            other => other.map(|()| part),
        }
    }

    /// The file `out` with this text, once it is finished.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn text(out: &Path, text: &str) -> Result<Self, Error> {
        let part = Self::file(out)?;
        fs::write(&part.path, text).map_err(Error::io(out))?;
        Ok(part)
    }

    fn file(out: &Path) -> Result<Self, Error> {
        let path = beside(out);
        File::create_new(&path).map_err(blame(out, &path))?;
        Ok(Self::new(path, out))
    }

    /// The folder `out`, once it is finished; it is empty now.
    ///
    /// # Errors
    /// As [`check_free`], and a folder that cannot be made.
    pub fn folder(out: &Path) -> Result<Self, Error> {
        check_free(out)?;
        let path = beside(out);
        let parent = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(Error::io(out))?;
        fs::create_dir(&path).map_err(blame(out, &path))?;
        Ok(Self::new(path, out))
    }

    /// Only what is ours: dropping it removes it.
    fn new(path: PathBuf, out: &Path) -> Self {
        let out = out.to_owned();
        Self { path, out }
    }

    /// Where it is until it is finished.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its own name. A file that has that name is replaced, and so is an empty folder.
    ///
    /// # Errors
    /// A name that cannot be given.
    pub fn finish(self) -> Result<(), Error> {
        if self.path.is_dir() && self.out.is_dir() {
            fs::remove_dir(&self.out).map_err(Error::io(&self.out))?; // only where it is empty
        }
        fs::rename(&self.path, &self.out).map_err(Error::io(&self.out))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Renamed, or nobody is left to tell.
        let _ = if self.path.is_dir() {
            fs::remove_dir_all(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
    }
}

/// Refuses a folder that cannot be written because something is there.
///
/// # Errors
/// What is there, or a path without a name.
pub(crate) fn check_free(out: &Path) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::config(out)(reason.to_owned()));
    if out.file_name().is_none() {
        return refuse("has no name to write under");
    }
    if !out.try_exists().map_err(Error::io(out))? {
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

/// Names `out`, the path that somebody asked for, unless its other name is what is in the way.
fn blame(out: &Path, other: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let (out, other) = (out.to_owned(), other.to_owned());
    move |fault| match fault.kind() {
        ErrorKind::AlreadyExists => Error::io(other)(fault),
        _ => Error::io(out)(fault),
    }
}

/// The other name. Two runs at once have two.
fn beside(out: &Path) -> PathBuf {
    out.with_added_extension(format!("part-{}", std::process::id()))
}

/// The first two of some named paths that lead to the same file, whether it is there or not.
pub fn same_file<'a>(paths: &[(&'a str, &Path)]) -> Option<[&'a str; 2]> {
    let real: Vec<(&str, PathBuf)> = paths
        .iter()
        .map(|(name, path)| (*name, resolved(path)))
        .collect();
    let pairs = real.iter().enumerate().flat_map(|(at, (name, path))| {
        let earlier = real[..at].iter().filter(move |(_, it)| it == path);
        earlier.map(|(other, _)| [*other, *name])
    });
    pairs.into_iter().next()
}

/// The path without links, `.` and `..`, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).expect("it is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.expect("a readable folder").file_name();
            name.into_string().expect("a plain name")
        };
        entries.map(name).collect()
    }

    #[test]
    fn what_is_not_finished_goes_away() {
        let folder = TempDir::new().expect("a folder for the test");
        let out = folder.path().join("out");
        drop(Part::lines(&out, [1, 2]).expect("a new file"));
        let part = Part::folder(&out).expect("a new folder");
        fs::write(part.path().join("inside"), "x").expect("a new file");
        assert_eq!(names(&folder).len(), 1);
        drop(part);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn what_is_finished_has_its_name() {
        let folder = TempDir::new().expect("a folder for the test");
        let out = folder.path().join("out");
        fs::write(&out, "before").expect("a new file");
        let part = Part::lines(&out, [1, 2]).expect("a new file");
        assert_eq!(fs::read(&out).expect("it is there"), b"before");
        part.finish().expect("a free name");
        assert_eq!(fs::read(&out).expect("it is there"), b"1\n2\n");
        assert_eq!(names(&folder), ["out"]);
    }

    #[test]
    fn a_folder_takes_the_place_of_nothing_but_an_empty_one() {
        let folder = TempDir::new().expect("a folder for the test");
        let out = folder.path().join("out");
        fs::create_dir(&out).expect("a new folder");
        let part = Part::folder(&out).expect("an empty folder is as good as none");
        fs::write(part.path().join("inside"), "x").expect("a new file");
        part.finish().expect("nobody has come in between");
        assert_eq!(fs::read(out.join("inside")).expect("it is there"), b"x");
        for (path, reason) in [(&out, "not empty"), (&out.join("inside"), "no folder")] {
            let error = Part::folder(path).expect_err("something is there");
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(names(&folder), ["out"]);
        // What comes in meanwhile stays too.
        let late = folder.path().join("late");
        let part = Part::folder(&late).expect("a free name");
        fs::create_dir_all(late.join("theirs")).expect("a new folder");
        part.finish().expect_err("the name is taken");
        assert!(late.join("theirs").is_dir());
    }

    /// A file of the other name is somebody's: it is neither written over nor removed.
    #[test]
    fn nothing_that_is_there_is_used() {
        let folder = TempDir::new().expect("a folder for the test");
        let out = folder.path().join("out");
        let other = beside(&out);
        fs::write(&other, "somebody's").expect("a new file");
        Part::lines(&out, [1]).expect_err("the name is taken");
        Part::folder(&out).expect_err("the name is taken");
        assert_eq!(fs::read(&other).expect("it is there"), b"somebody's");
    }

    /// Nobody knows a file by the name it has while it is written.
    #[test]
    fn what_cannot_be_made_is_called_by_its_own_name() {
        let folder = TempDir::new().expect("a folder for the test");
        let file = folder.path().join("file");
        fs::write(&file, "x").expect("a new file");
        let named = |error: Error, out: &Path| {
            let text = error.to_string();
            assert!(text.starts_with(&format!("{}: ", out.display())), "{text}");
        };
        let out = folder.path().join("nowhere/out.jsonl");
        named(Part::lines(&out, [1]).expect_err("no such folder"), &out);
        let out = file.join("out");
        named(Part::folder(&out).expect_err("no folder above"), &out);
        assert_eq!(names(&folder), ["file"]);
    }

    #[test]
    fn paths_are_compared_by_where_they_lead() {
        let folder = TempDir::new().expect("a folder for the test");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).expect("a new folder");
        fs::write(at("a"), "").expect("a new file");
        let same = |first: &str, second: &str| {
            let (first, second) = (at(first), at(second));
            same_file(&[("x", Path::new("y")), ("one", &first), ("two", &second)])
        };
        for (first, second) in [
            ("a", "inner/../a"),
            ("new", "./new"),
            ("inner/new", "inner/./new"),
        ] {
            assert_eq!(
                same(first, second),
                Some(["one", "two"]),
                "{first} {second}"
            );
        }
        for (first, second) in [("a", "inner/a"), ("new", "newer"), ("no/new", "new")] {
            assert_eq!(same(first, second), None, "{first} {second}");
        }
    }
}
