//! `--device` as meant: what computes. A GPU is looked at by a process of its own, this binary's `probe`, because a driver may crash or never
//! answer; what is looked at and what is wrong with it is `model::device`'s to say.

use std::fs::create_dir_all;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use model::device::{Card, Found, Unusable};

use crate::args::{DeviceName, KernelArgs};
use crate::settings::UsageError;

/// How long a look may take. Eight sleeping GPUs need ten seconds and more to wake, NVRTC some for its first kernel.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// How long the end of a process is waited for; one that hangs in the driver cannot even be killed.
const GRACE: Duration = Duration::from_secs(3);

/// The device of `--device`, for weights in `dtype`; a GPU's kernels are kept as `kernels` says. Where `auto` finds no GPU, one line of the log
/// says why.
///
/// # Errors
/// When a GPU was asked for that cannot be used, or the folder for kernels cannot be made.
pub fn device(name: DeviceName, dtype: DType, kernels: &KernelArgs) -> Result<Device, UsageError> {
    let folder = kernels.kernel_cache.as_deref();
    if let Some(folder) = folder.filter(|_| name != DeviceName::Cpu) {
        let fault = |error| UsageError(format!("--kernel-cache {}: {error}", folder.display()));
        create_dir_all(folder).map_err(fault)?;
    }
    let usable = |number| cuda(number, dtype, folder);
    match name {
        DeviceName::Cpu => Ok(Device::flex()),
        DeviceName::Cuda(number) => {
            usable(number).map_err(|fault| UsageError(format!("--device cuda:{number}: {fault}")))
        }
        DeviceName::Auto => Ok(auto(usable).unwrap_or_else(|faults| {
            let said = listed(&faults);
            if faults == [Unusable::Build] {
                tracing::debug!("the CPU computes: {said}"); // no news: such a build is made for processors
            } else {
                tracing::warn!("CUDA is not usable, the CPU computes: {said}");
            }
            Device::flex()
        })),
    }
}

/// The devices of `--device`, for training in f32, each named once.
///
/// # Errors
/// As [`device`], a device named twice, and `auto` among others.
pub fn devices(names: &[DeviceName], kernels: &KernelArgs) -> Result<Vec<Device>, UsageError> {
    if names.len() > 1 && names.contains(&DeviceName::Auto) {
        let reason = "--device names auto beside others; it stands alone, or name cuda:0,cuda:1";
        return Err(UsageError(reason.to_owned()));
    }
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            let reason = "--device names one twice; training.workers share a device";
            return Err(UsageError(reason.to_owned()));
        }
    }
    let open = |&name| device(name, DType::F32, kernels);
    names.iter().map(open).collect()
}

/// The first GPU that `usable` lets through, or what is wrong with each.
fn auto<T>(usable: impl Fn(usize) -> Result<T, Unusable>) -> Result<T, Vec<Unusable>> {
    let mut faults = Vec::new();
    loop {
        match usable(faults.len()) {
            Ok(device) => return Ok(device),
            Err(Unusable::NoSuchGpu(_)) if !faults.is_empty() => return Err(faults),
            Err(fault) => {
                let go_on = fault.spares_others();
                faults.push(fault);
                if !go_on {
                    return Err(faults);
                }
            }
        }
    }
}

fn listed(faults: &[Unusable]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

#[cfg(feature = "cuda")]
fn cuda(number: usize, dtype: DType, kernels: Option<&Path>) -> Result<Device, Unusable> {
    use model::device::Step;
    let silent = |error: std::io::Error| Unusable::Silent(Step::Driver, error.to_string());
    let mut command = Command::new(std::env::current_exe().map_err(silent)?);
    command
        .args(["probe", "--number", &number.to_string()])
        .args(["--dtype", dtype.name()])
        .env_remove("MORE_R1_SETTINGS"); // all that it needs is typed
    let Card { name, capability } = ask(command, number, PATIENCE)?;
    tracing::info!(name, capability = %capability, "cuda:{number} computes");
    model::device::keep_kernels(kernels.map(Path::to_owned));
    Ok(Device::cuda(number))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize, _: DType, _: Option<&Path>) -> Result<Device, Unusable> {
    Err(Unusable::Build)
}

/// What the process of `command`, which writes a line of JSON for everything that it [`Found`], finds out about the GPU `number`. It gets so
/// much time, its complaints are nobody's, and it is gone afterwards if that can be had.
///
/// # Errors
/// When the GPU cannot be used, or the process does not say.
pub fn ask(mut command: Command, number: usize, patience: Duration) -> Result<Card, Unusable> {
    let deadline = Instant::now() + patience;
    let mut found = Found::default();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return found.verdict(number, &format!("it cannot be started: {error}")),
    };
    let (sender, lines) = channel();
    let output = child.stdout.take().expect("it was asked for");
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let _ = lines.map(|it| sender.send(it)).find(Result::is_err); // nobody listens any more
    });
    let verdict = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // A driver may write lines of its own.
            Ok(line) => found = serde_json::from_str(&line).unwrap_or(found),
            Err(RecvTimeoutError::Timeout) => {
                break found.verdict(number, &format!("none in {} s", patience.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = ended(&mut child).map(|it| it.to_string());
                let status = status.as_deref().unwrap_or("it closed its output");
                break found.verdict(number, status);
            }
        }
        if found.settled(number) {
            break found.verdict(number, "");
        }
    };
    let _ = child.kill(); // it may be gone already
    ended(&mut child);
    verdict
}

/// How the process ended, if it does so soon. A GPU's memory is free again only then.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + GRACE;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(5)),
            Ok(status) => return status,
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::device::{Capability, Step};

    use super::*;

    fn card() -> Card {
        Card {
            name: "NVIDIA X".to_owned(),
            capability: Capability(9, 0),
        }
    }

    /// What a shell that does this says about the first GPU, within two seconds.
    fn said(script: &str) -> Result<Card, Unusable> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        ask(command, 0, Duration::from_secs(2))
    }

    fn line(found: &Found) -> String {
        let line = serde_json::to_string(found).expect("plain values");
        format!("echo '{line}'; ")
    }

    fn opened() -> Found {
        Found {
            gpus: Some(Ok(1)),
            card: Some(Ok(card())),
            ..Found::default()
        }
    }

    fn fine() -> Found {
        Found {
            headers: Some(Ok(())),
            compiler: Some(Ok(())),
            operation: Some(Ok(())),
            ..opened()
        }
    }

    #[test]
    fn a_process_that_answers_is_believed_and_not_waited_for() {
        let start = Instant::now();
        let script =
            line(&opened()) + "echo a driver greets; echo >&2 and complains;" + &line(&fine());
        assert_eq!(said(&(script + "exec sleep 60")), Ok(card()));
        assert!(start.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_process_that_ends_without_an_answer_is_no_gpu() {
        let crash = line(&opened()) + "kill -SEGV $$";
        let ended = said(&crash).expect_err("it has only begun");
        assert!(
            matches!(ended, Unusable::Silent(Step::Headers, _)),
            "{ended}"
        );
        assert!(ended.to_string().contains("signal: 11"), "{ended}");
        let ended = said("exit 7").expect_err("it has said nothing");
        assert_eq!(
            ended.to_string(),
            "no answer from starting the driver: exit status: 7"
        );
        let missing =
            ask(Command::new("/no/such/program"), 0, PATIENCE).expect_err("nothing there");
        assert!(
            missing.to_string().contains("cannot be started"),
            "{missing}"
        );
    }

    #[test]
    fn a_process_that_hangs_costs_the_limit_and_no_more() {
        for script in [
            line(&opened()) + "exec sleep 60",
            line(&opened()) + "exec sleep 60 >&-",
        ] {
            let start = Instant::now();
            let hangs = said(&script).expect_err("it never goes on");
            assert!(
                matches!(hangs, Unusable::Silent(Step::Headers, _)),
                "{hangs}"
            );
            assert!(
                start.elapsed() < Duration::from_secs(9),
                "{:?}",
                start.elapsed()
            );
        }
    }

    #[test]
    fn auto_takes_the_first_gpu_that_can_be_used() {
        let old = || Unusable::TooOld(card());
        assert_eq!(auto(Ok), Ok(0));
        assert_eq!(
            auto(|number| if number < 2 { Err(old()) } else { Ok(number) }),
            Ok(2)
        );
        let two = |number| {
            Err::<(), _>(if number < 2 {
                old()
            } else {
                Unusable::NoSuchGpu(2)
            })
        };
        assert_eq!(auto(two), Err(vec![old(), old()]));
        // What is missing for one is missing for all, and a hanging driver is not asked again.
        for fault in [
            Unusable::NoDriver,
            Unusable::NoCompiler,
            Unusable::Silent(Step::Card, String::new()),
        ] {
            assert_eq!(auto(|_| Err::<(), _>(fault.clone())), Err(vec![fault]));
        }
    }

    #[test]
    fn auto_stands_alone() {
        let devices = |names: &[DeviceName]| devices(names, &KernelArgs::default());
        let both = [DeviceName::Auto, DeviceName::Cpu];
        let fault = devices(&both).expect_err("one or the other");
        assert!(fault.to_string().contains("auto"), "{fault}");
        assert_eq!(devices(&[DeviceName::Cpu]).ok(), Some(vec![Device::flex()]));
        assert!(devices(&[DeviceName::Cpu, DeviceName::Cpu]).is_err());
    }

    #[test]
    fn a_folder_for_kernels_is_made_or_named() {
        let root = tempfile::tempdir().expect("a folder");
        let kept = |folder: &Path, name| {
            let kernel_cache = Some(folder.to_owned());
            device(name, DType::F32, &KernelArgs { kernel_cache })
        };
        let folder = root.path().join("two/deep");
        kept(&folder, DeviceName::Cpu).expect("processors keep none");
        assert!(!folder.exists());
        kept(&folder, DeviceName::Auto).expect("it can be made");
        assert!(folder.is_dir());
        let file = root.path().join("file");
        std::fs::write(&file, "").expect("written");
        let fault = kept(&file, DeviceName::Auto).expect_err("no folder");
        assert!(fault.to_string().starts_with("--kernel-cache "), "{fault}");
    }
}
