//! Bytes and idleness: what the process holds, what the device's allocator holds, and what `nvidia-smi` says meanwhile. Where nobody
//! can tell, nothing is said.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use burn::tensor::Device;

use crate::{Bench, Error, Line};

const PART: &str = "memory";
const GIB: f64 = (1u64 << 30) as f64;

/// What is held now, after whatever was measured before.
pub fn run(bench: &mut Bench<'_>) -> Result<(), Error> {
    bench.checkpoint()?;
    let sizes = bench.sizes();
    let line = |case: &str, bytes: f64| Line::new(PART, case, "GiB").once(bytes / GIB);
    bench.emit(line("weights", sizes.all * sizes.width))?;
    for (case, key) in [("process", "VmRSS:"), ("process, at most", "VmHWM:")] {
        bench.emit(match status(key) {
            Some(bytes) => line(case, bytes),
            None => Line::absent(PART, case, "no /proc/self/status here"),
        })?;
    }
    let pools = bench.options.device.memory_pool_usage();
    bench.emit(match pools {
        Some(usage) => line("device's allocator", usage.bytes_reserved as f64),
        None => Line::absent(PART, "device's allocator", "this device does not report it"),
    })?;
    let used = smi(&bench.setting.device, "memory.used");
    bench.emit(match used.and_then(|text| text.parse::<f64>().ok()) {
        Some(mebibytes) => line("whole GPU, all processes", mebibytes * f64::from(1 << 20)),
        None => Line::absent(PART, "whole GPU, all processes", "no GPU, or no nvidia-smi"),
    })
}

/// A value of `/proc/self/status` in bytes.
fn status(key: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// What computes, in words: the GPU's name, or the processor's and how many cores of it there are.
pub fn machine(device: &Device, name: &str) -> String {
    if *device != Device::flex() {
        return smi(name, "name").unwrap_or_else(|| "an unknown GPU".to_owned());
    }
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("an unknown processor", |it| {
        it.trim_start_matches([' ', '\t', ':'])
    });
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{cores} cores of {model}")
}

/// The number of the GPU that `device` (`cuda:1`) means, as `nvidia-smi` counts.
fn number(device: &str) -> Option<String> {
    let index: usize = match device {
        "cuda" | "auto" => 0,
        other => other.strip_prefix("cuda:")?.parse().ok()?,
    };
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(list) => list.split(',').nth(index).map(str::to_owned),
        Err(_) => Some(index.to_string()),
    }
}

fn query(device: &str, what: &str) -> Option<Command> {
    let mut command = Command::new("nvidia-smi");
    command
        .args(["--format=csv,noheader,nounits", "--id"])
        .arg(number(device)?)
        .arg(format!("--query-gpu={what}"))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    Some(command)
}

fn smi(device: &str, what: &str) -> Option<String> {
    let output = query(device, what)?.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

/// Watches how busy a GPU is: the share of time in which at least one kernel ran, as its driver counts it.
pub struct Watch {
    program: Child,
}

impl Watch {
    /// Begins; none where there is no GPU, or no `nvidia-smi`.
    pub fn begin(device: &str) -> Option<Self> {
        let mut command = query(device, "utilization.gpu")?;
        let program = command.arg("--loop-ms=100").stdout(Stdio::piped()).spawn();
        Some(Self {
            program: program.ok()?,
        })
    }

    /// Ends; the mean over all readings but those of the first half second, which still tell what was before. None of fewer than
    /// ten.
    pub fn end(mut self) -> Option<f64> {
        let killed = self.program.kill();
        let output = self.program.stdout.take()?;
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let readings: Vec<f64> = lines.filter_map(|line| line.trim().parse().ok()).collect();
        let _ = self.program.wait(); // reaps it
        killed.ok()?;
        mean(&readings)
    }
}

fn mean(readings: &[f64]) -> Option<f64> {
    let settled = readings.get(5..).filter(|it| it.len() >= 10)?;
    Some(settled.iter().sum::<f64>() / settled.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_readings_are_no_mean_and_the_first_do_not_count() {
        let mut readings = vec![0.0; 5];
        readings.extend([100.0; 9]);
        assert_eq!(mean(&readings), None);
        readings.push(90.0);
        assert_eq!(mean(&readings), Some(99.0));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn a_gpu_is_counted_as_the_driver_does() {
        assert_eq!(number("cpu"), None);
        assert_eq!(number("cuda:x"), None);
    }
}
