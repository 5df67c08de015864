#!/usr/bin/env bash
# The page in headless Chromium, against a real box with real rows. SAWBOX names the binary.
set -euo pipefail
cd "$(dirname "$0")"
: "${SAWBOX:=$PWD/../../target/release/sawbox}"
[ -d node_modules ] || npm ci --no-audit --no-fund --silent
work=$(mktemp -d)
box=
trap '[ -n "$box" ] && kill "$box" 2>/dev/null; wait; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 10000))
{
  printf 'web.listen = "127.0.0.1:%s"\ningest.elastic.listen = "127.0.0.1:0"\n[[ingest.syslog]]\nlisten = "127.0.0.1:0"\n[[ingest.kafka]]\nlisten = "127.0.0.1:0"\n' "$port"
  sed 's/127.0.0.1:5044/127.0.0.1:0/' ../../appliance/demo.toml
} > "$work/demo.toml"
# What the shop sent stays; a box that nobody writes to shows it, so that the page and the API can be compared.
"$SAWBOX" demo --config "$work/demo.toml" --data-dir "$work/data" --history 10000 --rate 20 2>"$work/log" &
box=$!
for _ in $(seq 300); do
  grep -q 'shop of the last hour is in' "$work/log" && break
  kill -0 "$box" || { cat "$work/log"; exit 1; }
  sleep 0.1
done
kill "$box"
wait "$box" || { cat "$work/log"; exit 1; }
"$SAWBOX" run --config "$work/demo.toml" --data-dir "$work/data" 2>>"$work/log" &
box=$!
for _ in $(seq 300); do
  curl -sf "http://127.0.0.1:$port/health/ready" >/dev/null && break
  kill -0 "$box" || { cat "$work/log"; exit 1; }
  sleep 0.1
done
node page.mjs "http://127.0.0.1:$port"
