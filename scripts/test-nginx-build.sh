#!/usr/bin/env bash
# test-nginx-build.sh: nginx's own build makes the module: configure --add-dynamic-module=ngx, make modules, in a copy of
# nginx's sources. The module then serves in the private nginx, which is of the same sources and flags; it is not compiled
# again.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/serve.sh
. "$(dirname "$0")/serve.sh"
cd "$top"

private=$top/target/nginx/release
work=$top/target/nginx/own-build
[ -x "$private/nginx" ] || scripts/build-module.sh release
[ -f target/examples/hello_headers.wasm ] || scripts/build-guests.sh examples/rust target/examples
rm -rf "$work"
mkdir -p "$work"
cp -rL "$private/auto" "$private/conf" "$private/src" "$work/"
cd "$work"

# What the private nginx was configured with, as it says itself, but for where.
eval "flags=($("$private/nginx" -V 2>&1 | sed -n 's/^configure arguments: //p'))"
for i in "${!flags[@]}"; do [[ ${flags[i]} != --builddir=* ]] || unset "flags[i]"; done
configure() { sh auto/configure "${flags[@]}" --add-dynamic-module=../../../ngx >configure.log 2>&1 || { cat configure.log >&2; return 1; }; }
# refused WHY VARIABLE=VALUE...: ngx/config as configure reads it, where it must end with an error.
refused() {
    local why=$1 said
    shift
    ! said=$(env ngx_module_link=DYNAMIC HTTP=YES NGX_AUTOCONF_ERR=/dev/null ngx_addon_dir="$top/ngx" "$@" sh -c '. "$ngx_addon_dir/config"; exit 0') ||
        die "ngx/config takes $*"
    grep -q "error: ngx_wasmx_module $why" <<<"$said" || die "ngx/config does not say why not: $said"
}
# As its user calls it: nothing of ours in the environment.
by_make() {
    env -u WASMX_NGINX -u NGINX_SOURCE_DIR -u NGINX_BUILD_DIR -u MAKEFLAGS -u MAKELEVEL make "$@" >make.log 2>&1 ||
        { tail -n 30 make.log >&2; return 1; }
}

refused "is a dynamic module" ngx_module_link=ADDON
refused "needs http" HTTP=NO
refused "is written in Rust" CARGO=/no/cargo
step "nginx's configure with --add-dynamic-module" "10 s" configure
step "nginx's make modules" "1 to 3 min" by_make modules
module=$work/objs/ngx_wasmx_module.so
[ -f "$module" ] || die "make modules leaves no $module"
[ ! -f objs/nginx ] || die "make modules compiled nginx"
[ "$(signature "$module")" = "$(signature "$private/nginx")" ] || die "the module is of another nginx"
step "the module serves" "a second" serves "$work/serve" plain_conf "$private/nginx" -p "$work/serve/"
step "make install's part of it" "seconds" by_make -f objs/Makefile DESTDIR="$work/installed/" wasmx_install
cmp "$module" "$work/installed/modules/ngx_wasmx_module.so"
