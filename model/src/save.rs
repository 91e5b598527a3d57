//! Safetensors out, under the published keys. A file appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::weights::file_key;
use crate::{Error, Qwen};

/// Writes `network` to `path` as one safetensors file in `dtype`, under the published keys. The file appears whole or not at
/// all: it is written beside and renamed.
///
/// # Errors
/// A file that cannot be written.
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
    write(path, dtype, &tensors.collect::<Vec<_>>())
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
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    path: &Path,
    dtype: Dtype,
    tensors: &[(String, Vec<usize>, Vec<f32>)],
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
    let io = |fault| Error::Io {
        path: path.to_owned(),
        fault,
    };
    let mut out = BufWriter::new(File::create(&beside).map_err(io)?);
    out.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(io)?;
    out.write_all(&header).map_err(io)?;
    for (_, _, values) in tensors {
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
