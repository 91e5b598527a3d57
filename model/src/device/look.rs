//! The looking itself, question after question, without changing anything on the machine. Judges nothing: `Found` does.

use std::ffi::CStr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::ops::numeric::ones;
use cubecl::cuda::install::cuda_path;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, DriverError};
use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};

use super::cache::keep_nothing;
use super::{Capability, Card, Found, Unusable};

/// What CubeCL's kernels include (`cubecl-cpp` 0.11.3, `cuda/ty.rs` and `cuda/mma/mod.rs`) and what that includes in turn: a file of each package
/// of NVIDIA's. Before CUDA 13 there was no folder `cccl`.
const HEADERS: [&str; 4] = [
    "cuda_fp16.h",
    "cuda_bf16.h",
    "crt/mma.h",
    "cccl/cuda/barrier",
];

/// What lines begin with that come behind a cause (`cubecl-runtime` 0.11.3, `server/base.rs`).
const BEHIND: [&str; 4] = ["Backtrace", "No backtrace", "[Source]", "Asked at:"];

/// Characters of a foreign message that are passed on.
const MESSAGE: usize = 300;

/// What the first panic of any thread said: those after it only say that the first one's thread is gone.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Looks at the GPU `number` and computes a little on it, in f32 and in `dtype`. `tell` hears after every step what is known by then. Panics of
/// any thread become silent from here on.
pub fn look(number: usize, dtype: DType, tell: impl Fn(&Found)) {
    panic::set_hook(Box::new(|info| {
        let mut first = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| one_line(info.payload_as_str().unwrap_or("a panic")));
    }));
    keep_nothing();
    let steps: [&dyn Fn(&mut Found); 5] = [
        &|found| found.gpus = Some(gpus()),
        &|found| found.card = Some(card(number)),
        &|found| found.headers = Some(headers()),
        &|found| found.compiler = found.card.clone().map(|card| compiler(card?.capability)),
        &|found| found.operation = Some(operation(number, dtype)),
    ];
    let mut found = Found::default();
    for step in steps {
        step(&mut found);
        tell(&found);
        if found.settled(number) {
            return;
        }
    }
}

/// burn's `Device::enumerate` counts so too, but makes none of every fault.
fn gpus() -> Result<usize, Unusable> {
    match caught(CudaContext::device_count) {
        Ok(Ok(count)) => Ok(usize::try_from(count).unwrap_or(0)),
        Ok(Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE))) => Ok(0),
        Ok(Err(error)) => Err(Unusable::Driver(said(&error))),
        Err(panic) if is_missing(&panic) => Err(Unusable::NoDriver),
        Err(panic) => Err(Unusable::Driver(panic)),
    }
}

fn card(number: usize) -> Result<Card, Unusable> {
    let open = || {
        let context = CudaContext::new(number)?;
        let (major, minor) = context.compute_capability()?;
        let name = context.name()?;
        Ok::<_, DriverError>((name, major, minor))
    };
    match caught(open) {
        Ok(Ok((name, major, minor))) => Ok(Card {
            name,
            capability: Capability(major.unsigned_abs(), minor.unsigned_abs()),
        }),
        Ok(Err(error)) => Err(Unusable::Closed(said(&error))),
        Err(panic) => Err(Unusable::Closed(panic)),
    }
}

fn headers() -> Result<(), Unusable> {
    let folder = cuda_path().ok_or(Unusable::NoFolder)?.join("include");
    for name in HEADERS {
        let file = folder.join(name);
        let formerly = folder.join(name.trim_start_matches("cccl/"));
        if !file.is_file() && !formerly.is_file() {
            return Err(Unusable::NoHeader(file));
        }
    }
    Ok(())
}

/// Compiles for the architecture that `cubecl-cuda` names, so that what is missing in NVRTC shows here and not in the first kernel.
fn compiler(capability: Capability) -> Result<(), Unusable> {
    let Capability(major, minor) = capability;
    let own = if major >= 9 { "a" } else { "" };
    let options = CompileOptions {
        options: vec![format!("--gpu-architecture=sm_{major}{minor}{own}")],
        ..CompileOptions::default()
    };
    let source = "extern \"C\" __global__ void nothing() {}";
    let reason = match caught(|| compile_ptx_with_opts(source, options)) {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(CompileError::CompileError { log, .. })) => one_line(&log.to_string_lossy()),
        Ok(Err(error)) => one_line(&error.to_string()),
        Err(panic) if is_missing(&panic) => return Err(Unusable::NoCompiler),
        Err(panic) => panic,
    };
    Err(Unusable::Compiler(capability, reason))
}

/// A product: its kernels are generated, compiled, loaded and run, and the values come back. Not by burn's tensors: those look for the best
/// kernel first, which is a minute's work.
fn operation(number: usize, dtype: DType) -> Result<(), Unusable> {
    for dtype in [DType::F32, dtype] {
        let product = || {
            let device = cubecl::Device::cuda(number).map_err(|error| error.to_string())?;
            let x = ones(device, Shape::new([32, 32]), dtype);
            let product = matmul(x.clone(), x, None, MatmulStrategy::Cube, dtype);
            let y = product.map_err(|error| format!("{error:?}"))?;
            let read = y.client.read_one(y.handle);
            read.map(drop).map_err(|error| error.to_string())
        };
        let outcome = caught(product).unwrap_or_else(Err);
        outcome.map_err(|message| Unusable::Operation(one_line(&message)))?;
    }
    Ok(())
}

/// The value, or what the first panic said.
fn caught<T>(action: impl FnOnce() -> T) -> Result<T, String> {
    let first = || PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    first(); // one that somebody else has caught
    panic::catch_unwind(AssertUnwindSafe(action))
        .map_err(|_| first().unwrap_or_else(|| "a panic".to_owned()))
}

/// The name of the driver's error, and its own words for it.
fn said(error: &DriverError) -> String {
    let words = error
        .error_string()
        .map_or("no words".into(), CStr::to_string_lossy);
    one_line(&format!("{:?} ({words})", error.0))
}

/// Whether `cudarc` could not load a library; it has no other sign of that (`panic_no_lib_found`).
fn is_missing(panic: &str) -> bool {
    panic.starts_with("Unable to dynamically load")
}

/// The innermost cause, without line breaks: CubeCL's messages have causes inside of causes, and backtraces behind them.
fn one_line(text: &str) -> String {
    let cause = text.rsplit("Caused by:").next().unwrap_or(text);
    let ends = |line: &&str| BEHIND.iter().any(|word| line.starts_with(word));
    let told = cause.lines().map(str::trim).take_while(|line| !ends(line));
    let line = told.flat_map(str::split_whitespace).collect::<Vec<_>>();
    line.join(" ").chars().take(MESSAGE).collect()
}
