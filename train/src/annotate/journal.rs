//! The answers that were paid for, one a line, each on the disk before it counts. A line that a kill cut short is cut off; any other
//! line that cannot be read stops the run, since it was paid for. One process writes at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Usage;
use crate::Error;

/// One request that was paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The question, [`super::Question::key`].
    pub key: String,
    /// Who answered.
    pub model: String,
    /// What the expert wrote; absent where it was paid for and did not arrive.
    pub answer: Option<String>,
    /// What it took; an estimate where the expert did not say.
    pub usage: Usage,
}

/// The file, open for more.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal at `path`, new where there is none, and gives what it holds.
    ///
    /// # Errors
    /// A file that cannot be read, that another process writes, or that holds a line of something else.
    pub fn open(path: &Path) -> Result<(Self, Vec<Entry>), Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(Error::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another run writes to it".to_owned();
                let path = path.to_owned();
                return Err(Error::Config { path, reason });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
        }
        let (entries, whole) = entries(path, &file)?;
        file.set_len(whole).map_err(Error::io(path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io(path))?;
        let path = path.to_owned();
        Ok((Self { path, file }, entries))
    }

    /// What the journal at `path` holds; it stays as it is.
    ///
    /// # Errors
    /// A file that cannot be read or holds a line of something else.
    pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        entries(path, &file).map(|(entries, _)| entries)
    }

    /// Puts `entry` on the disk.
    ///
    /// # Errors
    /// A disk that does not take it; what it took of the line is cut off when the journal is opened again.
    pub fn append(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut line = serde_json::to_vec(entry).expect("plain data");
        line.push(b'\n');
        let written = self.file.write_all(&line);
        let kept = written.and_then(|()| self.file.sync_data());
        kept.map_err(Error::io(&self.path))
    }
}

/// The entries of a file, and how long its whole lines are.
fn entries(path: &Path, file: &File) -> Result<(Vec<Entry>, u64), Error> {
    let mut reader = BufReader::new(file);
    let (mut entries, mut whole, mut line) = (vec![], 0, vec![]);
    while reader
        .read_until(b'\n', &mut line)
        .map_err(Error::io(path))?
        > 0
    {
        if !line.ends_with(b"\n") {
            break;
        }
        let entry = serde_json::from_slice(&line).map_err(|error| {
            let number = entries.len() + 1;
            let reason = format!("line {number} is no answer of an expert: {error}");
            Error::io(path)(std::io::Error::new(ErrorKind::InvalidData, reason))
        })?;
        entries.push(entry);
        whole += line.len() as u64;
        line.clear();
    }
    Ok((entries, whole))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn entry(key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            model: "expert".to_owned(),
            answer: Some("<think>\n…".to_owned()),
            usage: Usage {
                prompt_tokens: 3,
                completion_tokens: 4,
            },
        }
    }

    #[test]
    fn a_torn_line_is_cut_wherever_it_broke() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).expect("a new file");
        journal.append(&entry("a")).expect("written");
        let first = std::fs::metadata(&path).expect("it is there").len();
        journal.append(&entry("b")).expect("written");
        drop(journal);
        let whole = std::fs::read(&path).expect("it is there");
        for end in first as usize..whole.len() {
            std::fs::write(&path, &whole[..end]).expect("a shorter file");
            assert_eq!(Journal::read(&path).expect("readable"), [entry("a")]);
            let (mut journal, entries) = Journal::open(&path).expect("readable");
            assert_eq!(entries, [entry("a")], "{end}");
            journal.append(&entry("b")).expect("written");
            assert_eq!(std::fs::read(&path).expect("it is there"), whole, "{end}");
        }
    }

    #[test]
    fn a_line_of_something_else_is_never_cut() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        std::fs::write(&path, "{\"relation\": \"none\"}\n").expect("a new file");
        let error = Journal::open(&path).expect_err("no journal").to_string();
        assert!(error.contains("line 1"), "{error}");
        assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 21);
    }

    #[test]
    fn a_journal_has_one_writer() {
        let folder = TempDir::new().expect("a folder for the test");
        let path = folder.path().join("journal");
        let first = Journal::open(&path).expect("a new file");
        let error = Journal::open(&path).expect_err("a second writer");
        assert!(error.to_string().contains("another run"), "{error}");
        drop(first);
        Journal::open(&path).expect("nobody else any more");
    }
}
