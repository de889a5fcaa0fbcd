#!/usr/bin/env bash
# build-tool.sh: build wasmx, which compiles filters ahead of nginx and tells what a filter is, into target/release/wasmx. It
# needs no nginx. ENGINES (default wasmtime,wasmi) names the engines in it: those of the module that loads what it compiles.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"
engines=${ENGINES:-wasmtime,wasmi}
expected="a minute"
ls target/release/deps/libwasmtime-*.rlib >/dev/null 2>&1 || expected="5 to 10 min: the engines are big, and compiled once"
step "building wasmx with $engines" "$expected" \
    cargo build --release -p wasmx-tool --no-default-features --features "$engines"
note "target/release/wasmx"
