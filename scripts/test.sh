#!/usr/bin/env bash
# test.sh: every test. All steps run, and what failed is named at the end.
#
#   FLAVOURS="release debug debian"   the nginxes that the module is tested in (see build-module.sh)
#   TESTS=...                         what `cargo test` shall pick in them, e.g. TESTS=headers
#   ENGINES=wasmtime,wasmer,wasmi     the engines in the module. All their tests run in the first of FLAVOURS, those of
#                                     the first engine in the others
#   PACKAGES="wasmtime wasmi"         the engines whose packages are made and tried: the first of ENGINES, if it is not said.
#                                     Empty: none
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

flavours=${FLAVOURS:-release debug debian}
engines=${ENGINES:-wasmtime,wasmer,wasmi}
export ENGINES=$engines
packages=${PACKAGES-${engines%%,*}}
read -r -a tests <<<"${TESTS:-}"

failures=() skipped=() times=()
run() {
    local began=$SECONDS
    step "$@" || failures+=("$1")
    times+=("$(printf '%5d s  %s' $((SECONDS - began)) "$1")")
}

# A step that ends with 3 when its toolchain is not there, and says so.
run_if_there() {
    local rc=0 began=$SECONDS
    say "$1 ($2)"
    "${@:3}" || rc=$?
    case $rc in
    0) ;;
    3) skipped+=("$1") ;;
    *) failures+=("$1") ;;
    esac
    times+=("$(printf '%5d s  %s' $((SECONDS - began)) "$1")")
}

# Each test is there for each engine. All are run in the first nginx; what the others do otherwise is the same for every engine,
# and one is enough.
module_in() {
    local engine of=,$engines, others=()
    [ "$1" = "${flavours%% *}" ] || of=,${engines%%,*},
    for engine in wasmtime wasmer wasmi; do
        [[ $of == *",$engine,"* ]] || others+=(--skip "::$engine::")
    done
    # More at once than there are cores: they wait for each other's processes half of the time.
    RUST_TEST_THREADS=$((2 * $(nproc))) WASMX_FLAVOUR=$1 WASMX_ENGINES=$engines \
        cargo test --release --no-fail-fast -p wasmx-t "${tests[@]}" -- "${others[@]}"
}

run "the engines' conformance suite, and the Proxy-Wasm host without nginx" "15 min the first time: the engines are big" \
    cargo test --release --no-fail-fast -p engines -p ngx_wasmx_module --no-default-features --features "$engines"
run "the guests of the tests" "1 to 2 min the first time" t/guests/build.sh
run "the example filters" "seconds" scripts/build-guests.sh examples/rust target/examples
for sdk in go assemblyscript; do
    run_if_there "the example filters: $sdk" "half a minute the first time" scripts/build-$sdk.sh examples/$sdk target/examples/$sdk
done
run "the gRPC server of the tests" "half a minute the first time" t/peers/build.sh
run "the tool" "a minute" scripts/build-tool.sh
run "the tool's own tests" "a minute" cargo test --release --no-fail-fast -p wasmx-tool --no-default-features --features "$engines"
run "the bench's own tests" "seconds" cargo test --release --no-fail-fast -p wasmx-bench
for flavour in $flavours; do
    run "the module for nginx: $flavour" "2 min" scripts/build-module.sh "$flavour"
done
for flavour in $flavours; do
    run "the module in nginx: $flavour" "some minutes" module_in "$flavour"
done
run "the README's first filter" "seconds" scripts/readme.sh
run "nginx's own build" "2 min" scripts/test-nginx-build.sh
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086
    run "packages: installed, serving, purged" "4 min for each engine" scripts/test-packages.sh $packages
fi
for engine in ${engines//,/ }; do
    # That of a package has been compiled alone.
    [[ " $packages " != *" $engine "* ]] || continue
    run "$engine alone compiles" "1 to 3 min the first time" cargo check --release --no-default-features --features "nginx,$engine"
done

say "how long it took"
printf '    %s\n' "${times[@]}" >&2
for name in "${skipped[@]}"; do note "SKIPPED: $name"; done
if [ ${#failures[@]} -gt 0 ]; then
    for failure in "${failures[@]}"; do note "FAILED: $failure"; done
    exit 1
fi
say "test: all passed"
