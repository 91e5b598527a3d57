#!/usr/bin/env bash
# Opens the page of the binary in a real browser and uses it: mouse, keyboard, touch, a mistake (tests/page/page.py).
# Needs `chromium` on the PATH, and the network once, for the Python package that drives it. Ends with 77, which means
# "not run", where there is no chromium, or no network for that package.
# Usage: tests/page.sh PATH/TO/more-r1 [FOLDER FOR SCREENSHOTS]
set -euo pipefail
binary="${1:?usage: tests/page.sh PATH/TO/more-r1 [FOLDER FOR SCREENSHOTS]}"
cd "$(dirname "$0")/.."
if ! chromium=$(command -v chromium); then
    echo "page test NOT RUN: there is no chromium on the PATH"
    exit 77
fi
work=$(mktemp -d)
server=""
finish() {
    local code=$?
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ $code -eq 0 ] || { echo "page test FAILED"; cat "$work/log" 2>/dev/null || true; }
    rm -rf "$work"
    exit $code
}
trap finish EXIT

fail() { echo "$1"; exit 1; }

venv="${XDG_CACHE_HOME:-$HOME/.cache}/more-r1/page-venv"
if ! cmp -s tests/page/requirements.txt "$venv/requirements.txt"; then
    python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/page/requirements.txt || {
        echo "page test NOT RUN: the package that drives the browser cannot be installed"
        exit 77
    }
    cp tests/page/requirements.txt "$venv/requirements.txt"
fi

: >"$work/log" # the loop below may look before the service has opened it
"$binary" serve --listen 127.0.0.1:0 2>>"$work/log" &
server=$!
url=""
ready=""
for _ in $(seq 300); do
    kill -0 "$server" 2>/dev/null || fail "the service ended"
    address=$(sed -n 's/.*address=\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/log" | head -n 1)
    if [ -n "$address" ]; then
        url="http://$address"
        "$binary" health --url "$url/readyz" >/dev/null 2>&1 && { ready=yes; break; }
    fi
    sleep 0.1
done
[ -n "$ready" ] || fail "the service was not ready after 30 seconds"

"$venv/bin/python" tests/page/page.py "$url" "$chromium" ${2:+"$2"}
