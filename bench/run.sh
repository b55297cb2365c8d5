#!/usr/bin/env bash
# Builds our echo server, the other libraries' servers, the floors and the load generator, then runs the benchmark.
# Options go to the runner: bash bench/run.sh --cases small,pipelined --rounds 2 --seconds 1
# BENCH_SKIP_OURS=1 does not build our server. It is still measured if its binary exists.
set -euo pipefail
cd "$(dirname "$0")"

if [[ "$(uname -s)" != Linux ]]; then
    echo "the benchmark needs Linux: epoll, /proc and processor affinity" >&2
    exit 2
fi
if [[ -z "${BENCH_SKIP_OURS:-}" ]]; then
    (cd .. && cargo build --release --bin echo-server)
fi
cargo build --release --workspace
exec cargo run --release --quiet -p runner -- "$@"
