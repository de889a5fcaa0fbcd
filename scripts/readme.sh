#!/usr/bin/env bash
# readme.sh: do what README.md says about a first filter, word for word, in a clean folder: its files, its commands. Only the
# port is another one. Needs what `make demo` builds.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/hello/src"

# The fenced block after the line that names a file.
block() { awk -v name="\`$1\`:" '$0 == name { found = 1 } found && /^```/ { if (inside) exit; inside = 1; next } inside' "$top/README.md"; }
for file in hello/Cargo.toml hello/src/lib.rs hello/nginx.conf; do
    block "$file" >"$dir/$file"
    [ -s "$dir/$file" ] || die "README.md has no block for $file"
done
commands=$(awk '/^Build it, start nginx/ { found = 1 } found && /^```/ { if (inside) exit; inside = 1; next } inside' "$top/README.md")
[ -n "$commands" ] || die "README.md has no commands"

port=$((20000 + RANDOM % 10000))
sed -i "s/:8000/:$port/" "$dir/hello/nginx.conf"
# The commands are given from the repository; the folder is another.
commands=$(sed "s#\bhello/#$dir/hello/#g; s#\(-p\|DIR=\) \?hello\b#\1 $dir/hello#g; s#DIR= #DIR=#; s/:8000/:$port/" <<<"$commands")
cd "$top"
said=$(set -x; eval "$commands") || die "the commands fail: $said"
grep -q '^x-hello: from my filter' <<<"$said" || die "the filter did nothing: $said"
note "$(grep '^x-hello' <<<"$said")"
