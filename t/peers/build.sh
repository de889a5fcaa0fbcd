#!/usr/bin/env bash
# Makes target/peers/venv, a virtual environment of Python with what requirements.txt lists. Returns at once when it is
# there and nothing changed; several at the same time wait for one another. Needs Debian's python3-venv, and PyPI once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${CARGO_TARGET_DIR:-$here/../../target}/peers
mkdir -p "$out"

exec 9>"$out/.lock"
flock 9

cmp -s "$here/requirements.txt" "$out/.built" && exit 0
rm -rf "$out/venv" "$out/.built"
python3 -m venv "$out/venv" 9>&-
"$out/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
    -r "$here/requirements.txt" 9>&-
cp "$here/requirements.txt" "$out/.built"
