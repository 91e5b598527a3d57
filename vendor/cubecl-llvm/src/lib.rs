//! The names `cubecl-cuda` 0.11.3 takes from `cubecl-llvm`, without LLVM. Compiles no kernel: our build selects the CUDA C++
//! back end (`cubecl/cuda-cpp`), and if the LLVM one is ever chosen its first kernel is refused with a clear error.

use std::ffi::c_char;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_server::compiler::CompilationError;
use cubecl_server::kernel::BufferIOAttr;

use nvptx::ptx_version::PtxVersion;

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA's intermediate code.
    #[default]
    Nvptx,
}

/// The back end that is not here.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// How kernels would be compiled.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// An AMD architecture in the original; never given here.
    pub arch: Option<()>,
    /// The device.
    pub sm_arch: Option<SmArch>,
    /// The newest PTX the driver loads.
    pub ptx_version: Option<PtxVersion>,
    /// Whether scalars travel in the parameter block.
    pub grid_constants: bool,
}

/// A compiled kernel; none is ever made here.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// NUL-terminated PTX.
    pub ptx: Vec<c_char>,
    /// Name of the kernel in it.
    pub entrypoint: String,
    /// For logs and cache keys.
    pub ir: String,
    /// Bytes a launch reserves.
    pub shared_memory_size: usize,
    /// Which buffers are read and written.
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation gives.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// Code for NVIDIA's driver.
    NvptxCode(NvptxModule),
}

impl PlironCompiler {
    /// Refuses.
    ///
    /// # Errors
    /// Always: this build has no LLVM.
    pub fn compile(&mut self, _: KernelDefinition, _: &PlironOptions) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM back end; enable the feature `cuda-cpp` of cubecl".into(),
            backtrace: cubecl_environment::backtrace::BackTrace::capture(),
        })
    }

    /// The language of what it would emit.
    pub fn lang_tag(&self) -> &'static str {
        "ll"
    }
}

/// Code for NVIDIA's driver.
pub mod nvptx {
    /// Versions of that code.
    pub mod ptx_version {
        /// A PTX version; only part of cache keys here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(i32);

        impl PtxVersion {
            /// Keeps the driver's own version, as `cuDriverGetVersion` gives it.
            pub fn for_driver(driver: i32) -> Option<Self> {
                Some(Self(driver))
            }
        }

        impl std::fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "driver{}", self.0)
            }
        }
    }
}

/// What back ends share.
pub mod shared {
    /// What a device may promise.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A family of devices.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA's.
            Nvptx,
        }

        /// Leaves everything: it narrows for the LLVM back end only, which compiles nothing here.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}
