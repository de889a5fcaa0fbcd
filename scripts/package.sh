#!/usr/bin/env bash
# package.sh: build the module with one engine and pack it, stripped, into target/packages/.
#
#   ENGINE=wasmtime       the engine: wasmtime, wasmer or wasmi
#   FORMATS="deb rpm"     what to make
#
# The .deb is for the nginx of the package nginx-dev (Debian, Ubuntu), and depends on its ABI. The .rpm is for the nginx of
# NGINX_SOURCE_DIR and NGINX_BUILD_DIR, or else for the private one of the tests, and requires that version of nginx.
#
# debhelper makes the .deb, since dh_nginx, which comes with nginx-dev, knows the ABI's name and how modules are enabled;
# rpmbuild the .rpm, since it finds out which glibc the module needs. Neither is Debian's or Fedora's source package.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$top"

engines=(wasmtime wasmer wasmi)
engine=${ENGINE:-wasmtime}
formats=${FORMATS:-deb rpm}
name=nginx-module-wasm-$engine
out=$top/target/packages
work=$out/.work/$engine
log=$top/target/logs/package.log

case $engine in
wasmtime) says="wasmtime compiles filters to machine code when nginx reads its configuration." ;;
wasmer) says="wasmer compiles filters to machine code when nginx reads its configuration." ;;
wasmi) says="wasmi interprets filters: slower, but small, and without code made at run time." ;;
*) die "unknown engine: $engine (${engines[*]})" ;;
esac
module_version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
# The date in packages: given to those who pack alone, since cargo would build the C of all crates anew for another one.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
mkdir -p "$out" "$(dirname "$log")"
: >"$log"

# debhelper without dpkg-buildpackage must be told that the files need not be of root: the archive says so.
logged() { SOURCE_DATE_EPOCH=$epoch DEB_RULES_REQUIRES_ROOT=no "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; die "$1 failed; all that was said is in $log"; }; }
# nginx_version SOURCES: such as 1.28.0.
nginx_version() { sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$1/src/core/nginx.h"; }
human() { numfmt --to=iec --format=%.1f "$(stat -c %s "$1")"; }

build() { cargo build --release --locked --no-default-features --features "nginx,$engine"; }
# staged FORMAT: the files that every package has, in $work/FORMAT. Reads nginx_version.
staged() {
    local dir=$work/$1 built=target/release/libngx_wasmx_module.so
    rm -rf "$dir"
    mkdir -p "$dir"
    cp README.md features.md LICENSE "$dir"
    sed "s/@ENGINE@/$engine/g; s/@NGINX@/$nginx/g" packaging/USAGE.md >"$dir/USAGE.md"
    scripts/notices.sh "nginx,$engine" >"$dir/NOTICES"
    strip --strip-unneeded --remove-section=.comment -o "$dir/ngx_wasmx_module.so" "$built"
    chmod 0644 "$dir/ngx_wasmx_module.so"
    note "ngx_wasmx_module.so: $(human "$built") with debug information, $(human "$dir/ngx_wasmx_module.so") without"
}

pack_deb() {
    local dir=$work/deb helper file
    mkdir "$dir/debian"
    for file in control nginx copyright; do
        sed "s/@ENGINE@/$engine/g; s/@ENGINE_SAYS@/$says/; s/@MAINTAINER@/$maintainer/" "packaging/debian/$file" >"$dir/debian/$file"
    done
    printf 'README.md\nfeatures.md\nUSAGE.md\nNOTICES\n' >"$dir/debian/docs"
    printf 'load_module modules/ngx_wasmx_module.so;\n' >"$dir/mod-wasm-$engine.conf"
    printf 'nginx-module-wasm (%s) unstable; urgency=medium\n\n  * WasmX %s, for nginx %s.\n\n -- %s  %s\n' "$nginx+$module_version-1" \
        "$module_version" "$nginx" "$maintainer" "$(date -Ru -d "@$epoch")" >"$dir/debian/changelog"
    cd "$dir"
    for helper in dh_prep dh_nginx dh_installdocs dh_installchangelogs dh_compress dh_fixperms dh_shlibdeps dh_installdeb \
        dh_gencontrol dh_md5sums; do
        logged "$helper"
    done
    rm -f "$out/${name}_"*.deb
    logged dh_builddeb --destdir="$out"
    cd "$top"
}

pack_rpm() {
    local dir=$work/rpm other others=
    for other in "${engines[@]}"; do
        [ "$other" = "$engine" ] || others+=" nginx-module-wasm-$other"
    done
    printf 'load_module "/usr/lib64/nginx/modules/ngx_wasmx_module.so";\n' >"$dir/mod.conf"
    rm -f "$out/$name"-*.rpm
    logged rpmbuild -bb --quiet \
        --define "_topdir $dir/build" --define "_dbpath $dir/db" --define "_rpmdir $out" \
        --define '_build_name_fmt %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' --define '_binary_payload w6.xzdio' \
        --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' --define '_buildhost localhost' \
        --define "engine $engine" --define "engine_says $says" --define "others$others" --define "staged $dir" \
        --define "module_version $module_version" --define "nginx_version $nginx" packaging/rpm/nginx-module-wasm.spec
}

maintainer="${DEBFULLNAME:-WasmX} <${DEBEMAIL:-packages@wasmx.invalid}>"
for format in $formats; do
    case $format in
    deb)
        have dh_nginx || die "no dh_nginx here: install nginx-dev (1.22 or later), or say FORMATS=rpm"
        export WASMX_NGINX=debian
        sources=/usr/share/nginx/src
        ;;
    rpm)
        have rpmbuild || die "no rpmbuild here: install rpm (Debian) or rpm-build (Fedora), or say FORMATS=deb"
        if [ -n "${NGINX_SOURCE_DIR:-}" ]; then
            unset WASMX_NGINX
            sources=$NGINX_SOURCE_DIR
        else
            export WASMX_NGINX=release
            sources=$top/target/nginx/release
        fi
        ;;
    *) die "unknown format: $format (deb, rpm)" ;;
    esac
    step "building the module with $engine for the .$format" "1 to 3 min, 10 min the first time" build
    nginx=$(nginx_version "$sources")
    [ -n "$nginx" ] || die "$sources is no nginx"
    staged "$format"
    step "packing it for nginx $nginx" "half a minute" "pack_$format"
done
rm -rf "$out/.work"
for package in "$out/${name}"[_-]*; do
    note "$package: $(human "$package")"
done
