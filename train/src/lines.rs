//! A file of JSON lines that outlives the run that writes it: another goes on behind its last whole line. One process writes at a time.
//! What a line holds, and whether it can be trusted, is its reader's business.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;

/// The file, open for more.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens the file at `path`, new where there is none, and gives what `read` makes of its whole lines up to the first that it makes
    /// nothing of; what stands behind is cut off.
    ///
    /// # Errors
    /// A file that cannot be read, or that another process writes; those of `read`, and the file stays as it is.
    pub fn open<T>(
        path: &Path,
        read: impl FnMut(&[u8]) -> Result<Option<T>, Error>,
    ) -> Result<(Self, Vec<T>), Error> {
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
        let (found, whole) = scan(path, &file, read)?;
        let cut = file.set_len(whole);
        let cut = cut.and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(Error::io(path))?;
        let path = path.to_owned();
        Ok((Self { path, file }, found))
    }

    /// The same of a file that stays as it is.
    ///
    /// # Errors
    /// A file that cannot be read; those of `read`.
    pub fn read<T>(
        path: &Path,
        read: impl FnMut(&[u8]) -> Result<Option<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        Ok(scan(path, &file, read)?.0)
    }

    /// Adds lines in one piece: they are in the file when it returns.
    ///
    /// # Errors
    /// A disk that does not take them; what it took of the last is cut off when the file is opened again.
    ///
    /// # Panics
    /// When a line is no plain data.
    pub fn append<T: Serialize>(&mut self, lines: &[T]) -> Result<(), Error> {
        let mut text = vec![];
        for line in lines {
            serde_json::to_writer(&mut text, line).expect("a line is plain data");
            text.push(b'\n');
        }
        self.file.write_all(&text).map_err(Error::io(&self.path))
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// What is trusted of a file, and its length in bytes.
fn scan<T>(
    path: &Path,
    file: &File,
    mut read: impl FnMut(&[u8]) -> Result<Option<T>, Error>,
) -> Result<(Vec<T>, u64), Error> {
    let mut reader = BufReader::new(file);
    let (mut found, mut whole, mut line) = (vec![], 0, vec![]);
    loop {
        let length = reader.read_until(b'\n', &mut line);
        if length.map_err(Error::io(path))? == 0 || !line.ends_with(b"\n") {
            return Ok((found, whole));
        }
        let Some(one) = read(&line)? else {
            return Ok((found, whole));
        };
        found.push(one);
        whole += line.len() as u64;
        line.clear();
    }
}
