#!/usr/bin/env bash
# test.sh: every test. All steps run, and what failed is named at the end.
#
#   FLAVOURS="release debug debian"   the nginxes that the module is tested in (see build-module.sh)
#   TESTS=...                         what `cargo test` shall pick in them, e.g. TESTS=headers
#   ENGINES=wasmtime,wasmi            the engines in the module
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

flavours=${FLAVOURS:-release debug debian}
engines=${ENGINES:-wasmtime,wasmi}
read -r -a tests <<<"${TESTS:-}"

failures=() times=()
run() {
    local began=$SECONDS
    step "$@" || failures+=("$1")
    times+=("$(printf '%5d s  %s' $((SECONDS - began)) "$1")")
}

module_in() { WASMX_FLAVOUR=$1 cargo test --release --no-fail-fast -p wasmx-t "${tests[@]}"; }

# Both packages in one command: chosen alone, `engines` would have other features in its tree, and wasmtime be built twice.
run "the engines' conformance suite, and the Proxy-Wasm host without nginx" "10 min the first time: the engines are big" \
    cargo test --release --no-fail-fast -p engines -p ngx_wasmx_module --no-default-features --features "$engines"
run "the guests of the tests" "1 to 2 min the first time" t/guests/build.sh
run "the example filters" "seconds" scripts/build-guests.sh examples/rust target/examples
run "the tool" "a minute" scripts/build-tool.sh
run "the tool's own tests" "a minute" cargo test --release --no-fail-fast -p wasmx-tool --no-default-features --features "$engines"
for flavour in $flavours; do
    run "the module for nginx: $flavour" "2 min" scripts/build-module.sh "$flavour"
done
for flavour in $flavours; do
    run "the module in nginx: $flavour" "some minutes" module_in "$flavour"
done
run "the README's first filter" "seconds" scripts/readme.sh
for engine in ${engines//,/ }; do
    run "$engine alone compiles" "1 to 3 min the first time" cargo check --release --no-default-features --features "nginx,$engine"
done

say "how long it took"
printf '    %s\n' "${times[@]}" >&2
if [ ${#failures[@]} -gt 0 ]; then
    for failure in "${failures[@]}"; do note "FAILED: $failure"; done
    exit 1
fi
say "test: all passed"
