#!/bin/sh
# Both stages of the paper with the mini on a hard corpus, evaluated: examples/both-stages.sh [SEED [STRATEGY...]]
# Prints each command before it runs it. What is done is passed over and what was interrupted goes on, so the same command again is
# right after a kill. SEED is Stage 2's: runs of several seeds and strategies start from one Stage 1. BINARY is the program; without it
# cargo builds and runs it. LABEL_ONLY=1 also trains the baseline on labels.
set -eu
cd "$(dirname "$0")/.."
seed=${1:-1}
[ $# -eq 0 ] || shift
data=data/hard runs=runs/hard
export MIMALLOC_PURGE_DELAY=-1

more_r1() {
    echo "+ more-r1 $*" >&2
    if [ -n "${BINARY:-}" ]; then "$BINARY" "$@"; else cargo run --quiet --workspace --bin more-r1 -- "$@"; fi
}

# Trains by a configuration of this folder: NAME STAGE FILE [SED COMMAND]
train() {
    [ -e "$runs/$1/checkpoint" ] && return
    sed "${4:-}" "configs/$3" > "$runs/$1.toml"
    more_r1 train "$2" --config "$runs/$1.toml"
    newest=$(ls -d "$runs/$1"/checkpoint-* | sort -V | tail -n 1)
    ln -s "$(basename "$newest")" "$runs/$1/checkpoint"
}

# Scores what was trained on the test set: NAME [FLAG...]
evaluate() {
    name=$1
    shift
    [ -e "$runs/$name.json" ] && return
    more_r1 --json eval --data $data/test.jsonl --images $data/images --model "$runs/$name/checkpoint" \
        --batch-size 64 "$@" > "$runs/$name.part"
    mv "$runs/$name.part" "$runs/$name.json"
}

mkdir -p $runs
[ -e $data/ontology.json ] || more_r1 data synth --hard --out $data --seed 5 --train 480 --dev 400 --test 1500
[ -e $data/stage-2.jsonl ] || more_r1 data sample --src $data/train.jsonl --fraction 0.25 --stratify relation --seed 1 \
    --out $data/stage-1.jsonl --rest $data/stage-2.jsonl
train stage-1 sft mini-stage-1.toml
[ -e $data/split ] || more_r1 data split-hard --model $runs/stage-1/checkpoint --data $data/stage-2.jsonl \
    --images $data/images --batch-size 64 --resume --out $data/split
for strategy in "${@:-progressive}"; do
    train "$strategy-$seed" grpo mini-grpo.toml "s/progressive-1/$strategy-$seed/; s/\"progressive\"/\"$strategy\"/; s/^seed = 1/seed = $seed/"
done
evaluate stage-1
for strategy in "${@:-progressive}"; do
    evaluate "$strategy-$seed"
done
if [ -n "${LABEL_ONLY:-}" ]; then
    train label sft mini-stage-1.toml 's/stage-1"$/label"/; s/^num_train_epochs = .*/num_train_epochs = 20.0/; s/^seed = .*/&\ntarget = "label"/'
    evaluate label --label-only
fi
more_r1 eval --compare $runs/*.json
