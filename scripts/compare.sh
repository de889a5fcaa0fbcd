#!/usr/bin/env bash
# compare.sh: try and measure every engine, and write what came out to docs/engines.md, with pictures.
#
#   KEEP="bench sizes"            the parts whose last results are taken instead of new ones, or `all`. The parts:
#                                   suite        the conformance suite of engines/
#                                   transcripts  what every host function answers in every callback, in nginx
#                                   bench        throughput, start-up, memory: `make bench`, the longest part
#                                   once         compile times and time limits
#                                   seam         what crossing into a guest costs
#                                   sizes        the module with one engine alone, from packages, which are built if they are
#                                                not there
#   ENGINES=wasmtime,wasmer,wasmi the engines that are compared
#   ROUNDS, SECONDS_EACH, CONNECTIONS   as for `make bench`
#
# What was seen lies in target/compare. It fails when engines behave differently and bench/compare/known.txt does not say why.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

export ENGINES=${ENGINES:-wasmtime,wasmer,wasmi}
parts=(suite transcripts bench once seam sizes)
out=$top/target/compare
mkdir -p "$out"
for part in ${KEEP:-}; do
    [[ " all ${parts[*]} " == *" $part "* ]] || die "KEEP=$part: there are ${parts[*]}, and all"
done
kept() { [[ " ${KEEP:-} " == *" all "* || " ${KEEP:-} " == *" $1 "* ]]; }

# What test.sh has compiled.
host=(-p engines -p ngx_wasmx_module --no-default-features --features "$ENGINES")

# Tests that fail are part of the report; what the runner said stays in the folder. Two threads at least: a single one would
# not bear the names of tests.
suite() {
    cargo test --release --no-fail-fast "${host[@]}" --test suite -- --test-threads=2 >"$out/suite.out" 2>"$out/suite.err" ||
        note "not all passed: $out/suite.out"
}

transcripts() {
    local engine
    rm -rf "$out/transcripts"
    for engine in ${ENGINES//,/ }; do mkdir -p "$out/transcripts/$engine"; done
    WASMX_FLAVOUR=release WASMX_ENGINES=$ENGINES WASMX_TRANSCRIPTS=$out/transcripts \
        cargo test --release --no-fail-fast -p wasmx-t --test transcript >"$out/transcripts.out" 2>"$out/transcripts.err" ||
        note "not all passed: $out/transcripts.out"
}

# Parts are called by `step`, where a command that fails does not end the part by itself.
bench() { scripts/bench.sh && machine >"$out/machine"; }

once() { make --no-print-directory examples && cargo run --quiet --release -p wasmx-bench once; }

seam() { cargo bench --quiet "${host[@]}" --bench seam >"$out/seam.out"; }

# What the numbers are of.
machine() {
    echo "date: $(date -u +%F)"
    echo "processor: $(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores"
    echo "memory: $(awk '/^MemTotal/ { printf "%.0f", $2 / 1e6 }' /proc/meminfo) GB"
    # shellcheck disable=SC1091
    echo "system: $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r)"
    echo "nginx: $(target/nginx/release/nginx -v 2>&1 | sed 's/.*nginx\///')"
    echo "compiler: $(rustc --version)"
    echo "WasmX: $(git describe --always --dirty 2>/dev/null || echo unknown)"
}

sizes() {
    local engine package
    have dpkg-deb || { note "SKIPPED: no dpkg-deb"; return 0; }
    : >"$out/.sizes"
    for engine in ${ENGINES//,/ }; do
        package=$(package_of "$engine")
        if [ -z "$package" ]; then
            ENGINE=$engine FORMATS=deb scripts/package.sh || return
            package=$(package_of "$engine")
        fi
        echo "$engine: $(dpkg-deb --fsys-tarfile "$package" | tar -tv | awk '/ngx_wasmx_module\.so$/ { print $3 }')" >>"$out/.sizes"
    done
    strip --strip-unneeded --remove-section=.comment -o "$out/.so" target/modules/release/ngx_wasmx_module.so || return
    echo "all of them: $(stat -c %s "$out/.so")" >>"$out/.sizes"
    rm "$out/.so"
    mv "$out/.sizes" "$out/sizes"
}
package_of() { find target/packages -maxdepth 1 -name "nginx-module-wasm-$1_*.deb" 2>/dev/null | sort | tail -n 1; }

kept suite || step "the conformance suite, on $ENGINES" "10 min the first time: the engines are big" suite
# All other parts are of this module.
kept all || scripts/build-module.sh release
kept transcripts || step "the transcripts, in nginx" "1 to 3 min" transcripts
kept bench || step "the bench" "6 to 8 min" bench
kept once || step "compile times and time limits" "3 min" once
kept seam || step "the seam" "2 to 4 min" seam
kept sizes || step "the sizes" "seconds, or 10 min for each package that is not there" sizes
step "the report" "seconds" cargo run --quiet --release -p wasmx-bench compare
