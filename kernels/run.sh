#!/usr/bin/env bash
# Tests the kernels for GPUs on a CPU: CubeCL's wgpu runtime over lavapipe, Mesa's Vulkan driver without a card (Debian's
# mesa-vulkan-drivers, if root may install it). Ends with 77, which means "not run", where that is not to be had.
# Usage: kernels/run.sh [arguments of `cargo test`]
set -euo pipefail
cd "$(dirname "$0")"
driver=(/usr/share/vulkan/icd.d/lvp_icd.*.json)
if [ ! -e "${driver[0]}" ]; then
    # shellcheck source=tests/service.sh
    source ../tests/service.sh
    provide lavapipe mesa-vulkan-drivers
    driver=(/usr/share/vulkan/icd.d/lvp_icd.*.json)
fi
# A graphics card that happens to be there would be another machine's result.
export VK_DRIVER_FILES="${driver[0]}" VK_ICD_FILENAMES="${driver[0]}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/more-r1/target}/kernels"
cargo clippy --locked --quiet --all-targets -- -D warnings
cargo test --locked "$@"
