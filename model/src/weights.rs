//! Safetensors in and out, one tensor at a time. Module paths are checkpoint keys; the few that differ are in `file_key`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::files::{Files, Reader};
use crate::{Error, Qwen};

/// Bytes converted at a time, so that loading needs little more memory than the weights themselves.
const CHUNK: usize = 32 << 20;

/// Fills `network` (whose parameters may be lazy) from the safetensors of `files`.
///
/// # Errors
/// Missing, unexpected and mis-shaped tensors are all listed by name.
pub fn load(network: Qwen, files: &Files, dtype: DType, device: &Device) -> Result<Qwen, Error> {
    let archive = Archive::open(files)?;
    let tied = network.config().tie_word_embeddings;
    let mut loader = Loader {
        archive,
        dtype,
        device,
        path: vec![],
        missing: vec![],
        misshaped: vec![],
        failure: None,
    };
    let network = network.map(&mut loader);
    if let Some(error) = loader.failure {
        return Err(error);
    }
    // Published dumps may repeat the tied head and keep the fixed rotary frequencies; both say nothing new.
    let harmless =
        |key: &str| key.ends_with("rotary_emb.inv_freq") || (tied && key == "lm_head.weight");
    let unexpected: Vec<String> = loader
        .archive
        .tensors
        .iter()
        .filter(|(key, entry)| !entry.used && !harmless(key))
        .map(|(_, entry)| entry.name.clone())
        .collect();
    let (missing, misshaped) = (loader.missing, loader.misshaped);
    if missing.is_empty() && misshaped.is_empty() && unexpected.is_empty() {
        Ok(network)
    } else {
        Err(Error::Weights {
            missing,
            unexpected,
            misshaped,
        })
    }
}

/// The key a published checkpoint uses for the parameter at `path`.
fn file_key(path: &[String]) -> String {
    path.join(".")
        .replace("visual.merger.mlp.1.", "visual.merger.mlp.2.")
}

/// One spelling for both key schemes: newer dumps say `model.visual.*` and `model.language_model.*`.
fn canonical(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else if let Some(rest) = name.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else {
        name.to_owned()
    }
}

/// The tensors of every shard.
struct Archive {
    readers: Vec<Reader>,
    tensors: BTreeMap<String, Entry>,
}

struct Entry {
    name: String,
    reader: usize,
    offset: u64,
    info: TensorInfo,
    used: bool,
}

impl Archive {
    fn open(files: &Files) -> Result<Self, Error> {
        let names = files.names(".safetensors")?;
        if names.is_empty() {
            return Err(Error::MissingFile("*.safetensors".into()));
        }
        let mut archive = Self {
            readers: vec![],
            tensors: BTreeMap::new(),
        };
        for file in names {
            let mut reader = files.open(&file)?;
            let size = reader.len()?;
            let mut head = [0; 8];
            reader.read_at(0, &mut head)?;
            let length = u64::from_le_bytes(head);
            if length > size.saturating_sub(8) {
                return Err(Error::bad(
                    &file,
                    format!("a header of {length} bytes in a file of {size}"),
                ));
            }
            let mut header = vec![0; length as usize];
            reader.read_at(8, &mut header)?;
            let metadata: Metadata =
                serde_json::from_slice(&header).map_err(|error| Error::bad(&file, error))?;
            for (name, info) in metadata.tensors() {
                if 8 + length + info.data_offsets.1 as u64 > size {
                    return Err(Error::bad(
                        &file,
                        format!("{name} ends behind the end of the file (is it cut short?)"),
                    ));
                }
                let entry = Entry {
                    name: name.clone(),
                    reader: archive.readers.len(),
                    offset: 8 + length + info.data_offsets.0 as u64,
                    info: info.clone(),
                    used: false,
                };
                if archive.tensors.insert(canonical(&name), entry).is_some() {
                    return Err(Error::bad(&file, format!("{name} is there twice")));
                }
            }
            archive.readers.push(reader);
        }
        Ok(archive)
    }

    /// Reads the tensor of `key` as `dtype` values of `shape`.
    fn read(&mut self, key: &str, shape: Vec<usize>, dtype: DType) -> Result<TensorData, Error> {
        let entry = self
            .tensors
            .get_mut(key)
            .expect("asked for only after it was found");
        entry.used = true;
        let reader = &mut self.readers[entry.reader];
        let range = (
            entry.offset,
            entry.info.data_offsets.1 - entry.info.data_offsets.0,
        );
        let from = entry.info.dtype;
        match dtype {
            DType::F32 => Ok(TensorData::new(
                convert::<f32>(reader, range, from, &entry.name)?,
                shape,
            )),
            DType::F16 => Ok(TensorData::new(
                convert::<f16>(reader, range, from, &entry.name)?,
                shape,
            )),
            DType::BF16 => Ok(TensorData::new(
                convert::<bf16>(reader, range, from, &entry.name)?,
                shape,
            )),
            other => Err(Error::bad(
                &entry.name,
                format!("cannot be loaded as {other:?}"),
            )),
        }
    }
}

/// A type that weights may be kept in.
trait Weight: Copy {
    fn from_f32(value: f32) -> Self;
}

impl Weight for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Weight for f16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl Weight for bf16 {
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// Reads `(offset, bytes)` of `reader` and converts chunk by chunk.
fn convert<T: Weight>(
    reader: &mut Reader,
    (offset, bytes): (u64, usize),
    from: Dtype,
    name: &str,
) -> Result<Vec<T>, Error> {
    let width = match from {
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        other => {
            return Err(Error::bad(
                name,
                format!("is stored as {other:?}; F32, F16 and BF16 are known"),
            ));
        }
    };
    let mut values = Vec::with_capacity(bytes / width);
    let mut buffer = vec![0; CHUNK.min(bytes)];
    let mut done = 0;
    while done < bytes {
        let part = &mut buffer[..CHUNK.min(bytes - done)];
        reader.read_at(offset + done as u64, part)?;
        done += part.len();
        match from {
            Dtype::F32 => values.extend(
                part.as_chunks()
                    .0
                    .iter()
                    .map(|&b| T::from_f32(f32::from_le_bytes(b))),
            ),
            Dtype::F16 => values.extend(
                part.as_chunks()
                    .0
                    .iter()
                    .map(|&b| T::from_f32(f16::from_le_bytes(b).to_f32())),
            ),
            _ => values.extend(
                part.as_chunks()
                    .0
                    .iter()
                    .map(|&b| T::from_f32(bf16::from_le_bytes(b).to_f32())),
            ),
        }
    }
    Ok(values)
}

/// Walks the network and fills every parameter.
struct Loader<'a> {
    archive: Archive,
    dtype: DType,
    device: &'a Device,
    path: Vec<String>,
    missing: Vec<String>,
    misshaped: Vec<String>,
    failure: Option<Error>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let key = file_key(&self.path);
        let needed: Vec<usize> = param.lazy_shape().to_vec();
        let Some(entry) = self.archive.tensors.get_mut(&key) else {
            self.missing.push(key);
            return param;
        };
        // The patch projection is stored as a convolution, [d, 3, 2, 14, 14]: the same numbers in the same order.
        let got = &entry.info.shape;
        let flattened = key == "visual.patch_embed.proj.weight"
            && got.len() == 5
            && got[0] == needed[0]
            && got[1..].iter().product::<usize>() == needed[1];
        if *got != needed && !flattened {
            entry.used = true;
            self.misshaped
                .push(format!("{key}: got {got:?}, needs {needed:?}"));
            return param;
        }
        match self.archive.read(&key, needed, self.dtype) {
            Ok(data) => Param::from_tensor(Tensor::from_data(data, (self.device, self.dtype))),
            Err(error) => {
                self.failure.get_or_insert(error);
                param
            }
        }
    }
}

/// Writes `network` to `path` as one safetensors file in `dtype`, under the published keys. The file appears whole or not at
/// all: it is written beside and renamed.
pub fn save(network: &Qwen, path: &Path, dtype: Dtype) -> Result<(), Error> {
    let mut collector = Collector::default();
    network.visit(&mut collector);
    let tensors = collector.tensors.into_iter().map(|(key, tensor)| {
        let shape = match (key.as_str(), network.config()) {
            ("visual.patch_embed.proj.weight", config) => {
                let vision = &config.vision;
                let side = vision.patch_size;
                vec![
                    vision.hidden_size,
                    vision.in_channels,
                    vision.temporal_patch_size,
                    side,
                    side,
                ]
            }
            _ => tensor.0.clone(),
        };
        (key, shape, tensor.1)
    });
    write(path, dtype, tensors.collect())
}

/// Every parameter of `network` by its published key.
pub fn parameters(network: &Qwen) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let mut collector = Collector::default();
    network.visit(&mut collector);
    collector.tensors
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
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
        let values = tensor
            .into_data()
            .convert::<f32>()
            .try_into_vec()
            .expect("converted to f32 above");
        self.tensors.insert(file_key(&self.path), (shape, values));
    }
}

/// Writes `(key, shape, values)` triples to `path` as safetensors in `dtype`, whole or not at all.
pub fn write(
    path: &Path,
    dtype: Dtype,
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
) -> Result<(), Error> {
    let width = if dtype == Dtype::F32 { 4 } else { 2 };
    let mut offset = 0;
    let infos = tensors.iter().map(|(key, shape, values)| {
        let start = offset;
        offset += values.len() * width;
        (
            key.clone(),
            TensorInfo {
                dtype,
                shape: shape.clone(),
                data_offsets: (start, offset),
            },
        )
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
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let mut out = BufWriter::new(File::create(&beside).map_err(io)?);
    out.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(io)?;
    out.write_all(&header).map_err(io)?;
    for (_, _, values) in &tensors {
        for &value in values {
            match dtype {
                Dtype::F32 => out.write_all(&value.to_le_bytes()),
                Dtype::F16 => out.write_all(&f16::from_f32(value).to_le_bytes()),
                _ => out.write_all(&bf16::from_f32(value).to_le_bytes()),
            }
            .map_err(io)?;
        }
    }
    let file = out.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}
