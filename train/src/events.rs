//! `TensorBoard`'s event files: every number of a line of metrics under the same tag. Each session of a run writes a file of its own, whose
//! first record takes back what earlier ones said of its steps. Reads nothing.
//!
//! A file is a series of `TFRecord`s, each a protobuf `Event` between its length and checksums (tensorflow,
//! `core/lib/io/record_writer.h`, `core/util/event.proto`). Written by hand: `tensorboard-rs`, `tfrecord` and `tboard` have had no release
//! since 2024 and need protobuf 2 or prost 0.12, where prost 0.14 is in the tree.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::Error;

/// What `TensorBoard` takes for a start: later records replace those of earlier files from this one's step on.
const START: i32 = 1;

#[derive(Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

#[derive(Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The file of one session; made when there is something to say.
#[derive(Debug)]
pub struct Events {
    folder: PathBuf,
    /// The first step that this session may tell of.
    first: usize,
    file: Option<(PathBuf, File)>,
}

impl Events {
    /// Those of a session that goes on in `folder` after `step` steps.
    pub fn after(folder: &Path, step: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            first: step + 1,
            file: None,
        }
    }

    /// Adds the numbers of one step.
    ///
    /// # Errors
    /// A disk that does not take them.
    pub fn append<'a>(
        &mut self,
        step: usize,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default(); // a clock before 1970 spoils an axis, not a run
        let mut bytes = vec![];
        let (path, file) = match &mut self.file {
            Some(open) => open,
            none => {
                // TensorBoard reads files in the order of their names.
                let (seconds, rest) = (now.as_secs(), now.subsec_nanos());
                let name = format!("events.out.tfevents.{seconds:010}.{rest:09}");
                let path = self.folder.join(name);
                let file = File::create_new(&path).map_err(Error::io(&path))?;
                bytes = opening(now.as_secs_f64(), self.first);
                none.insert((path, file))
            }
        };
        bytes.extend(told(now.as_secs_f64(), step, scalars));
        file.write_all(&bytes).map_err(Error::io(&*path))
    }
}

/// The first records of a file: its version, and the step from which on it counts instead of earlier files.
fn opening(wall_time: f64, first: usize) -> Vec<u8> {
    let version = Event {
        wall_time,
        file_version: Some("brain.Event:2".to_owned()),
        ..Event::default()
    };
    let start = Event {
        wall_time,
        step: first as i64,
        session_log: Some(SessionLog { status: START }),
        ..Event::default()
    };
    [framed(&version), framed(&start)].concat()
}

fn told<'a>(
    wall_time: f64,
    step: usize,
    scalars: impl IntoIterator<Item = (&'a str, f64)>,
) -> Vec<u8> {
    let scalar = |(tag, value): (&str, f64)| Scalar {
        tag: tag.to_owned(),
        simple_value: Some(value as f32),
    };
    framed(&Event {
        wall_time,
        step: step as i64,
        summary: Some(Summary {
            value: scalars.into_iter().map(scalar).collect(),
        }),
        ..Event::default()
    })
}

/// One `TFRecord`: length, its checksum, the event, its checksum.
fn framed(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    let sums = [&length[..], &data].map(|bytes| masked(bytes).to_le_bytes());
    [&length[..], &sums[0], &data, &sums[1]].concat()
}

/// The checksum as the format wants it, so that sums over sums stay good.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `golden/events.py` writes the same with the classes of `TensorBoard`.
    #[test]
    fn the_bytes_are_tensorboards() {
        let golden = include_bytes!("../tests/golden/events.bin");
        let first = [("loss", 2.5), ("reward/format/mean", 0.0)];
        let second = [("loss", 1.0 / 3.0), ("größer", -1e30)];
        let ours = [
            opening(1.5, 1),
            told(2.25, 1, first),
            told(1_732_206_000.125, 300, second),
        ];
        assert!(ours.concat() == golden, "run train/tests/golden/events.py");
    }
}
