//! From the start of `serve` in a process of its own until `/readyz` says so: what a restart costs. Caches of compiled kernels are as
//! the machine has them: the first start may find them empty.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::bench::clock::Times;
use ::bench::{Bench, Line};
use anyhow::{Context, anyhow};
use tempfile::TempDir;

use super::Subject;
use crate::args::BenchArgs;
use crate::command::Failure;
use crate::command::health::ask;

const PART: &str = "ready";

/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(10);

/// Starts.
const STARTS: usize = 3;

/// Larger random models are not written to a folder of passing files.
const PASSING: f64 = 2e9;

pub fn run(subject: &Subject, args: &BenchArgs, bench: &mut Bench<'_>) -> Result<(), Failure> {
    let folder = match (&args.model.model, &args.write_hf, subject.shape) {
        (Some(dir), _, _) | (None, Some(dir), _) => Folder::Given(dir.clone()),
        (None, None, Some(shape)) if bench.bytes() <= PASSING => {
            let folder = TempDir::new().context("no folder for passing files")?;
            shape.write(&subject.mini, &bench.checkpoint()?.network, folder.path())?;
            Folder::Passing(folder)
        }
        _ => {
            let why = "needs the model's files: --write-hf or --model";
            return Ok(bench.emit(Line::absent(PART, "serve", why))?);
        }
    };
    let limit = Duration::from_secs_f64(args.budget_seconds);
    let begin = Instant::now();
    let first = started(subject, args, folder.path(), limit)?;
    let line = Line::new(PART, "serve, first start", "s").once(first.as_secs_f64());
    bench.emit(line)?;
    let mut again = Times::default();
    while again.repeats() + 1 < STARTS && begin.elapsed() < limit {
        again.push(started(subject, args, folder.path(), limit)?);
    }
    if again.repeats() > 0 {
        bench.emit(Line::new(PART, "serve, again", "s").seconds(&again))?;
    }
    Ok(())
}

/// Where the model's files are.
enum Folder {
    Given(PathBuf),
    Passing(TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

/// A process that ends with its owner.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may be gone already
        let _ = self.0.wait();
    }
}

/// How long a service over `model` takes to be ready.
fn started(
    subject: &Subject,
    args: &BenchArgs,
    model: &Path,
    limit: Duration,
) -> Result<Duration, Failure> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let address = free.context("no free port")?.to_string();
    let program = std::env::current_exe().context("this program has no path")?;
    let start = Instant::now();
    let mut command = Command::new(program);
    command
        .args(["--log", "error", "serve", "--listen", &address])
        .args(["--device", &args.model.device.to_string()])
        .args(["--dtype", subject.setting.dtype])
        .arg("--model")
        .arg(model)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some(adapter) = &args.model.adapter {
        command.arg("--adapter").arg(adapter);
    }
    if let Some(folder) = &args.model.kernels.kernel_cache {
        command.arg("--kernel-cache").arg(folder);
    }
    let service = command.spawn().context("cannot start the service")?;
    let mut service = Service(service);
    loop {
        if ask(&address, "/readyz").is_ok_and(|status| status == 200) {
            return Ok(start.elapsed());
        }
        let ended = service.0.try_wait().context("cannot watch the service")?;
        if let Some(status) = ended {
            return Err(Failure::Failed(anyhow!("the service ended: {status}")));
        }
        if start.elapsed() > limit {
            let seconds = limit.as_secs();
            let why = anyhow!("the service was not ready after {seconds} s");
            return Err(Failure::Failed(why));
        }
        sleep(PAUSE);
    }
}
