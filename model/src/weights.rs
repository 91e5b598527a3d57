//! Safetensors in, one tensor at a time. Module paths are checkpoint keys; the few that differ are in `file_key`.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::files::{Files, Reader};
use crate::quantize::{Format, maps};
use crate::{Error, Qwen};

/// Bytes converted at a time, so that loading needs little more memory than the weights themselves.
const CHUNK: usize = 32 << 20;

/// Fills `network` (whose parameters may be lazy) from the safetensors of `files`. Weights that are rounded are so one after another, as they are read.
///
/// # Errors
/// Missing, unexpected and mis-shaped tensors are all listed by name.
pub fn load(
    mut network: Qwen,
    files: &Files,
    format: Format,
    device: &Device,
) -> Result<Qwen, Error> {
    let names = files.names(".safetensors")?;
    if names.is_empty() {
        return Err(files.missing("*.safetensors"));
    }
    let archive = Archive::open(files, &names)?;
    let tied = network.config().tie_word_embeddings;
    let mut loader = Loader {
        archive,
        dtype: format.dtype,
        device,
        path: vec![],
        missing: vec![],
        misshaped: vec![],
        failure: None,
    };
    if let Some(quantization) = format.quantization {
        for (name, map) in maps(&mut network) {
            let shape = map.weight.lazy_shape().to_vec();
            let data = loader.data(&format!("{name}.weight"), shape, DType::F32);
            if let Some(data) = data {
                let values: Vec<f32> = data.try_into_vec().expect("asked for as f32");
                map.quantize(&values, quantization, device);
            }
        }
    }
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
pub(crate) fn file_key(path: &[String]) -> String {
    path.join(".")
        .replace("visual.merger.mlp.1.", "visual.merger.mlp.2.")
}

/// One spelling for both key schemes: newer dumps say `model.visual.*` and `model.language_model.*`.
pub(crate) fn canonical(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else if let Some(rest) = name.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else {
        name.to_owned()
    }
}

/// The spelling of newer dumps for a name in ours.
pub(crate) fn published(name: &str) -> String {
    if name.starts_with("visual.") {
        format!("model.{name}")
    } else if let Some(rest) = name.strip_prefix("model.") {
        format!("model.language_model.{rest}")
    } else {
        name.to_owned()
    }
}

/// The tensors of every shard.
pub(crate) struct Archive {
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
    /// Opens the files `names`.
    pub(crate) fn open(files: &Files, names: &[String]) -> Result<Self, Error> {
        let mut archive = Self {
            readers: vec![],
            tensors: BTreeMap::new(),
        };
        for file in names {
            let mut reader = files.open(file)?;
            let size = reader.size()?;
            let mut head = [0; 8];
            reader.read_at(0, &mut head)?;
            let length = u64::from_le_bytes(head);
            if length > size.saturating_sub(8) {
                return Err(Error::bad(
                    file,
                    format!("a header of {length} bytes in a file of {size}"),
                ));
            }
            let mut header = vec![0; length as usize];
            reader.read_at(8, &mut header)?;
            let metadata: Metadata =
                serde_json::from_slice(&header).map_err(|error| Error::bad(file, error))?;
            for (name, info) in metadata.tensors() {
                if 8 + length + info.data_offsets.1 as u64 > size {
                    return Err(Error::bad(
                        file,
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
                    return Err(Error::bad(file, format!("{name} is there twice")));
                }
            }
            archive.readers.push(reader);
        }
        Ok(archive)
    }

    /// Every tensor's key and shape.
    pub(crate) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let entries = self.tensors.iter();
        let shape = |(key, entry): (&String, &Entry)| (key.clone(), entry.info.shape.clone());
        entries.map(shape).collect()
    }

    /// Reads the tensor of `key` as `dtype` values of `shape`.
    pub(crate) fn read(
        &mut self,
        key: &str,
        shape: Vec<usize>,
        dtype: DType,
    ) -> Result<TensorData, Error> {
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

/// Walks the network and fills every parameter that has not been read.
struct Loader<'a> {
    archive: Archive,
    dtype: DType,
    device: &'a Device,
    path: Vec<String>,
    missing: Vec<String>,
    misshaped: Vec<String>,
    failure: Option<Error>,
}

impl Loader<'_> {
    /// The tensor of `key`, which is read once; none after a fault, which is kept.
    fn data(&mut self, key: &str, needed: Vec<usize>, dtype: DType) -> Option<TensorData> {
        let entry = self.archive.tensors.get_mut(key);
        let entry = entry.filter(|entry| !entry.used)?;
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
            return None;
        }
        match self.archive.read(key, needed, dtype) {
            Ok(data) => Some(data),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }
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
        if !self.archive.tensors.contains_key(&key) {
            self.missing.push(key);
            return param;
        }
        match self.data(&key, param.lazy_shape().to_vec(), self.dtype) {
            Some(data) => Param::from_tensor(Tensor::from_data(data, (self.device, self.dtype))),
            None => param,
        }
    }
}
