#!/usr/bin/env bash
# Cargo's RUSTC_WORKSPACE_WRAPPER: compiles our own crates with libFuzzer's coverage counters ($FUZZ_FLAGS), all others as they are,
# and build scripts too, which run without libFuzzer.
case " $* " in *" build_script_"*) exec "$@" ;; esac
# shellcheck disable=SC2086 # flags are words
exec "$@" $FUZZ_FLAGS
