//! Where compiled kernels, and which of several is the fastest, are kept from one process to the next. Says where and nothing else: `CubeCL` files
//! code under architecture, its own version and the binary's build, and compiles again where the folder is lost. After a change to an
//! older driver the folder has to be emptied: PTX may be newer than that takes.

use std::path::PathBuf;

use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use cubecl::records::RecordLevel;

/// Keeps kernels in `folder`, or without one in `cubecl` of the user's cache. Has to be called before a GPU is first used; later, or a second
/// time, it changes nothing.
pub fn keep_kernels(folder: Option<PathBuf>) {
    configure(|config| {
        config.compilation.cache = true;
        config.environment.path = folder.map_or(CacheConfig::Global, CacheConfig::Directory);
    });
}

/// Keeps nothing, as a look should.
pub(super) fn keep_nothing() {
    configure(|config| {
        config.autotune.disable_cache = true;
        config.throughput.disable_cache = true;
    });
}

/// Settles what `CubeCL` keeps, in place of a file around the working directory; its own variables count more.
fn configure(settle: impl FnOnce(&mut CubeClRuntimeConfig)) {
    let mut config = CubeClRuntimeConfig::default();
    config.environment.records.level = RecordLevel::Off; // how each kernel came about, which nobody reads
    settle(&mut config);
    CubeClRuntimeConfig::try_set(config.override_from_env());
}
