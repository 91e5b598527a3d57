//! What is said about a measurement: one JSON object a line, or one row of a table. `peer_transformers.py` writes the same keys.

use serde::Serialize;
use std::fmt::Write as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Times;
use crate::roofline::{Ceilings, Work};

/// Why there is no figure where a part's budget is over.
pub const LATE: &str = "the part's time was used up";

/// Under which circumstances something was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Setting {
    /// The program.
    pub who: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The commit it was built from, if somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What was asked for, such as `cuda:0`.
    pub device: String,
    /// What that is.
    pub machine: String,
    /// The type of weights and activations.
    pub dtype: &'static str,
    /// The sizes of the network: one of ours, or the checkpoint's name.
    pub shape: String,
}

/// One measurement, or why there is none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// The circumstances.
    #[serde(flatten)]
    pub setting: Setting,
    /// When, in UTC.
    pub date: String,
    /// The part it belongs to.
    pub part: &'static str,
    /// What was measured; the same words mean the same work for every program.
    pub case: String,
    /// Of the figures.
    pub unit: &'static str,
    /// The middle of the repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// The least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How many counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<usize>,
    /// What the ceilings allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted: Option<f64>,
    /// Trillions of operations a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tflops: Option<f64>,
    /// Gigabytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gbs: Option<f64>,
    /// The share of the repeats in which the GPU did something, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<f64>,
    /// What a check allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Whether the check holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Chosen tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<u32>>,
    /// What is to be known beside the figures, or why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Line {
    /// Without figures.
    pub fn new(part: &'static str, case: impl Into<String>, unit: &'static str) -> Self {
        Self {
            date: date(OffsetDateTime::now_utc()),
            part,
            case: case.into(),
            unit,
            ..Self::default()
        }
    }

    /// A thing that has no figure, and why.
    pub fn absent(part: &'static str, case: impl Into<String>, why: impl Into<String>) -> Self {
        let line = Self::new(part, case, "");
        line.note(format!("not measured: {}", why.into()))
    }

    /// One that came too late.
    pub fn late(part: &'static str, case: impl Into<String>) -> Self {
        Self::absent(part, case, LATE)
    }

    /// A figure that is not repeated.
    #[must_use]
    pub fn once(mut self, figure: f64) -> Self {
        self.median = Some(figure);
        self
    }

    /// What `times` says, in milliseconds.
    #[must_use]
    pub fn millis(self, times: &Times) -> Self {
        self.scaled(times, 1e3)
    }

    /// What `times` says, in seconds.
    #[must_use]
    pub fn seconds(self, times: &Times) -> Self {
        self.scaled(times, 1.0)
    }

    fn scaled(mut self, times: &Times, scale: f64) -> Self {
        self.median = Some(times.median() * scale);
        self.min = Some(times.min() * scale);
        self.max = Some(times.max() * scale);
        self.repeats = Some(times.repeats());
        self
    }

    /// What the ceilings allow for the `work` whose milliseconds these are, and what was reached of them.
    #[must_use]
    pub fn work(self, work: Work, ceilings: &Ceilings) -> Self {
        let predicted = ceilings.seconds(work) * 1e3;
        Self {
            predicted: Some(predicted),
            ..self.reached(work)
        }
    }

    /// What was reached with the `work` whose milliseconds these are.
    #[must_use]
    pub fn reached(mut self, work: Work) -> Self {
        let seconds = self.median.map(|millis| millis / 1e3);
        self.tflops = seconds.map(|seconds| work.operations / seconds / 1e12);
        self.gbs = seconds.map(|seconds| work.bytes / seconds / 1e9);
        self
    }

    /// With a remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into()).filter(|it: &String| !it.is_empty());
        self
    }

    /// A row of the table: what, how much, from least to greatest, what was to be expected.
    pub fn row(&self) -> String {
        let mut row = format!("{:<9} {:<58}", self.part, self.case);
        if let Some(median) = self.median {
            let _ = write!(row, " {:>9} {:<9}", short(median), self.unit); // strings take everything
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            let _ = write!(row, " {:>17}", format!("{}–{}", short(min), short(max)));
        }
        if let (Some(predicted), Some(median)) = (self.predicted, self.median) {
            let more_is_better = self.unit.ends_with("/s");
            let share = if more_is_better {
                median / predicted
            } else {
                predicted / median
            };
            let _ = write!(
                row,
                "  roof {:>9} {:>4.0} %",
                short(predicted),
                share * 100.0
            );
        }
        if let (Some(tflops), Some(gbs)) = (self.tflops, self.gbs) {
            let _ = write!(row, " {:>8} TFLOP/s {:>8} GB/s", short(tflops), short(gbs));
        }
        if let Some(busy) = self.busy {
            let _ = write!(row, "  GPU busy {busy:.0} %");
        }
        if let (Some(limit), Some(passed)) = (self.limit, self.passed) {
            let word = if passed { "ok" } else { "MISSED" };
            let _ = write!(row, "  limit {limit}  {word}");
        }
        if let Some(note) = &self.note {
            let _ = write!(row, "  {note}");
        }
        row
    }
}

/// Three digits that count.
fn short(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 4,
        _ => 6,
    };
    format!("{figure:.digits$}")
}

/// To the second, as in `2026-11-21T19:40:07Z`.
fn date(time: OffsetDateTime) -> String {
    let whole = time.truncate_to_second();
    whole.format(&Rfc3339).expect("a year of four digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_to_the_second_in_utc() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_795_289_707_987_654_321);
        assert_eq!(date(time.expect("in range")), "2026-11-21T19:35:07Z");
    }

    #[test]
    fn a_row_says_how_near_the_roof_is_for_times_and_for_rates() {
        let time = Line {
            predicted: Some(2.0),
            ..Line::new("decode", "batch 1", "ms").once(4.0)
        };
        let rate = Line {
            predicted: Some(40.0),
            ..Line::new("samples", "all", "samples/s").once(10.0)
        };
        assert!(time.row().contains("  50 %"), "{}", time.row());
        assert!(rate.row().contains("  25 %"), "{}", rate.row());
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let line = Line::absent("samples", "with reuse", "too slow here");
        let json = serde_json::to_value(&line).expect("plain values");
        assert_eq!(json["note"], "not measured: too slow here");
        for key in ["median", "predicted", "ids", "passed", "revision"] {
            assert!(json.get(key).is_none(), "{key}");
        }
    }
}
