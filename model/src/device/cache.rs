//! Where compiled kernels, and which of several is the fastest, are kept from one process to the next. Says where and nothing else: `CubeCL` files
//! code under architecture, its own version and the binary's build, and compiles again where the folder is lost. After a change to an
//! older driver the folder has to be emptied: PTX may be newer than that takes.

use std::path::PathBuf;

use cubecl::config::cache::CacheConfig;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Keeps kernels in `folder`, or without one in `cubecl` of the user's cache. Has to be called before a GPU is first used; later, or a second
/// time, it changes nothing. Without this nothing compiled is kept.
pub fn keep_kernels(folder: Option<PathBuf>) {
    let mut config = CubeClRuntimeConfig::default().override_from_env();
    config.compilation.cache = true;
    config.environment.path = folder.map_or(CacheConfig::Global, CacheConfig::Directory);
    CubeClRuntimeConfig::try_set(config);
}

/// Keeps nothing, as a look should: otherwise what was measured would go into a folder below the working directory.
pub(super) fn keep_nothing() {
    let mut config = CubeClRuntimeConfig::default().override_from_env();
    config.autotune.disable_cache = true;
    config.throughput.disable_cache = true;
    CubeClRuntimeConfig::try_set(config);
}
