#!/usr/bin/env bash
# Opens the page of the binary in a real browser and uses it: mouse, keyboard, touch, a mistake (tests/page/page.py).
# Needs `chromium` (Debian's, if root may install it) and the network once, for the Python package that drives it. Ends with 77, which
# means "not run", where one of them is not to be had.
# Usage: tests/page.sh PATH/TO/more-r1 [FOLDER FOR SCREENSHOTS]
set -euo pipefail
binary="${1:?usage: tests/page.sh PATH/TO/more-r1 [FOLDER FOR SCREENSHOTS]}"
cd "$(dirname "$0")/.."
# shellcheck source=tests/service.sh
source tests/service.sh
provide chromium chromium
chromium=$(command -v chromium)
work=$(mktemp -d)
finish() {
    local code=$?
    stop_service
    [ -z "${first:-}" ] || kill -INT "$first" 2>/dev/null || true
    [ $code -eq 0 ] || { echo "page test FAILED"; cat "$work/log" 2>/dev/null || true; }
    rm -rf "$work"
    exit $code
}
trap finish EXIT

venv="${XDG_CACHE_HOME:-$HOME/.cache}/more-r1/page-venv"
if ! cmp -s tests/page/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/page/requirements.txt || {
        echo "page test NOT RUN: the package that drives the browser cannot be installed"
        exit 77
    }
    cp tests/page/requirements.txt "$venv/requirements.txt"
fi

start_service "$binary" "$work/log"
open="$url"
# A second one lets nobody in without a key.
made=$("$binary" key --json --name page)
of() { python3 -c 'import json, sys; print(json.loads(sys.argv[2])[sys.argv[1]])' "$1" "$made"; }
of line >"$work/keys"
first=$server
start_service "$binary" "$work/log-guarded" --api-keys "$work/keys"
"$venv/bin/python" tests/page/page.py "$open" "$url" "$(of key)" "$chromium" ${2:+"$2"}
