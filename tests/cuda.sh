#!/usr/bin/env bash
# The CUDA path without a GPU: a driver that does nothing (tests/cuda/driver.c), NVRTC and headers as NVIDIA ships them. Which GPU is chosen, what
# is said where none can be used, and whether every kernel of an answer compiles. Not here: what kernels compute, which needs a GPU.
# Needs a binary built with `--features server/cuda`, a C compiler, and PyPI the first time; ends with 77, "not run", where one is not to be had.
# Usage: tests/cuda.sh PATH/TO/more-r1
set -euo pipefail
binary=$(realpath "${1:?usage: tests/cuda.sh PATH/TO/more-r1}")
cd "$(dirname "$0")/.."
# shellcheck source=tests/service.sh
source tests/service.sh
work=$(mktemp -d)
finish() {
    local code=$?
    [ $code -eq 0 ] || [ $code -eq 77 ] || { echo "CUDA test FAILED"; cat "$work/err" 2>/dev/null || true; }
    rm -rf "$work"
    exit $code
}
trap finish EXIT
fail() { echo "$1"; exit 1; }

if "$binary" --log error generate --prompt x --max-new-tokens 1 --device cuda 2>&1 | grep -q "features cuda"; then
    echo "NOT RUN: this binary was built without the feature cuda"
    exit 77
fi
if ldconfig -p | grep -Eq 'lib(cuda|nvrtc)\.so'; then
    echo "NOT RUN: a driver or NVRTC of this machine's own would be found instead"
    exit 77
fi
provide cc gcc
toolkit="${XDG_CACHE_HOME:-$HOME/.cache}/more-r1/cuda"
if ! cmp -s tests/cuda/requirements.txt "$toolkit/requirements.txt"; then
    rm -rf "$toolkit"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$toolkit" -r tests/cuda/requirements.txt || {
        echo "NOT RUN: NVRTC and headers cannot be installed"
        exit 77
    }
    cp tests/cuda/requirements.txt "$toolkit/requirements.txt"
fi
export CUDA_PATH="$toolkit/nvidia/cu13"
cuda="$CUDA_PATH"
driver="$work/driver"
mkdir "$driver"
cc -O1 -Wall -Werror -shared -fPIC -I "$cuda/include" -o "$driver/libcuda.so" tests/cuda/driver.c
mapfile -t example <examples/question.txt

# What one question costs under these variables and flags; sets `code`, `err` its complaints, `out` its answer.
unset "${!MORE_R1_@}"
ask() {
    local variables=()
    while [[ ${1-} == *=* ]]; do variables+=("$1"); shift; done
    code=0
    env HOME="$work" "${variables[@]}" "$binary" --json extract --image examples/photo.jpg --bbox "${example[0]}" \
        --entity "${example[1]}" --text "${example[2]}" --max-answer-tokens 256 "$@" >"$work/out" 2>"$work/err" || code=$?
    out=$(cat "$work/out")
    err=$(cat "$work/err")
}
# Under these variables the first GPU is unusable for that reason: a GPU asked for is refused, and without one the CPU answers as it does
# anyway; one line each.
unusable() {
    local what="$1" reason="$2"
    shift 2
    ask "$@" --device cuda
    [ $code -eq 2 ] || fail "$what: --device cuda ends with $code: $err"
    [ "$(wc -l <"$work/err")" = 1 ] || fail "$what: more than a line: $err"
    grep -Eq "^error: --device cuda:0: $reason" <<<"$err" || fail "$what: expected $reason in: $err"
    ask "$@"
    [ $code -eq 0 ] || fail "$what: --device auto ends with $code: $err"
    [ "$(wc -l <"$work/err")" = 1 ] || fail "$what: more than a line: $err"
    grep -Eq "the CPU computes.*$reason" <<<"$err" || fail "$what: expected $reason in: $err"
    [ "$(label "$out")" = "$wanted" ] || fail "$what: another answer than the CPU's: $out"
    echo "ok: $what: ${err##*WARN}"
}
# shellcheck disable=SC2001 # a replacement in the shell would be longer
label() { sed 's/.*"label":"\([^"]*\)".*/\1/' <<<"$1"; }
ask --device cpu
wanted=$(label "$out")
if [ $code -ne 0 ] || [ -z "$wanted" ] || [ -n "$err" ]; then fail "the CPU: $code: $err"; fi
echo "ok: cpu, without a word: $wanted"

alone=LD_LIBRARY_PATH="$driver"
both=LD_LIBRARY_PATH="$driver:$cuda/lib"
unusable "no driver" 'no driver \(libcuda\.so\.1 not found\)' LD_LIBRARY_PATH="$cuda/lib"
unusable "no GPU" 'the driver says no GPU' "$both" STAND_IN_GPUS=0
unusable "a driver that does not start" 'the driver does not start: .*error 803' "$both" STAND_IN_FAULT=cuInit=803
unusable "a GPU that is busy" 'the driver does not open the GPU: .*error 46' "$both" STAND_IN_FAULT=cuDevicePrimaryCtxRetain=46
unusable "a card too old" 'stand-in 0 is too old: compute capability 6\.1, 7\.5 is needed' "$both" STAND_IN_CAPABILITY=6.1
(unset CUDA_PATH && unusable "no folder" 'no headers: CUDA_PATH is not set' "$both")
mkdir -p "$work/half/include"
cp "$cuda/include/cuda_fp16.h" "$work/half/include"
unusable "no headers" 'no headers under .CUDA_PATH/include: .*/cuda_fp16\.h is not there' "$both" CUDA_PATH="$work"
unusable "half of the headers" 'no headers under .CUDA_PATH/include: .*/cuda_bf16\.h is not there' "$both" CUDA_PATH="$work/half"
unusable "no NVRTC" 'no NVRTC \(libnvrtc\.so not found\)' "$alone"
unusable "a card too new" 'NVRTC does not compile for compute capability 99\.0: nvrtc: error' "$both" STAND_IN_CAPABILITY=99.0
unusable "a kernel that fails" 'a first operation failed: ' "$both" STAND_IN_FAULT=cuLaunchKernel=719
unusable "no memory" 'a first operation failed: ' "$both" STAND_IN_FAULT=cuMemAlloc=2
unusable "a driver that crashes" 'no answer from starting the driver: signal: 11' "$both" STAND_IN_FAULT=cuInit=crash
unusable "a GPU that crashes" 'no answer from a first operation: signal: 11' "$both" STAND_IN_FAULT=cuLaunchKernel=crash
unusable "a driver that hangs" 'no answer from (opening the GPU|a first operation): none in 60 s' "$both" STAND_IN_FAULT=cuCtxSetCurrent=hang
