//! `more-r1 bench`: how fast a device is, and how exact. Prints lines as they are measured; what is measured, and what is to be expected,
//! is `bench`'s.

mod ready;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ::bench::gate::Gate;
use ::bench::shape::Shape;
use ::bench::{Bench, Emit, Error, Line, Options, Setting, machine};
use anyhow::anyhow;
use burn::tensor::{DType, Device};
use model::{Config, Files};

use crate::args::{BenchArgs, PartName, ShapeName};
use crate::command::{Failure, print};
use crate::settings::{ModelSettings, UsageError, files};

/// Everything but the gate, what the others need first.
const ALL: [PartName; 9] = [
    PartName::Matmul,
    PartName::Attention,
    PartName::Vision,
    PartName::Prefill,
    PartName::Decode,
    PartName::Samples,
    PartName::Greedy,
    PartName::Ready,
    PartName::Memory,
];

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Model(error) => error.into(),
            Error::Train(error) => error.into(),
            Error::Io { path, fault } => Self::Usage(format!("{}: {fault}", path.display())),
            other => Self::Failed(other.into()),
        }
    }
}

/// What is measured on.
struct Subject {
    settings: ModelSettings,
    /// The words of random models.
    mini: Files,
    /// None where a checkpoint is given.
    shape: Option<Shape>,
    setting: Setting,
}

pub fn run(args: &BenchArgs, json: bool) -> Result<(), Failure> {
    let subject = Subject::new(args)?;
    let mut out = args.out.as_deref().map(create).transpose()?;
    let mut emit = |line: &Line| tell(line, json, &mut out);
    let parts = if args.parts.is_empty() {
        &ALL[..]
    } else {
        &args.parts
    };
    if parts.contains(&PartName::Gate) {
        let missed = subject
            .gate(args)
            .run(&subject.setting, Box::new(&mut emit))?;
        if !missed.is_empty() {
            return Err(Failure::Failed(anyhow!("missed: {}", missed.join("; "))));
        }
    }
    if parts == [PartName::Gate] {
        return Ok(());
    }
    subject.speed(args, parts, Box::new(emit))
}

impl Subject {
    fn new(args: &BenchArgs) -> Result<Self, UsageError> {
        let settings = ModelSettings::resolve(&args.model)?;
        if settings.options.format.quantization.is_some() {
            let reason = "--quantize: bench measures weights as --dtype says; try none";
            return Err(UsageError(reason.to_owned()));
        }
        let (_, mini) = files(None)?;
        let shape = args.model.model.is_none().then_some(match args.shape {
            ShapeName::B7 => Shape::B7,
            ShapeName::B3 => Shape::B3,
            ShapeName::Mid => Shape::Mid,
            ShapeName::Mini => Shape::Mini,
        });
        let device = if settings.options.device == Device::flex() {
            "cpu".to_owned()
        } else {
            args.model.device.to_string()
        };
        let setting = Setting {
            who: "more-r1",
            version: env!("CARGO_PKG_VERSION"),
            revision: args.revision.clone(),
            machine: machine(&settings.options.device, &device),
            device,
            dtype: settings.options.format.dtype.name(),
            shape: shape.map_or_else(|| settings.id.clone(), |it| it.name().to_owned()),
        };
        Ok(Self {
            settings,
            mini,
            shape,
            setting,
        })
    }

    fn gate(&self, args: &BenchArgs) -> Gate {
        let options = &self.settings.options;
        let half = match options.format.dtype {
            DType::F16 => DType::F16,
            _ => DType::BF16,
        };
        Gate {
            mini: self.mini.clone(),
            device: options.device.clone(),
            dtypes: vec![DType::F32, half],
            seeds: args.seeds as u64,
            records: args.records,
        }
    }

    fn speed(&self, args: &BenchArgs, parts: &[PartName], emit: Emit<'_>) -> Result<(), Failure> {
        let options = &self.settings.options;
        let config = match self.shape {
            Some(shape) => Config::from_json(&shape.config_json(&self.mini)?)?,
            None => Config::open(&self.settings.files)?,
        };
        let open = || match self.shape {
            Some(shape) => {
                shape.checkpoint(&self.mini, args.seed, options.format.dtype, &options.device)
            }
            None => Ok(self.settings.checkpoint()?),
        };
        let measured = Options {
            device: options.device.clone(),
            dtype: options.format.dtype,
            budget: Duration::from_secs_f64(args.budget_seconds),
            peak_operations: args.peak_tflops.map(|tera| tera * 1e12),
            peak_bytes: args.peak_gbs.map(|giga| giga * 1e9),
            batches: args.batches.clone(),
            contexts: args.contexts.clone(),
            requests: args.requests,
            sequences: args.max_sequences,
        };
        let setting = self.setting.clone();
        let mut bench = Bench::new(measured, config, setting, Box::new(open), emit);
        if let (Some(dir), Some(shape)) = (&args.write_hf, self.shape) {
            shape.write(&self.mini, &bench.checkpoint()?.network, dir)?;
        }
        for part in parts {
            match part {
                PartName::Gate => {} // before everything else
                PartName::Ready => ready::run(self, args, &mut bench)?,
                PartName::Matmul => bench.matmul()?,
                PartName::Attention => bench.attention()?,
                PartName::Vision => bench.vision()?,
                PartName::Prefill => bench.prefill()?,
                PartName::Decode => bench.decode()?,
                PartName::Samples => bench.samples()?,
                PartName::Greedy => bench.greedy()?,
                PartName::Memory => bench.memory()?,
            }
        }
        Ok(())
    }
}

fn create(path: &std::path::Path) -> Result<(PathBuf, File), Failure> {
    let file = File::create(path)
        .map_err(|error| Failure::Usage(format!("--out {}: {error}", path.display())))?;
    Ok((path.to_owned(), file))
}

/// Prints a line, and keeps it if it is to be kept.
fn tell(line: &Line, json: bool, out: &mut Option<(PathBuf, File)>) -> Result<(), Error> {
    if let Some((path, file)) = out {
        let text = serde_json::to_string(line).expect("plain values");
        writeln!(file, "{text}").map_err(Error::io(path.as_path()))?;
    }
    let _ = print(json, line, Line::row); // as every command, deaf to a reader that left
    Ok(())
}
