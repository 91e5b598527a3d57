#!/usr/bin/env bash
# Brings docker/compose.yaml up for real and looks whether it keeps what it promises: who the containers are, questions through the
# balancer, what it says when nobody is there, kills and restarts under load (tests/balance.py).
# Usage: tests/docker/containers.sh [PATH/TO/more-r1 [options of tests/balance.py]]
#   with a binary, it stands in for the build's: the final stage is docker/Dockerfile's own, only nothing is compiled;
#   without one the Dockerfile is built as it is, which takes half an hour from cold.
# Base images that are missing are made by bases.sh. Without Docker, compose or BuildKit (for the build) it says so and ends with 77.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
binary=""
if [ $# -gt 0 ]; then
    binary=$(realpath "$1")
    shift
fi
cd "$here"

skip() { echo "skipped: $1"; exit 77; }
fail() { echo "FAILED: $1"; exit 1; }
docker="${DOCKER:-docker}"
"$docker" info >/dev/null 2>&1 || skip "no Docker engine"
if "$docker" compose version >/dev/null 2>&1; then
    compose() { "$docker" compose -p more-r1-test -f docker/compose.yaml "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose -p more-r1-test -f docker/compose.yaml "$@"; }
else
    skip "no docker compose"
fi

work=$(mktemp -d)
up=""
finish() {
    local code=$?
    if [ -n "$up" ]; then
        [ $code -eq 0 ] || compose logs --no-color --tail 10 2>&1 | grep -v /readyz || true
        # Not the balancer's soft end: nobody waits for anything any more.
        compose kill >/dev/null 2>&1 || true
        compose down --volumes >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
    exit $code
}
trap finish EXIT

export MORE_R1_IMAGE=more-r1:test
if [ -n "$binary" ]; then
    tests/docker/bases.sh slim haproxy
    cp "$binary" "$work/more-r1"
    cp /etc/ssl/certs/ca-certificates.crt "$work"
    # The build stage's name and result, without the build; then the Dockerfile from its second FROM on.
    { printf 'FROM debian:bookworm-slim AS build\nCOPY more-r1 /more-r1\nCOPY ca-certificates.crt /etc/ssl/certs/\n'; awk '/^FROM/ { stage++ } stage > 1' docker/Dockerfile; } >"$work/Dockerfile"
    "$docker" build -q -t "$MORE_R1_IMAGE" "$work" >/dev/null 2>"$work/log" || { cat "$work/log"; fail "the image"; }
else
    tests/docker/bases.sh slim haproxy rust
    # Debian's client still has BuildKit inside; newer ones need the plug-in.
    builder="$docker"
    "$docker" buildx version >/dev/null 2>&1 || builder=/usr/bin/docker
    DOCKER_BUILDKIT=1 "$builder" build --network none -f docker/Dockerfile -t "$MORE_R1_IMAGE" .
fi
echo "image: $("$docker" image inspect -f '{{.Size}}' "$MORE_R1_IMAGE" | awk '{ printf "%.0f MB", $1 / 1e6 }')"

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
export MORE_R1_PORT="127.0.0.1:$port"
url="http://127.0.0.1:$port"
up=yes
compose up -d 2>&1 | grep -iE 'error|warn' || true
replica() { compose ps -q "replica-$1"; }
balancer=$(compose ps -q balancer)

# Up to a minute until Docker itself says so: its checks are the binary's.
for _ in $(seq 120); do
    healthy=$("$docker" inspect -f '{{.State.Health.Status}}' "$(replica 1)" "$(replica 2)" "$(replica 3)" "$balancer" | grep -c '^healthy$' || true)
    [ "$healthy" = 4 ] && break
    sleep 0.5
done
[ "${healthy:-0}" = 4 ] || fail "only ${healthy:-0} of 4 containers are healthy"
echo "ok: four healthy containers"

one=$(replica 1)
status=$("$docker" exec "$one" cat /proc/1/status)
grep -Eq '^Uid:[[:space:]]+10001[[:space:]]' <<<"$status" || fail "a replica is not user 10001"
grep -Eq '^CapBnd:[[:space:]]+0+$' <<<"$status" || fail "a replica has capabilities"
grep -Eq '^NoNewPrivs:[[:space:]]+1$' <<<"$status" || fail "a replica may get new privileges"
"$docker" exec "$one" sh -c ': >/more-r1' 2>/dev/null && fail "a replica's root can be written"
"$docker" exec "$one" sh -c ': >/var/cache/more-r1/x && rm /var/cache/more-r1/x && : >/tmp/x' || fail "cache or /tmp cannot be written"
[ "$("$docker" exec "$balancer" id -u)" != 0 ] || fail "the balancer is root"
"$docker" exec "$balancer" sh -c ': >/x' 2>/dev/null && fail "the balancer's root can be written"
echo "ok: no root, no capabilities, nothing to write but cache and /tmp"

box=$(sed -n 1p examples/question.txt)
entity=$(sed -n 2p examples/question.txt)
text=$(sed -n 3p examples/question.txt)
ask() { curl -sS "$url/extract" -F "image=@examples/photo.jpg" -F "bbox=$box" -F "text=$text" -F "entity=$entity" "$@"; }
expect() { # what, text, pattern
    grep -Eq "$3" <<<"$2" || fail "$1: expected $3 in: $2"
    echo "ok: $1"
}
expect "a form" "$(ask)" '"relation":\{"label":.*"number":6'
expect "a stream" "$(ask -N -F stream=true)" '^event: ?done'
expect "a mistake" "$(curl -sS -w ' %{http_code}' "$url/extract" -F "image=@examples/photo.jpg" -F "bbox=$box" -F "text=$text" -F 'entity=nobody')" '"field":"entity".* 422'
expect "no metrics through the balancer" "$(curl -sS -o /dev/null -w '%{http_code}' "$url/metrics")" '^404$'
inside=$("$docker" inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$balancer")
curl -sS -m 2 "http://$inside:8404/" >/dev/null 2>&1 && fail "the balancer's figures can be reached from outside"
echo "ok: figures on loopback only"

python3 tests/balance.py "$@" containers "$url" --docker "$docker" --balancer "$balancer" \
    --replica "$(replica 1)" --replica "$(replica 2)" --replica "$(replica 3)"

# One after another, as an operator would, while somebody asks without a pause.
: >"$work/codes"
while [ ! -e "$work/over" ]; do ask -o /dev/null -w '%{http_code}\n' >>"$work/codes" 2>&1 || true; done &
asking=$!
for number in 1 2 3; do
    compose restart "replica-$number" >/dev/null 2>&1
    for _ in $(seq 60); do
        [ "$("$docker" inspect -f '{{.State.Health.Status}}' "$(replica "$number")")" = healthy ] && break
        sleep 0.5
    done
done
touch "$work/over"
wait "$asking"
answered=$(grep -c . "$work/codes")
[ "$(sort -u "$work/codes")" = 200 ] || fail "during the rolling restart: $(sort "$work/codes" | uniq -c | tr '\n' ';')"
echo "ok: rolling restart, $answered questions, all answered"

compose stop replica-1 replica-2 replica-3 >/dev/null 2>&1
expect "nobody there" "$(ask -w ' %{http_code} %{content_type}')" 'urn:more-r1:problem:not-ready.* 503 application/problem\+json'
compose start replica-1 >/dev/null 2>&1
for _ in $(seq 60); do
    [ "$(curl -sS -o /dev/null -w '%{http_code}' "$url/readyz")" = 200 ] && break
    sleep 0.5
done
expect "back again" "$(ask)" '"relation":\{"label":'
