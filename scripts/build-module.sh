#!/usr/bin/env bash
# build-module.sh FLAVOUR...: build the module and put it into target/modules/FLAVOUR/ngx_wasmx_module.so.
#
#   release, debug  for the private nginx (target/nginx/FLAVOUR/nginx), which is built if it is not there
#   debian          for the nginx of Debian's package
#   own             for your nginx: NGINX_SOURCE_DIR with NGINX_BUILD_DIR, or nginx-dev, or else the private one
#
# ENGINES (default wasmtime,wasmi) names the engines in it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || die "usage: $0 release|debug|debian|own..."
engines=${ENGINES:-wasmtime,wasmi}
cd "$top"

build() {
    # One profile and one target folder for all: the engines compile once.
    cargo build --release --no-default-features --features "nginx,$engines"
}

for flavour; do
    case $flavour in
    release | debug | debian) export WASMX_NGINX=$flavour ;;
    own) unset WASMX_NGINX ;;
    *) die "unknown flavour: $flavour" ;;
    esac
    expected="1 to 2 min"
    ls target/release/deps/libwasmtime-*.rlib >/dev/null 2>&1 || expected="5 to 10 min: the engines are big, and compiled once"
    step "building the module with $engines, nginx: $flavour" "$expected" build
    # A new file, not new bytes in the old one: a running nginx may have it mapped.
    mkdir -p "target/modules/$flavour"
    cp target/release/libngx_wasmx_module.so "target/modules/$flavour/.new"
    mv "target/modules/$flavour/.new" "target/modules/$flavour/ngx_wasmx_module.so"
    note "target/modules/$flavour/ngx_wasmx_module.so"
done
