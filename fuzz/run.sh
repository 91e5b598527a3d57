#!/usr/bin/env bash
# Fuzzes every target, or those that are named, for so many seconds each; findings end the run and stay under fuzz/findings.
# Usage: fuzz/run.sh SECONDS [image] [bbox] [trace] [request]
#   fuzz/run.sh 600            what is done before a release
# Coverage by libFuzzer, with the stable toolchain and without a sanitizer: nothing here is unsafe. What is new goes to fuzz/corpus,
# which git does not keep; fuzz/seeds it does. Not here: multipart and chat templates, whose crates need the network's libraries too.
set -euo pipefail
seconds="${1:?usage: fuzz/run.sh SECONDS [target]...}"
shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- image bbox trace request
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/more-r1/target}/fuzz"
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code -Cdebug-assertions -Ccodegen-units=1" \
    cargo build --locked --quiet --target "$(rustc -vV | sed -n 's/^host: //p')"
binaries="$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/debug"
mkdir -p findings
for target in "$@"; do
    mkdir -p "corpus/$target" "seeds/$target"
    "$binaries/$target" -max_total_time="$seconds" -artifact_prefix="findings/$target-" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
        -print_final_stats=1 "corpus/$target" "seeds/$target" 2>&1 | grep -E "SUMMARY|ERROR|panicked|assertion|stat::number_of_executed|stat::peak|Done|written to" | sed "s/^/$target: /"
done
