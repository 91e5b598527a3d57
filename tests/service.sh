#!/usr/bin/env bash
# Sourced by the shell tests: programs they need, a service on a free port of loopback, and its end. Tests nothing itself.

# Makes sure that the program `$1` is there, from Debian's package `$2` if need be; ends the test with 77, "not run", where it cannot.
provide() {
    command -v "$1" >/dev/null && return 0
    echo "no $1 here: installing Debian's"
    install() { apt-get install --yes --no-install-recommends "$2"; }
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { install "$@" || { apt-get update && install "$@"; }; } >/dev/null 2>&1 && return 0
    fi
    echo "NOT RUN: $1 is not installed and cannot be (that needs root and Debian's packages)"
    exit 77
}

# Starts `$1 serve` with the flags behind the name of the log `$2`; sets `server` (its process) and `url` once it is ready.
start_service() {
    local binary="$1" log="$2" address=""
    shift 2
    : >"$log" # the loop below may look before the service has opened it
    "$binary" serve --listen 127.0.0.1:0 "$@" 2>>"$log" &
    server=$!
    for _ in $(seq 300); do
        kill -0 "$server" 2>/dev/null || break
        address=$(sed -n 's/.*address=\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$log" | head -n 1)
        if [ -n "$address" ] && "$binary" health --url "http://$address/readyz" >/dev/null 2>&1; then
            # shellcheck disable=SC2034 # for those who source this
            url="http://$address"
            return 0
        fi
        sleep 0.1
    done
    echo "the service did not become ready:"
    cat "$log"
    return 1
}

# Ends it, if it runs; for traps.
stop_service() {
    [ -z "${server:-}" ] || kill -INT "$server" 2>/dev/null || true
}
