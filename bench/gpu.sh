#!/usr/bin/env bash
# Everything about one device in one run: numbers first, then speed, then transformers on the same weights, and one report of it all.
# Needs a built binary and Python; transformers and torch for the peer, which is left out where they are not to be had. No network.
# Usage: bench/gpu.sh [BINARY] [OUT]      without them: more-r1 from PATH, the folder bench-report; OUT/report.md is for people
#   SHAPE=7b DEVICE=cuda:0 DTYPE=bf16     what is measured; with SHAPE=mini DEVICE=cpu DTYPE=f32 it runs anywhere
#   STEPS="gate pieces network samples ready peer"   some of these; each alone may take 9 minutes, together they share 25
#   ALLOWED=1500                          seconds in all (520 for one step): what is left over when they are used up is reported as not done
#   BUDGET=45                             seconds of a part of `bench`; samples get four times that
#   MODEL_DIR                             where the random model's files go, and stay; without it a folder that is removed
#   PEAKS="--peak-tflops 790 --peak-gbs 4300"   the roof, if it is known; without it what `pieces` found
#   BATCHES, CONTEXTS, SEEDS, RECORDS, SEQUENCES, REVISION, PYTHON   what their flags say
# A step that fails does not stop the others, but the gate: what computes wrongly is not measured. Ends with 1 if one failed,
# with 77 where there is no Python.
set -uo pipefail
binary=$(realpath "$(command -v "${1:-more-r1}")") || { echo "no binary ${1:-more-r1}" >&2; exit 2; }
out=${2:-bench-report}
mkdir -p "$out" || exit 2
out=$(realpath "$out")
command -v "${PYTHON:-python3}" >/dev/null || { echo "not run: no ${PYTHON:-python3}"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)

shape=${SHAPE:-7b} device=${DEVICE:-cuda:0} dtype=${DTYPE:-bf16}
steps=${STEPS:-gate pieces network samples ready peer}
alone=$([ "$(wc -w <<<"$steps")" -gt 1 ] || echo yes)
allowed=${ALLOWED:-${alone:+520}}
allowed=${allowed:-1500} budget=${BUDGET:-45}
batches=${BATCHES:-1,8,32,64,128,256} contexts=${CONTEXTS:-734,2048}
python=${PYTHON:-python3}
sequences=${SEQUENCES:-$([ "${device%%:*}" = cpu ] && echo 16 || echo 128)}
export MORE_R1_LOG=${MORE_R1_LOG:-warn}

if [ -n "${MODEL_DIR:-}" ]; then
    model=$MODEL_DIR
else
    passing=$(mktemp -d)
    trap 'rm -rf "$passing"' EXIT
    model=$passing/$shape
fi

touch "$out/steps.jsonl" # steps that were run before stay in the report
failed=0 start=$SECONDS peaks=${PEAKS:-}
note() { # step, seconds, outcome
    printf '{"step":"%s","seconds":%d,"outcome":"%s"}\n' "$@" >>"$out/steps.jsonl"
    printf -- '-- %s: %d s, %s\n' "$@"
}

# Runs a step for at most so many seconds, fewer where fewer are left.
step() { # name, seconds, command…
    local name=$1 limit=$2 begin=$SECONDS left outcome code=0
    shift 2
    left=$((allowed - (SECONDS - start)))
    [ -z "$alone" ] || limit=$allowed
    [ "$limit" -le "$left" ] || limit=$left
    if [ "$limit" -le 0 ]; then
        failed=1
        note "$name" 0 "no time left"
        return 1
    fi
    printf '\n== %s\n' "$name"
    timeout --kill-after=10 "$limit" "$@" 2>&1 | tee "$out/$name.log"
    code=${PIPESTATUS[0]}
    case $code in
    0) outcome="done" ;;
    77) outcome="not run" ;;
    124 | 137) outcome="stopped after $limit s" ;;
    *) outcome="failed with $code" ;;
    esac
    [ "$code" = 0 ] || [ "$code" = 77 ] || failed=1
    note "$name" $((SECONDS - begin)) "$outcome"
    [ "$code" = 0 ]
}

wanted() { case " $steps " in *" $1 "*) true ;; *) false ;; esac; }

# shellcheck disable=SC2086 # the ceilings are flags
measure() { # step, seconds, parts and flags…
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" "$binary" bench "$@" --device "$device" --dtype "$dtype" --out "$out/$name.jsonl" \
        --batches "$batches" --contexts "$contexts" $peaks ${REVISION:+--revision "$REVISION"}
}

# The random model's files, for who needs files.
files() {
    [ -e "$model/config.json" ] || measure files 200 greedy --shape "$shape" --write-hf "$model"
}

{
    uname -srm
    grep -m 1 'model name' /proc/cpuinfo
    nproc
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv
} >"$out/machine.txt" 2>&1

if wanted gate; then
    step gate 330 "$binary" bench gate --device "$device" --dtype "$dtype" --out "$out/gate.jsonl" \
        --seeds "${SEEDS:-2}" --records "${RECORDS:-200}" || steps=""
fi
wanted pieces && measure pieces 200 matmul attention --shape "$shape" --budget-seconds "$budget"
[ -n "$peaks" ] || [ ! -e "$out/pieces.jsonl" ] || peaks=$("$python" "$here/report.py" --peaks "$out/pieces.jsonl")
wanted network && measure network 330 vision prefill decode greedy memory --shape "$shape" --budget-seconds "$budget" \
    --write-hf "$model"
wanted samples && measure samples 240 samples --shape "$shape" --budget-seconds $((4 * budget)) --max-sequences "$sequences"
wanted ready && files && measure ready 120 ready --model "$model" --budget-seconds $((2 * budget))
if wanted peer; then
    if "$python" -c 'import torch, transformers, torchvision' 2>/dev/null; then
        files && step peer 280 "$python" "$here/peer_transformers.py" "$model" --shape "$shape" --device "$device" \
            --dtype "$dtype" --batches "$batches" --contexts "$contexts" --budget-seconds "$budget" --out "$out/peer.jsonl"
    else
        note peer 0 "not run"
        echo "$python has no torch, transformers and torchvision" | tee "$out/peer.log"
    fi
fi

"$python" "$here/report.py" "$out" || failed=1
printf '\n%s/report.md: %d s in all\n' "$out" $((SECONDS - start))
exit $failed
