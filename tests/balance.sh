#!/usr/bin/env bash
# Puts docker/haproxy.cfg in front of three processes on loopback and kills and restarts them under load: see tests/balance.py.
# Usage: tests/balance.sh PATH/TO/more-r1 [options of balance.py, e.g. --requests 10000]
# Needs HAProxy; where there is none and Debian's cannot be installed it says so and ends with 77. Containers: tests/docker/.
set -euo pipefail
binary=$(realpath "${1:?usage: tests/balance.sh PATH/TO/more-r1 [options of tests/balance.py]}")
shift
cd "$(dirname "$0")/.."

if ! command -v haproxy >/dev/null; then
    echo "no haproxy here: installing Debian's"
    install() { apt-get install --yes --no-install-recommends haproxy; }
    if ! { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && { install || { apt-get update && install; }; }; } >/dev/null 2>&1; then
        echo "skipped: HAProxy is not installed and cannot be (needs root and Debian's packages)"
        exit 77
    fi
fi
haproxy -v | head -n 1
exec python3 tests/balance.py "$@" processes "$binary" --haproxy "$(command -v haproxy)"
