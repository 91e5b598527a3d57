//! Safetensors out, under the published keys, one tensor in memory at a time. A file appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;

use crate::weights::file_key;
use crate::{Error, Qwen};

/// Bytes of weights in one of the files that [`save_shards`] writes, at most: what transformers writes too.
pub const SHARD: usize = 5_000_000_000;

/// Writes `network` to `path` as one safetensors file in `dtype`, under the published keys. The file appears whole or not at
/// all: it is written beside and renamed.
///
/// # Errors
/// A file that cannot be written.
pub fn save(network: &Qwen, path: &Path, dtype: Dtype) -> Result<(), Error> {
    write_file(path, dtype, entries(network, dtype))
}

/// Writes `network` into the folder `dir` as published checkpoints lie there: `model.safetensors`, or, where it has more than
/// `most` bytes, several files and their index.
///
/// # Errors
/// A file that cannot be written.
pub fn save_shards(network: &Qwen, dir: &Path, dtype: Dtype, most: usize) -> Result<(), Error> {
    let mut shards: Vec<Vec<Entry<'_>>> = vec![];
    let (mut total, mut filled) = (0, usize::MAX);
    for entry in entries(network, dtype) {
        let size = entry.numbers() * width(dtype);
        if filled.saturating_add(size) > most {
            shards.push(vec![]);
            filled = 0;
        }
        (total, filled) = (total + size, filled + size);
        shards.last_mut().expect("begun above").push(entry);
    }
    let count = shards.len();
    let mut index = serde_json::Map::new();
    for (number, shard) in (1..).zip(shards) {
        let name = match count {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{number:05}-of-{count:05}.safetensors"),
        };
        index.extend(shard.iter().map(|it| (it.key.clone(), json!(name))));
        write_file(&dir.join(name), dtype, shard)?;
    }
    if count == 1 {
        return Ok(());
    }
    let path = dir.join("model.safetensors.index.json");
    let index = json!({"metadata": {"total_size": total}, "weight_map": index});
    std::fs::write(&path, format!("{index:#}\n")).map_err(|fault| Error::Io { path, fault })
}

/// Every parameter of `network` by its published key.
pub fn parameters(network: &Qwen) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let tensors = collected(network).into_iter();
    let values = |data: TensorData| data.try_into_vec().expect("cast to f32");
    tensors
        .map(|(key, (shape, read))| (key, (shape, values(read(DType::F32)))))
        .collect()
}

/// Writes `(key, shape, values)` triples to `path` as safetensors in `dtype`, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    path: &Path,
    dtype: Dtype,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
) -> Result<(), Error> {
    let entries = tensors.iter().map(|(key, shape, values)| Entry {
        key: key.clone(),
        shape: shape.clone(),
        write: Box::new(move |out| encode(values, dtype, out)),
    });
    write_file(path, dtype, entries.collect())
}

/// Writes the values of a tensor.
type Values<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'a>;

/// A tensor on its way into a file.
struct Entry<'a> {
    key: String,
    shape: Vec<usize>,
    write: Values<'a>,
}

impl Entry<'_> {
    fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// The parameters of `network` by key, shaped as published checkpoints have them.
fn entries(network: &Qwen, dtype: Dtype) -> Vec<Entry<'static>> {
    let vision = &network.config().vision;
    let convolution = [
        vision.hidden_size,
        vision.in_channels,
        vision.temporal_patch_size,
        vision.patch_size,
        vision.patch_size,
    ];
    let to = match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        _ => DType::BF16,
    };
    let tensors = collected(network).into_iter();
    tensors
        .map(|(key, (shape, read))| Entry {
            shape: match key.as_str() {
                "visual.patch_embed.proj.weight" => convolution.to_vec(),
                _ => shape,
            },
            key,
            // Little-endian, as every machine is that burn computes on.
            write: Box::new(move |out| out.write_all(read(to).as_bytes())),
        })
        .collect()
}

/// A shape, and what reads the values as a type.
type Held = (Vec<usize>, Box<dyn FnOnce(DType) -> TensorData>);

fn collected(network: &Qwen) -> BTreeMap<String, Held> {
    let mut collector = Collector::default();
    network.visit(&mut collector);
    collector.tensors
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: BTreeMap<String, Held>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let read = Box::new(move |dtype| tensor.cast(dtype).into_data());
        self.tensors.insert(file_key(&self.path), (shape, read));
    }
}

fn width(dtype: Dtype) -> usize {
    if dtype == Dtype::F32 { 4 } else { 2 }
}

fn encode(values: &[f32], dtype: Dtype, out: &mut dyn Write) -> io::Result<()> {
    for &value in values {
        match dtype {
            Dtype::F32 => out.write_all(&value.to_le_bytes()),
            Dtype::F16 => out.write_all(&f16::from_f32(value).to_le_bytes()),
            _ => out.write_all(&bf16::from_f32(value).to_le_bytes()),
        }?;
    }
    Ok(())
}

fn write_file(path: &Path, dtype: Dtype, entries: Vec<Entry<'_>>) -> Result<(), Error> {
    let mut offset = 0;
    let infos = entries.iter().map(|entry| {
        let start = offset;
        offset += entry.numbers() * width(dtype);
        let info = TensorInfo {
            dtype,
            shape: entry.shape.clone(),
            data_offsets: (start, offset),
        };
        (entry.key.clone(), info)
    });
    let format = [("format".to_owned(), "pt".to_owned())]
        .into_iter()
        .collect();
    let metadata = Metadata::new(Some(format), infos.collect())
        .map_err(|error| Error::bad("safetensors", error))?;
    let mut header =
        serde_json::to_vec(&metadata).map_err(|error| Error::bad("safetensors", error))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let beside = path.with_extension("safetensors.tmp");
    let io = |fault| Error::Io {
        path: path.to_owned(),
        fault,
    };
    let mut out = BufWriter::new(File::create(&beside).map_err(io)?);
    out.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(io)?;
    out.write_all(&header).map_err(io)?;
    for entry in entries {
        (entry.write)(&mut out).map_err(io)?;
    }
    let file = out.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}
