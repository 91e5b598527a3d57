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
# shellcheck source=tests/service.sh
source service.sh
log=$(mktemp)
trap 'stop_service; rm -f "$log"' EXIT
start_service "$binary" "$log"
"$venv/bin/python" openai_client.py "$url/v1" ../examples/photo.jpg
