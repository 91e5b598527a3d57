#!/usr/bin/env bash
# Fuzzes every target, or those that are named, for so many seconds each; findings end the run and stay under fuzz/findings.
# Usage: fuzz/run.sh SECONDS [image] [bbox] [trace] [request] [multipart] [template]
#   fuzz/run.sh 600            what is done before a release
# Coverage by libFuzzer, with the stable toolchain and without a sanitizer: nothing here is unsafe. What is new goes to fuzz/corpus,
# which git does not keep; fuzz/seeds it does. The first four are compiled apart, with counters in their libraries too; the others need the
# whole service, and count in our own crates only.
set -euo pipefail
shopt -s inherit_errexit # a build that fails must not leave an old binary to be run
seconds="${1:?usage: fuzz/run.sh SECONDS [target]...}"
shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- image bbox trace request multipart template
target_dir="${CARGO_TARGET_DIR:-$HOME/.cache/more-r1/target}"
host="$(rustc -vV | sed -n 's/^host: //p')"
counters="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code"

# Compiles what a target needs and says where it is.
built() {
    case "$1" in
        multipart | template)
            (cd .. && RUSTC_WORKSPACE_WRAPPER="$PWD/fuzz/service/rustc.sh" FUZZ_FLAGS="$counters" CARGO_TARGET_DIR="$target_dir" \
                cargo build --locked --quiet --workspace --bin fuzz-multipart --bin fuzz-template)
            echo "$target_dir/debug/fuzz-$1"
            ;;
        *)
            RUSTFLAGS="$counters -Cdebug-assertions -Ccodegen-units=1" CARGO_TARGET_DIR="$target_dir/fuzz" \
                cargo build --locked --quiet --target "$host"
            echo "$target_dir/fuzz/$host/debug/$1"
            ;;
    esac
}

mkdir -p findings
for target in "$@"; do
    binary=$(built "$target")
    mkdir -p "corpus/$target" "seeds/$target"
    "$binary" -max_total_time="$seconds" -artifact_prefix="findings/$target-" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
        -print_final_stats=1 "corpus/$target" "seeds/$target" 2>&1 | grep -E "SUMMARY|ERROR|panicked|assertion|stat::number_of_executed|stat::peak|Done|written to" | sed "s/^/$target: /"
done
