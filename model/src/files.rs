//! Where a checkpoint's files come from: a directory, or bytes inside the binary. Knows no format.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::Error;

/// The source of a checkpoint in Hugging Face layout.
#[derive(Clone, Debug)]
pub enum Files {
    /// A directory on disk.
    Dir(PathBuf),
    /// `(file name, content)` pairs compiled into the binary.
    Embedded(&'static [(&'static str, &'static [u8])]),
}

/// One open file of a checkpoint, read from the front or from an offset.
#[derive(Debug)]
pub enum Reader {
    /// On disk.
    Disk(PathBuf, File),
    /// In memory.
    Memory(&'static [u8]),
}

impl Files {
    /// The names of the files present that end in `suffix`, sorted.
    ///
    /// # Errors
    /// A directory that cannot be listed.
    pub fn names(&self, suffix: &str) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = match self {
            Self::Dir(path) => std::fs::read_dir(path)
                .map_err(|fault| Error::Io {
                    path: path.clone(),
                    fault,
                })?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect(),
            Self::Embedded(files) => files.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        names.retain(|name| name.ends_with(suffix));
        names.sort();
        Ok(names)
    }

    /// That there is no `file` among them.
    pub fn missing(&self, file: &str) -> Error {
        Error::MissingFile {
            checkpoint: match self {
                Self::Dir(path) => path.display().to_string(),
                Self::Embedded(_) => "inside this binary".to_owned(),
            },
            file: file.to_owned(),
        }
    }

    /// The whole content of `name`, or `None` where there is no such file.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(fault) => Err(Error::Io { path, fault }),
                }
            }
            Self::Embedded(files) => Ok(files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|(_, bytes)| bytes.to_vec())),
        }
    }

    /// The JSON in `name`, or `None` where there is no such file.
    ///
    /// # Errors
    /// A file that cannot be read or is no JSON.
    pub fn json(&self, name: &str) -> Result<Option<serde_json::Value>, Error> {
        self.read(name)?
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| Error::bad(name, error)))
            .transpose()
    }

    /// Opens `name` for reading by offset.
    ///
    /// # Errors
    /// A file that is not there or cannot be opened.
    pub fn open(&self, name: &str) -> Result<Reader, Error> {
        match self {
            Self::Dir(dir) => {
                let path = dir.join(name);
                match File::open(&path) {
                    Ok(file) => Ok(Reader::Disk(path, file)),
                    Err(fault) => Err(Error::Io { path, fault }),
                }
            }
            Self::Embedded(files) => files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|(_, bytes)| Reader::Memory(bytes))
                .ok_or_else(|| self.missing(name)),
        }
    }
}

impl Reader {
    /// Bytes in the file.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn size(&self) -> Result<u64, Error> {
        match self {
            Self::Disk(path, file) => {
                let metadata = file.metadata().map_err(|fault| Error::Io {
                    path: path.clone(),
                    fault,
                })?;
                Ok(metadata.len())
            }
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Fills `buffer` from `offset`; a file that ends before is an error.
    ///
    /// # Errors
    /// A file that ends too early or cannot be read.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::Disk(path, file) => file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(buffer))
                .map_err(|fault| Error::Io {
                    path: path.clone(),
                    fault,
                }),
            Self::Memory(bytes) => {
                let mut rest = bytes.get(offset as usize..).unwrap_or_default();
                rest.read_exact(buffer).map_err(|fault| Error::Io {
                    path: PathBuf::from("(embedded)"),
                    fault,
                })
            }
        }
    }
}
