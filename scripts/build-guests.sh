#!/usr/bin/env bash
# build-guests.sh DIR OUT [CRATE...]: build the Rust filters of the workspace DIR for wasm32-wasip1 and put the .wasm
# files into OUT. One target folder for all workspaces (target/wasm), so that the standard library is built once.
#
# Two ways, whichever is there: the rustup target; or Debian's rustc-web with its sources of the standard library, which
# needs no network but crates.io (scripts/deps.sh guests installs it). Exit code 3: neither is there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || die "usage: $0 DIR OUT [CRATE...]"
dir=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
crates=()
for crate in "$@"; do crates+=(-p "$crate"); done

export CARGO_TARGET_DIR=${WASMX_GUEST_TARGET_DIR:-$top/target/wasm}
target=wasm32-wasip1
args=(build --release --target "$target" --manifest-path "$dir/Cargo.toml")
[ ! -f "$dir/Cargo.lock" ] || args+=(--locked)

# Flags meant for the host must not reach the guests.
unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

linker() {
    local lld
    lld=$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin/rust-lld
    if [ -x "$lld" ]; then
        echo "$lld"
    else
        command -v wasm-ld || command -v rust-lld
    fi
}

if [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
    cargo "${args[@]}" "${crates[@]}"
elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -f "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ] &&
    [ -f /usr/lib/wasm32-wasi/libc.a ] && lld=$(linker); then
    # Absolute paths and no toolchain override: the cargo of rustup must not get into this build.
    env -u RUSTUP_TOOLCHAIN -u RUSTC_WRAPPER \
        PATH="/usr/bin:$PATH" \
        RUSTC=/usr/bin/rustc \
        RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_WASIP1_LINKER="$lld" \
        CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-C link-self-contained=no -L native=/usr/lib/wasm32-wasi -C target-feature=-crt-static" \
        /usr/bin/cargo "${args[@]}" "${crates[@]}" -Z build-std=std,panic_abort
else
    note "SKIPPED: the Rust filters of $dir: no wasm32-wasip1 toolchain (rustup target add $target, or scripts/deps.sh guests)"
    exit 3
fi

# The artefacts of this workspace only: the target folder is shared.
built() {
    cargo metadata --format-version 1 --no-deps --offline --manifest-path "$dir/Cargo.toml" |
        grep -o '"kind":\["cdylib"\][^}]*"name":"[^"]*"' | sed 's/.*"name":"//; s/"$//'
}
for name in $(built); do
    wasm=$CARGO_TARGET_DIR/$target/release/${name//-/_}.wasm
    [ -f "$wasm" ] || continue
    # Only what changed is written: a test or a running nginx may look at it.
    cmp -s "$wasm" "$out/${name//-/_}.wasm" || cp "$wasm" "$out/${name//-/_}.wasm"
done
