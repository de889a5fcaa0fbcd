#!/usr/bin/env bash
# build-assemblyscript.sh DIR OUT: build the AssemblyScript filters of DIR, each in a folder of its own, and put them into
# OUT as FOLDER.wasm. The compiler and the SDK are those of DIR's package-lock.json, installed under target/npm. Exit
# code 3: there is no node, or no npm.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -eq 2 ] || die "usage: $0 DIR OUT"
dir=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)

# Why a toolchain is not used stands in OUT/.missing, for the tests to tell.
missing() {
    echo "$1" >"$out/.missing"
    note "SKIPPED: the AssemblyScript filters of $dir: $1"
    exit 3
}

have node || missing "no node"
have npm || missing "no npm"
rm -f "$out/.missing"

mkdir -p "$top/target/npm"
exec 9>"$top/target/npm/.lock"
flock 9

# One folder for each set of packages, whoever asks for it.
packages=$top/target/npm/$(sha256sum <"$dir/package-lock.json" | cut -c 1-16)
if [ ! -f "$packages/.installed" ]; then
    mkdir -p "$packages"
    cp "$dir/package.json" "$dir/package-lock.json" "$packages"
    # Their scripts are not run: there are none that the compiler needs.
    npm ci --prefix "$packages" --ignore-scripts --no-audit --no-fund --silent
    touch "$packages/.installed"
fi

this=$(realpath "${BASH_SOURCE[0]}")
cd "$dir"
for index in */index.ts; do
    folder=${index%/index.ts}
    wasm=$out/${folder//-/_}.wasm
    [ ! -f "$wasm" ] || [ -n "$(find "$folder" package-lock.json "$this" -newer "$wasm" -type f -print -quit)" ] || continue
    # It warns of its own library, of nothing else: what it says is shown when it fails.
    said=$(node "$packages/node_modules/assemblyscript/bin/asc" "$index" -b "$wasm.new" --path "$packages/node_modules" \
        --use abort=abort_proc_exit -O1 2>&1) || die "$index: $said"
    mv "$wasm.new" "$wasm"
done
