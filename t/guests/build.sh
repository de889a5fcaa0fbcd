#!/usr/bin/env bash
# Builds the Rust filters of the tests into target/guests/*.wasm. Returns at once when nothing changed; several at the
# same time wait for one another. Exit code 3: there is no toolchain for wasm32-wasip1, and what to do about it is said.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${CARGO_TARGET_DIR:-$top/target}/guests
mkdir -p "$out"

exec 9>"$out/.lock"
flock 9

stamp=$out/.built
if [ -f "$stamp" ] && [ -z "$(find "$here" -newer "$stamp" -type f \( -name '*.rs' -o -name 'Cargo.*' -o -name build.sh \) -print -quit)" ]; then
    missing=0
    while read -r name; do [ -f "$out/$name" ] || missing=1; done <"$stamp"
    [ $missing = 1 ] || exit 0
fi

touch "$out/.began"
"$top/scripts/build-guests.sh" "$here" "$out" 9>&-
(cd "$here" && sed -n 's/^name = "\(.*\)"$/\1.wasm/p' */Cargo.toml suite/rust/Cargo.toml) >"$stamp.new"
# What changed while this was building is newer than the stamp.
touch -r "$out/.began" "$stamp.new"
mv "$stamp.new" "$stamp"
rm -f "$out/.began"
