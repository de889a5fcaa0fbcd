#!/usr/bin/env bash
# notices.sh FEATURES: the licences of all crates in the module, for a package: which crates, and each text once.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

features=(--offline --locked --no-default-features --features "$1")
crates=$(cargo tree "${features[@]}" -e normal,no-proc-macro --prefix none -f '{p}|{l}' | grep -v ' (' | sort -u)
# Of this platform alone: the crates of others may never have been downloaded.
platform=$(rustc -vV | sed -n "s/^host: //p")
manifests=$(cargo metadata "${features[@]}" --filter-platform "$platform" --format-version 1 | grep -o '"manifest_path":"[^"]*"' | cut -d'"' -f4)
[ -n "$crates" ] || die "cargo names no crates"

printf 'ngx_wasmx_module.so contains these crates, in the versions and under the licences given:\n\n'
declare -A users text
order=()
while IFS='|' read -r crate licence; do
    read -r name version <<<"$crate"
    printf '  %s %s: %s\n' "$name" "${version#v}" "$licence"
    dir=$(grep -F "/$name-${version#v}/Cargo.toml" <<<"$manifests") || die "where is $crate?"
    while read -r file; do
        digest=$(sha256sum <"$file")
        [ -n "${users[$digest]:-}" ] || order+=("$digest")
        users[$digest]+="${users[$digest]:+, }$name"
        text[$digest]=$file
    done < <(find "$(dirname "$dir")" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' \) | sort)
done <<<"$crates"
for digest in "${order[@]}"; do
    printf '\n---- %s\n\n' "${users[$digest]}"
    cat "${text[$digest]}"
done
