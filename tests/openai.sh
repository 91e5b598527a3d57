#!/usr/bin/env bash
# The official Python client of OpenAI against `more-r1 serve`. Needs PyPI the first time; ends with 77 where it cannot be had.
# Usage: tests/openai.sh PATH/TO/more-r1
set -euo pipefail
binary="${1:?usage: tests/openai.sh PATH/TO/more-r1}"
cd "$(dirname "$0")"
venv="${MORE_R1_OPENAI_VENV:-$HOME/.cache/more-r1/openai-venv}"
if ! "$venv/bin/python" -c 'import openai; assert openai.__version__ == "3.52.0"' 2>/dev/null; then
    python3 -m venv "$venv" && "$venv/bin/pip" install -q openai==3.52.0 ||
        { echo "skipped: the client cannot be installed here"; exit 77; }
fi
log=$(mktemp)
"$binary" serve --listen 127.0.0.1:0 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 300); do
    address=$(sed -n 's/.*address=\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$log" | head -n 1)
    [ -n "$address" ] && "$binary" health --url "http://$address/readyz" >/dev/null 2>&1 && break
    sleep 0.1
done
"$venv/bin/python" openai_client.py "http://$address/v1" ../examples/photo.jpg
