#!/usr/bin/env bash
# Starts the binary and asks it what a user would: ready? a relation as JSON, as a form; a mistake; the end.
# Usage: tests/smoke.sh PATH/TO/more-r1 [flags for serve]
set -euo pipefail
binary="${1:?usage: tests/smoke.sh PATH/TO/more-r1 [flags for serve]}"
shift
cd "$(dirname "$0")/.."
photo=examples/photo.jpg
work=$(mktemp -d)
server=""
finish() {
    local code=$?
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ $code -eq 0 ] || { echo "smoke test FAILED"; cat "$work/log" 2>/dev/null || true; }
    rm -rf "$work"
    exit $code
}
trap finish EXIT

fail() { echo "$1"; exit 1; }
expect() { # what, text, pattern
    grep -Eq "$3" <<<"$2" || fail "$1: expected $3 in: $2"
    echo "ok: $1"
}

"$binary" serve --listen 127.0.0.1:0 "$@" 2>"$work/log" &
server=$!
url=""
for _ in $(seq 300); do
    kill -0 "$server" 2>/dev/null || fail "the service ended"
    address=$(sed -n 's/.*address=\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/log" | head -n 1)
    if [ -n "$address" ]; then
        url="http://$address"
        "$binary" health --url "$url/readyz" >/dev/null 2>&1 && break
    fi
    sleep 0.1
done
expect "healthz" "$(curl -sS "$url/healthz")" '"status":"ok"'
expect "readyz" "$(curl -sS "$url/readyz")" '"status":"ready"'
expect "openapi" "$(curl -sS "$url/openapi.json")" '"/extract"'

bbox=$(sed -n 1p examples/question.txt)
entity=$(sed -n 2p examples/question.txt)
text=$(sed -n 3p examples/question.txt)

form=$(curl -sS "$url/extract" -F "image=@$photo" -F "bbox=$bbox" -F "text=$text" -F "entity=$entity")
expect "a form" "$form" '"relation":\{"label":"(none|/[a-z]+/[a-z]+/[a-z_]+)"'
expect "six steps" "$form" '"number":6'

printf '{"image":"%s","bbox":[%s],"text":"%s","entity":"%s"}' \
    "$(base64 -w 0 "$photo")" "$bbox" "$text" "$entity" >"$work/question.json"
json=$(curl -sS "$url/extract" -H 'content-type: application/json' --data-binary "@$work/question.json")
expect "JSON" "$json" '"relation":\{"label":"(none|/[a-z]+/[a-z]+/[a-z_]+)"'
label() { sed 's/.*"label":"\([^"]*\)".*/\1/' <<<"$1"; }
[ "$(label "$form")" = "$(label "$json")" ] || fail "form and JSON disagree"
echo "label: $(label "$json")"

printf '{"image":"%s","text":"%s","pairs":[{"bbox":[%s],"entity":"%s"},{"bbox":[%s],"entity":"nobody at all"},{"bbox":[0,0,40,40],"entity":"%s"}]}' \
    "$(base64 -w 0 "$photo")" "$text" "$bbox" "$entity" "$bbox" "$entity" >"$work/batch.json"
batch=$(curl -sS "$url/extract/batch" -H 'content-type: application/json' --data-binary "@$work/batch.json")
[ "$(wc -l <<<"$batch")" = 3 ] || fail "a batch of three has three lines, not: $batch"
expect "a mistake in a batch stays alone" "$(grep '"index":1' <<<"$batch")" '"problem":.*"field":"entity"'
[ "$(label "$(grep '"index":0' <<<"$batch")")" = "$(label "$json")" ] || fail "batch and single question disagree"

wrong=$(curl -sS -w ' %{http_code} %{content_type}' "$url/extract" -F "image=@$photo" -F "bbox=$bbox" -F "text=$text" -F 'entity=nobody at all')
expect "a mistake" "$wrong" '"field":"entity".* 422 application/problem\+json'
wrong=$(curl -sS -w ' %{http_code} %{content_type}' "$url/nowhere")
expect "a wrong path" "$wrong" 'not-found.* 404 application/problem\+json'

peak=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$server/status" 2>/dev/null || echo 0)
echo "peak memory: $peak MiB"
kill -TERM "$server"
wait "$server" || fail "the service did not end cleanly"
server=""
echo "ok: SIGTERM"
