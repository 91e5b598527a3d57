//! `more-r1 calibrate`: how sure a model should be of its labels, learned from records whose truth is known.

use model::Calibration;
use model::calibration::FILE;
use serde::Serialize;
use train::eval::run as evaluate;

use crate::args::CalibrateArgs;
use crate::command::{Failure, print};
use crate::settings::{ModelSettings, UsageError};

/// What is printed.
#[derive(Serialize)]
struct Report {
    records: usize,
    /// Before.
    ece: f64,
    #[serde(flatten)]
    calibration: Calibration,
    /// Where it was written.
    file: String,
}

pub fn run(args: &CalibrateArgs, json: bool) -> Result<(), Failure> {
    let Some(dir) = args.model.adapter.as_ref().or(args.model.model.as_ref()) else {
        let reason = "calibrate writes beside the weights: give --model DIR, or --adapter DIR";
        return Err(UsageError(reason.to_owned()).into());
    };
    let settings = ModelSettings::resolve(&args.model)?;
    let options = args.records.options()?;
    let extractor = settings.open()?.with_calibration(Calibration::default());
    let result = evaluate(&extractor, &options)?;
    let ontology = extractor.ontology();
    // Logarithms of probabilities are scores again, up to a constant that does not count.
    let scores = |probabilities: &[f64]| -> Vec<f32> {
        let logarithm = |p: &f64| p.max(f64::MIN_POSITIVE).ln() as f32;
        probabilities.iter().map(logarithm).collect()
    };
    let answers: Vec<(Vec<f32>, usize)> = result
        .answers
        .iter()
        .filter(|answer| answer.said.is_some())
        .filter_map(|answer| {
            let right = ontology.position(&answer.record.relation)?;
            Some((scores(&answer.probabilities), right))
        })
        .collect();
    let calibration = Calibration::fit(&answers).ok_or_else(|| {
        let got = answers.len();
        Failure::Usage(format!(
            "--data: {got} answers, and no temperature fits them: take more records"
        ))
    })?;
    let file = dir.join(FILE);
    let text = serde_json::to_string_pretty(&calibration).map_err(anyhow::Error::new)?;
    std::fs::write(&file, text + "\n")
        .map_err(|error| Failure::Usage(format!("cannot write {}: {error}", file.display())))?;
    let report = Report {
        records: answers.len(),
        ece: result.ece,
        calibration,
        file: file.display().to_string(),
    };
    print(json, &report, |it| {
        format!(
            "records      {}\nECE before   {:.4}\ntemperature  {:.4}\nwritten to   {}",
            it.records, it.ece, it.calibration.temperature, it.file
        )
    })
}
