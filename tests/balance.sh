#!/usr/bin/env bash
# Puts docker/haproxy.cfg in front of three processes on loopback and kills and restarts them under load: see tests/balance.py.
# Usage: tests/balance.sh PATH/TO/more-r1 [options of balance.py, e.g. --requests 10000]
# Needs HAProxy; where there is none and Debian's cannot be installed it says so and ends with 77. Containers: tests/docker/.
set -euo pipefail
binary=$(realpath "${1:?usage: tests/balance.sh PATH/TO/more-r1 [options of tests/balance.py]}")
shift
cd "$(dirname "$0")/.."

# shellcheck source=tests/service.sh
source tests/service.sh
provide haproxy haproxy
haproxy -v | head -n 1
exec python3 tests/balance.py "$@" processes "$binary" --haproxy "$(command -v haproxy)"
