#!/usr/bin/env bash
# one-build.sh: whether each engine is the same crate, and made from the same, in every build that is made here: the module with
# all engines and with one, the tool, the tests without nginx. If not, the engine would be compiled once more for one of them.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

# tree ARGUMENTS...: every package that is built, with its features.
tree() { cargo tree --locked --no-default-features --no-dedupe --format ' {p} {f}' "$@"; }
# below ENGINE: the names and versions of the packages that it is made from, and its own.
below() {
    tree --prefix depth -e normal,build -p engines --features "$1" |
        awk -v engine="$1" '$1 == 1 { inside = ($2 == engine) } inside { print " " $2 " " $3 " " }' | sort -u
}

rc=0
for engine in wasmtime wasmer; do
    made_from=$(below $engine)
    all=$(tree --prefix none -e normal,build -p ngx_wasmx_module --features nginx,wasmtime,wasmer,wasmi | sort -u)
    # same WHERE ARGUMENTS...: says what is built with other features there.
    same() {
        local others
        others=$(tree --prefix none "${@:2}" | sort -u | comm -23 - <(echo "$all") | grep -F "$made_from" | cut -d' ' -f2-) || return 0
        note "$engine would be compiled once more for $1. engines/one-build must name the features that differ in:"
        note "$others"
        rc=1
    }
    same "the module with it alone" -e normal,build -p ngx_wasmx_module --features "nginx,$engine"
    same "the tool" -e normal,build -p wasmx-tool --features $engine
    same "the tests without nginx" -e normal,build,dev -p engines -p ngx_wasmx_module --features $engine
done
exit $rc
