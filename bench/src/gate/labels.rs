//! The labels that the mini gives to records drawn for the occasion, on one device against another.

use burn::tensor::{DType, Device};
use model::engine::Settings;
use model::{Extractor, Options};
use proto::Ontology;
use tempfile::TempDir;
use train::eval::{EvalOptions, run};
use train::synth::{SynthOptions, generate};

use super::{Gate, Verdict};
use crate::Error;

/// Of all labels have to be the same.
const EQUAL: f64 = 0.995;

/// No corpus that anything was trained on has it.
const SEED: u64 = 20_261_121;

/// The verdict on every type; none on f32 of the device that the reference is on.
pub fn judge(gate: &Gate) -> Result<Vec<(DType, Verdict)>, Error> {
    let folder = TempDir::new().map_err(Error::io(std::env::temp_dir()))?;
    generate(&SynthOptions {
        out: folder.path().to_owned(),
        seed: SEED,
        train: 0,
        dev: 0,
        test: gate.records,
        hard: false,
    })?;
    let records = EvalOptions {
        data: folder.path().join("test.jsonl"),
        images: folder.path().join("images"),
        limit: None,
        blank_images: false,
        shuffle_text: false,
        batch_size: 32,
    };
    let cpu = Device::flex();
    let expected = labels(gate, DType::F32, &cpu, &records)?;
    let others = gate.dtypes.iter().copied();
    let others = others.filter(|&dtype| dtype != DType::F32 || gate.device != cpu);
    others
        .map(|dtype| {
            let found = labels(gate, dtype, &gate.device, &records)?;
            Ok((dtype, verdict(&expected, &found)))
        })
        .collect()
}

fn labels(
    gate: &Gate,
    dtype: DType,
    device: &Device,
    records: &EvalOptions,
) -> Result<Vec<Option<String>>, Error> {
    let options = Options {
        device: device.clone(),
        format: dtype.into(),
        engine: Settings::on(device),
        ..Options::default()
    };
    let ontology = Ontology::more().clone();
    let extractor = Extractor::open("more-r1-mini", &gate.mini, ontology, options)?;
    let report = run(&extractor, records)?;
    Ok(report.answers.into_iter().map(|it| it.said).collect())
}

fn verdict(expected: &[Option<String>], found: &[Option<String>]) -> Verdict {
    let pairs = expected.iter().zip(found);
    let equal = pairs.filter(|(a, b)| a == b && a.is_some()).count();
    Verdict {
        check: "equal labels of the mini".to_owned(),
        unit: "share",
        value: equal as f64 / expected.len() as f64,
        limit: EQUAL,
        at_least: true,
        note: format!("{equal} of {} records", expected.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_in_a_hundred_is_too_many_and_no_label_equals_none() {
        let expected = vec![Some("none".to_owned()); 200];
        let mut found = expected.clone();
        found[0] = Some("/per/per/peer".to_owned());
        assert!(verdict(&expected, &found).passed(), "one of two hundred");
        found[1] = None;
        assert!(!verdict(&expected, &found).passed());
        assert!(!verdict(&[None], &[None]).passed());
    }
}
