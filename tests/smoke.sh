#!/usr/bin/env bash
# Starts the binary and asks it what a user would: ready? a relation as JSON, as a form, as a graph; with and without a key; a mistake;
# other relations while it runs; the end. Then an adapter, without a service.
# Usage: tests/smoke.sh PATH/TO/more-r1 [flags for serve]
set -euo pipefail
binary="${1:?usage: tests/smoke.sh PATH/TO/more-r1 [flags for serve]}"
shift
cd "$(dirname "$0")/.."
photo=examples/photo.jpg
work=$(mktemp -d)
# shellcheck source=tests/service.sh
source tests/service.sh
finish() {
    local code=$?
    stop_service
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

# One part of the settings in a file, one in the environment, one typed.
key() { "$binary" key --json --name "$@"; }
user=$(key alice)
admin=$(key root --admin)
of() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" <<<"$2"; }
{ of line "$user"; of line "$admin"; } >"$work/keys"
printf '[serve]\nqueue = 8\napi_keys = "%s"\n' "$work/keys" >"$work/settings.toml"
printf '{"name":"small","types":[{"name":"per","description":"person"},{"name":"misc","description":"thing"}],"labels":[{"name":"/per/misc/awarded","object_type":"per","entity_type":"misc","definition":"the object got the entity"},{"name":"none","object_type":null,"entity_type":null,"definition":"no relation"}]}' >"$work/ontology.json"
export MORE_R1_ONTOLOGY="$work/ontology.json"
start_service "$binary" "$work/log" --settings "$work/settings.toml" "$@"
expect "healthz" "$(curl -sS "$url/healthz")" '"status":"ok"'
expect "readyz" "$(curl -sS "$url/readyz")" '"status":"ready"'
expect "openapi" "$(curl -sS "$url/openapi.json")" '"/extract"'

expect "metrics" "$(curl -sS "$url/metrics")" '^more_r1_places 8$'
expect "no key" "$(curl -sS "$url/ontology")" '"status":401'
curl() { command curl -H "authorization: Bearer $(of key "$user")" "$@"; }
expect "the ontology of the environment" "$(curl -sS "$url/ontology")" '"name":"small"'

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

graph=$(curl -sS "$url/extract?format=turtle" -F "image=@$photo" -F "bbox=$bbox" -F "text=$text" -F "entity=$entity")
expect "a graph" "$graph" 'xywh=pixel:257,122,63,111'

hash() { curl -sS "$url/ontology" | sed 's/.*"hash":"\([^"]*\)".*/\1/'; }
before=$(hash)
sed -i 's/"small"/"other"/' "$work/ontology.json"
kill -HUP "$server"
for _ in $(seq 50); do [ "$(hash)" = "$before" ] || break; sleep 0.1; done
[ "$(hash)" != "$before" ] || fail "SIGHUP read nothing"
echo '{' >"$work/ontology.json"
now=$(hash)
expect "a broken file" "$(command curl -sS -X POST "$url/admin/reload" -H "x-api-key: $(of key "$admin")")" '"status":500'
expect "no admin" "$(curl -sS -X POST "$url/admin/reload")" '"status":403'
[ "$(hash)" = "$now" ] || fail "a broken file changed the relations"
echo "ok: relations read again"

peak=$(awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$server/status" 2>/dev/null || echo 0)
echo "peak memory: $peak MiB"
kill -TERM "$server"
sleep 0.3
expect "the door is still open" "$(curl -sS -w ' %{http_code}' "$url/readyz")" 'shutting-down.* 503'
wait "$server" || fail "the service did not end cleanly"
server=""
echo "ok: SIGTERM"

# A LoRA adapter beside its base, and merged with it; what the service was told is not meant for them.
unset "${!MORE_R1_@}"
golden=model/tests/golden
say() { "$binary" --log warn generate --image $golden/images/small.png --prompt "What is this?" --max-new-tokens 8 "$@"; }
"$binary" --log warn merge --model $golden/b --adapter $golden/lora/listed --out "$work/merged" >/dev/null
adapted=$(say --model $golden/b --adapter $golden/lora/listed)
[ "$adapted" = "$(say --model "$work/merged")" ] || fail "the merged checkpoint answers otherwise"
[ "$adapted" != "$(say --model $golden/b)" ] || fail "the adapter changes nothing"
for wrong in "--model $golden/a --adapter $golden/lora/listed" "--model $golden/b --adapter $golden/b" "--model $golden/lora/listed"; do
    # shellcheck disable=SC2086
    said=$(say $wrong 2>&1) && fail "$wrong: answers"
    # shellcheck disable=SC2086
    say $wrong >/dev/null 2>&1 || [ $? -eq 2 ] || fail "$wrong: another exit than 2"
    expect "an adapter out of place" "$said" "adapter"
done
