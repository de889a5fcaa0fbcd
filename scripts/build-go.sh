#!/usr/bin/env bash
# build-go.sh DIR OUT: build the Go filters of the module DIR, each in a folder of its own, and put them into OUT as
# FOLDER.wasm. Go 1.24 or later: the first that makes the libraries that filters are. Exit code 3: it is not there.
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
    note "SKIPPED: the Go filters of $dir: $1"
    exit 3
}

# Only what is installed: no other toolchain is fetched, nor a workspace above taken.
export GOTOOLCHAIN=local GOWORK=off GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0

have go || missing "no go: 1.24 or later is needed"
version=$(go env GOVERSION)
[ "$(printf '%s\n' go1.24 "$version" | sort -V | head -n 1)" = go1.24 ] || missing "$version is too old: 1.24 or later is needed"
rm -f "$out/.missing"

cd "$dir"
for main in */main.go; do
    folder=${main%/main.go}
    # Without symbols and the paths of this machine: the same bytes everywhere. Go's own cache knows what changed.
    go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-s -w' -o "$out/${folder//-/_}.wasm" "./$folder"
done
