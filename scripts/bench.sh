#!/usr/bin/env bash
# bench.sh: build the measured filter and the measuring program, and measure. ROUNDS, SECONDS_EACH, CONNECTIONS and ENGINES
# change what is done; PERF=wasmtime/empty shows where the time of that variant goes instead.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"
[ "$(nproc)" -ge 2 ] || die "two cores are needed: one for nginx, one for wrk"
step "building the measured filter" "1 to 2 min the first time" scripts/build-guests.sh bench/guest target/bench
cargo run --quiet --release -p wasmx-bench
