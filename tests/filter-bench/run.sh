#!/usr/bin/env bash
# Builds the box and the benchmark, and measures filters beside native code in one run: what the Wasm boundary costs, grok beside the
# grok crate, a chain, a swap under load, and a replay beside `sawbox bench`.
#
#   tests/filter-bench/run.sh --lines access.log              everything, some minutes
#   tests/filter-bench/run.sh --lines access.log --quick      without the box: no swap, no replay
#
# access.log holds lines of Apache's combined format. Wants a C compiler, for Oniguruma. SAWBOX names the box's program; without it, it
# is built. .ci/run does not run it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
if [ -z "${SAWBOX:-}" ]; then
  (cd "$here/../.." && cargo build --release --locked --quiet)
  SAWBOX=$target/release/sawbox
fi
CARGO_TARGET_DIR=$target/filter-bench cargo build --release --locked --quiet --manifest-path "$here/Cargo.toml"
exec "$target/filter-bench/release/filter-bench" --sawbox "$SAWBOX" --dist "$here/../../filters/dist" "$@"
