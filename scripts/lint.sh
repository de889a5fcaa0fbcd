#!/usr/bin/env bash
# lint.sh: formatting, clippy with -D warnings on every feature set, cargo-deny, and the rules of the house that no tool
# knows. Everything is checked before it fails.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

failures=()
check() { step "$@" || failures+=("$1"); }

sources() { git ls-files -co --exclude-standard -- "$@" | while read -r file; do [ ! -f "$file" ] || echo "$file"; done; }

format() {
    local manifest rc=0
    cargo fmt --all --check || rc=1
    for manifest in $(sources '*Cargo.toml' | grep -v '^Cargo.toml$'); do
        ! grep -q '^\[workspace\]' "$manifest" || cargo fmt --all --check --manifest-path "$manifest" || rc=1
    done
    return $rc
}

# clippy FLAGS...: with --release, so that build scripts and macros are those of the build. Every unsafe block has its reason.
clippy() {
    cargo clippy --release --all-targets "$@" -- -D warnings -D clippy::undocumented_unsafe_blocks
}

# Its library is the module's sources once more, whose tests are those of the root package.
clippy_tool() {
    cargo clippy --release -p wasmx-tool --bins --tests --no-default-features --features wasmtime,wasmer,wasmi \
        -- -D warnings -D clippy::undocumented_unsafe_blocks
}

# The filters, as far as that goes without a WebAssembly toolchain: checked for the machine.
clippy_guests() {
    cargo clippy --quiet --all --manifest-path "$1/Cargo.toml" --target-dir target/wasm/clippy -- -D warnings
}

# What gofmt would change is shown; vet looks as the compiler for filters does. Where there is no Go, nothing is looked at.
go_filters() {
    local module rc=0
    if ! have go; then
        note "SKIPPED: no go"
        return 0
    fi
    for module in $(sources '*go.mod'); do
        module=$(dirname "$module")
        gofmt -d "$module" | awk '{ print; bad = 1 } END { exit bad }' || rc=1
        (cd "$module" && GOTOOLCHAIN=local GOWORK=off GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go vet ./...) || rc=1
    done
    return $rc
}

deny() {
    local cargo_deny=cargo-deny version=0.20.2
    if ! have cargo-deny; then
        cargo_deny=$top/target/tools/bin/cargo-deny
        [ -x "$cargo_deny" ] || step "building cargo-deny" "a minute or two, once" \
            cargo install --quiet --locked --debug --version $version --root "$top/target/tools" --target-dir "$top/target/tools/build" cargo-deny
        rm -rf "$top/target/tools/build"
    fi
    # Not the advisories: their list is on a server that a build machine may not reach (see deny.toml).
    "$cargo_deny" --all-features check --hide-inclusion-graph licenses bans sources
}

file_sizes() {
    sources '*.rs' '*.c' '*.h' '*.sh' | xargs wc -l | awk '$1 > 600 && $2 != "total" { print $2 ": " $1 " lines, more than 600"; bad = 1 } END { exit bad }'
}

# `unsafe` lives in ngx/ and engines/; elsewhere only as an attribute of a symbol nginx looks for. Tests may call libc.
unsafe_places() {
    ! sources '*.rs' | grep -vE '^(ngx|engines|t)/' | xargs grep -nE '\bunsafe\b' | grep -vE ':[0-9]+:\s*//|(forbid|deny)\(unsafe_code\)|unsafe\(no_mangle\)'
}

# Each room is defined by what it must not know.
rooms() {
    local rc=0
    ! sources 'engines/*.rs' | xargs grep -nwiE 'ngx|nginx' | grep -vE ':[0-9]+:\s*//' || rc=1
    ! sources 'ngx/*.rs' | xargs grep -nwE 'wasmtime|wasmi|wasmer|engines' | grep -vE ':[0-9]+:\s*//' || rc=1
    ! sources 'src/proxy_wasm/*.rs' 'src/proxy_wasm.rs' 'src/wasi.rs' 'src/wasi/*.rs' | xargs grep -nE '\bngx::|\b(wasmtime|wasmi|wasmer)::' | grep -vE ':[0-9]+:\s*//' || rc=1
    return $rc
}

# A test that does something else on one engine says so by `otherwise` (host.rs), so that `make compare` shows it.
engines_in_tests() {
    ! sources 'engines/tests/suite/*.rs' | grep -v /host.rs | xargs grep -nE 'E::NAME|NAME [=!]= "'
}

check "formatting" "seconds" format
check "files of at most 600 lines" "seconds" file_sizes
check "unsafe only in ngx/ and engines/" "seconds" unsafe_places
check "rooms that do not know each other" "seconds" rooms
check "tests say where engines differ" "seconds" engines_in_tests
check "engines are compiled once for all builds" "seconds" scripts/one-build.sh
check "clippy: no nginx, no engine" "a minute" clippy -p engines -p ngx_wasmx_module --no-default-features
check "clippy: no nginx, all engines" "5 min the first time" clippy -p engines -p ngx_wasmx_module --no-default-features --features wasmtime,wasmer,wasmi
check "clippy: wasmer" "a minute" clippy -p engines --no-default-features --features wasmer
check "clippy: nginx, wasmtime" "a minute" clippy --no-default-features --features nginx,wasmtime
check "clippy: nginx, wasmi" "a minute" clippy --no-default-features --features nginx,wasmi
check "clippy: nginx, all engines" "a minute" clippy -p ngx -p ngx_wasmx_module --no-default-features --features nginx,wasmtime,wasmer,wasmi
check "clippy: the tool, all engines" "a minute" clippy_tool
check "clippy: tests and bench" "seconds" clippy -p wasmx-t -p wasmx-bench
for workspace in examples/rust bench/guest; do
    check "clippy: the filters of $workspace" "seconds" clippy_guests "$workspace"
done
check "gofmt and go vet: the filters in Go" "half a minute the first time" go_filters
check "licences, bans and sources of dependencies" "seconds, 3 min the first time" deny

if [ ${#failures[@]} -gt 0 ]; then
    for failure in "${failures[@]}"; do note "FAILED: $failure"; done
    exit 1
fi
say "lint: all good"
