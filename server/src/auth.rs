//! Who may use the service: keys, of which only hashes are kept. Not here: how a key is sent (`http/guard.rs`).
//!
//! A key is 32 random bytes, so that a fast hash is enough: there is nothing to guess.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;

use crate::settings::UsageError;

/// What every key begins with, so that scanners for secrets find it.
const PREFIX: &str = "mr1_";

/// The keys of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose it is, for the log.
    pub name: String,
    /// Whether it may change the service.
    pub admin: bool,
    hash: blake3::Hash,
}

impl Keys {
    /// Reads a file of keys.
    ///
    /// # Errors
    /// A file that is not there, a line that is no key.
    pub fn read(file: &Path) -> Result<Self, UsageError> {
        let wrong = |reason: String| UsageError(format!("--api-keys {}: {reason}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).map_err(wrong)
    }

    /// One key a line: its name, the hash of it, and `admin` for those who may change the service. `#` begins a remark.
    ///
    /// # Errors
    /// The line that is no key; no key at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = vec![];
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let parts: Vec<&str> = line.split_whitespace().collect();
            let (name, hash, admin) = match parts[..] {
                [] => continue,
                [name, hash] => (name, hash, false),
                [name, hash, "admin"] => (name, hash, true),
                _ => {
                    return Err(format!(
                        "line {}: not NAME HASH or NAME HASH admin",
                        index + 1
                    ));
                }
            };
            let hash = blake3::Hash::from_hex(hash).map_err(|_| {
                format!("line {}: the hash is not 64 hexadecimal digits", index + 1)
            })?;
            keys.push(Key {
                name: name.to_owned(),
                admin,
                hash,
            });
        }
        if keys.is_empty() {
            return Err("there is no key in it; `more-r1 key` makes one".to_owned());
        }
        Ok(Self(keys))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The key that was sent, if it is one. Every key is compared, and every comparison takes the same time.
    pub fn find(&self, sent: &str) -> Option<&Key> {
        let hash = blake3::hash(sent.as_bytes());
        let equal = |found: Option<usize>, index: usize| {
            if self.0[index].hash == hash {
                Some(index)
            } else {
                found
            }
        };
        let found = (0..self.0.len()).fold(None, equal)?;
        Some(&self.0[found])
    }
}

/// A new key, and its line for the file.
pub fn make(name: &str, admin: bool) -> (String, String) {
    let bytes: [u8; 32] = rand::rng().random();
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash = blake3::hash(key.as_bytes()).to_hex();
    let right = if admin { " admin" } else { "" };
    (key, format!("{name} {hash}{right}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_hash() {
        let ((alice, first), (root, second)) = (make("alice", false), make("root", true));
        assert_ne!(alice, root);
        let keys =
            Keys::parse(&format!("# keys\n{first}\n\n  {second} # all\n")).expect("two keys");
        assert_eq!(keys.count(), 2);
        assert!(
            keys.find(&alice)
                .is_some_and(|key| key.name == "alice" && !key.admin)
        );
        assert!(
            keys.find(&root)
                .is_some_and(|key| key.name == "root" && key.admin)
        );
        for wrong in ["", "mr1_", &alice[..alice.len() - 1], &format!("{alice} ")] {
            assert_eq!(keys.find(wrong), None);
        }
        assert!(!first.contains(&alice), "only the hash is in the file");
    }

    #[test]
    fn a_file_of_keys_is_read_strictly() {
        for (text, place) in [
            ("", "no key"),
            ("# nothing\n", "no key"),
            ("alice", "line 1"),
            ("\nalice abc", "line 2"),
            (&format!("alice {} boss", "0".repeat(64)), "line 1"),
        ] {
            let error = Keys::parse(text).expect_err(text);
            assert!(error.contains(place), "{text}: {error}");
        }
    }
}
