#!/usr/bin/env bash
# Builds the box and the benchmark, and measures Sawbox as a Kafka broker beside librdkafka's in-memory mock, in one run.
#
#   tests/kafka-bench/run.sh                         everything, the kill -9 with 10 GB retained: some minutes, 11 GB of disk
#   tests/kafka-bench/run.sh --retained-gb 1         the same, smaller
#   tests/kafka-bench/run.sh --only throughput --set compression.type=lz4
#   tests/kafka-bench/run.sh --only throughput --batches    a producer three times as fast: what the box itself can take
#   tests/kafka-bench/run.sh --help                  all options
#
# Wants a C compiler, for librdkafka. SAWBOX names the box's program; without it, it is built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
if [ -z "${SAWBOX:-}" ]; then
  (cd "$here/../.." && cargo build --release --locked --quiet)
  SAWBOX=$target/release/sawbox
fi
CARGO_TARGET_DIR=$target/kafka-bench cargo build --release --locked --quiet --manifest-path "$here/Cargo.toml"
exec "$target/kafka-bench/release/kafka-bench" run --sawbox "$SAWBOX" "$@"
