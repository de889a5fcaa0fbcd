#!/usr/bin/env bash
# test-packages.sh ENGINE...: make the packages of these engines and see what becomes of them. The .deb is installed into this
# system by apt, serves a request with Debian's nginx, and is purged again; the .rpm is read by rpm's tools, and its module
# loaded by the nginx that it names. No service is started. As another user than root it goes through sudo.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/serve.sh
. "$(dirname "$0")/serve.sh"
cd "$top"

[ $# -ge 1 ] || die "usage: $0 ENGINE..."
work=$top/target/packages/test
log=$top/target/logs/test-packages.log
policy=/usr/sbin/policy-rc.d
rm -rf "$work"
mkdir -p "$work" "$(dirname "$log")"
: >"$log"

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=600 --no-install-recommends "$@" >>"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; die "apt-get $* failed"; }
}
state() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true; }
package_of() { echo "nginx-module-wasm-$1"; }
deb_of() { echo "$top/target/packages/$(package_of "$1")"_*.deb; }
rpm_of() { echo "$top/target/packages/$(package_of "$1")"-*.rpm; }
# It keeps a database of what is installed, also where nothing is: in a folder of the test.
rpm() { command rpm --dbpath "$work/rpmdb" "$@"; }

# Every file and folder of the system that a package may bring or change, and every package.
snapshot() {
    dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Status}\n'
    { as_root find /etc /usr /var/lib/nginx /var/log/nginx /run/nginx.pid \( -name __pycache__ -o -path /usr/local \) -prune \
        -o -type d -printf '%p/ %m %u\n' -o -printf '%p %m %u %s %l\n' 2>/dev/null || true; } | sort
}

left_behind() {
    snapshot >"$work/after"
    diff "$work/before" "$work/after" >&2 || die "the system is not what it was before the package"
}

end() {
    local engine
    stop "$work/serve"
    for engine in "${engines[@]}"; do
        [ -z "$(state "$(package_of "$engine")")" ] || apt purge "$(package_of "$engine")"
    done
    [ ! -e "$work/policy" ] || as_root rm -f $policy
}

# The stock nginx.conf, which loads what is enabled; only the servers, the logs and the place of the pid are of the test.
debian_conf() {
    http_part "$1" "$2" >"$1/http.conf"
    sed -e '/^pid /d; /^error_log /d; /^worker_processes /d; /^[[:space:]]*access_log /d' -e '/include .*conf\.d/d' \
        -e "s#include /etc/nginx/sites-enabled/.*#include $1/http.conf;#" /etc/nginx/nginx.conf
    main_part "$1"
}
debian_serves() { serves "$work/serve" debian_conf /usr/sbin/nginx; }

link=/etc/nginx/modules-enabled/50-mod-wasm
# A .deb of a later version, with the same files.
later() {
    local tree=$work/later
    rm -rf "$tree"
    dpkg-deb -R "$1" "$tree"
    sed -i 's/^Version: .*/&+later/' "$tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Zgzip -z1 -b "$tree" "$work/later.deb" >>"$log"
}

test_deb() {
    local engine=$1 package deb
    package=$(package_of "$engine")
    deb=$(deb_of "$engine")
    dpkg-deb -f "$deb" Depends | grep -qF "$(dpkg-query -W -f '${Provides}' nginx | grep -o 'nginx-abi-[^ ,]*')" ||
        die "$deb does not depend on the ABI of this nginx"
    snapshot >"$work/before"
    apt install "$deb"
    [ -z "$(dpkg -V "$package")" ] || die "$package: its files are not what it says"
    [ "$(stat -c '%U %a' /usr/lib/nginx/modules/ngx_wasmx_module.so)" = "root 644" ] || die "the module is not root's alone"
    debian_serves || die "Debian's nginx does not serve with $package"
    apt install --reinstall "$deb"
    [ -L "$link-$engine.conf" ] || die "$package is not enabled any more when it was installed over itself"
    # What the administrator took away stays away in an upgrade; what a removal took away comes back.
    later "$deb"
    as_root rm "$link-$engine.conf"
    apt install "$work/later.deb"
    [ ! -e "$link-$engine.conf" ] || die "an upgrade of $package enables it again"
    as_root ln -s "/usr/share/nginx/modules-available/mod-wasm-$engine.conf" "$link-$engine.conf"
    apt remove "$package"
    [ ! -e "$link-$engine.conf" ] || die "$package is enabled when it is removed"
    apt install "$deb"
    debian_serves || die "Debian's nginx does not serve with $package when it was removed and installed"
    apt purge "$package"
    left_behind
}

# One takes the place of another.
test_change() {
    apt install "$(deb_of "$1")"
    apt install "$(deb_of "$2")"
    [ "$(state "$(package_of "$1")")" != installed ] || die "two engines' packages are installed at once"
    debian_serves || die "Debian's nginx does not serve with $2 after $1"
    apt purge "$(package_of "$1")" "$(package_of "$2")"
    left_behind
}

test_rpm() {
    local engine=$1 package rpm expected nginx=${NGINX_BINARY:-$top/target/nginx/release/nginx} version
    package=$(package_of "$engine")
    rpm=$(rpm_of "$engine")
    version=$("$nginx" -v 2>&1 | sed 's#.*nginx/##; s/ .*//')
    command rpmkeys --dbpath "$work/rpmdb" -K --nosignature "$rpm" >>"$log" || die "$rpm is broken"
    expected="/usr/lib64/nginx/modules/ngx_wasmx_module.so
/usr/share/doc/$package
/usr/share/doc/$package/README.md
/usr/share/doc/$package/USAGE.md
/usr/share/doc/$package/features.md
/usr/share/licenses/$package
/usr/share/licenses/$package/LICENSE
/usr/share/licenses/$package/NOTICES
/usr/share/nginx/modules/mod-wasm-$engine.conf"
    diff <(echo "$expected") <(rpm -qpl "$rpm") >&2 || die "$rpm has other files than it should"
    rpm -qp --requires "$rpm" | grep -qxF "(nginx(abi) = $version or nginx-r$version)" || die "$rpm does not require its nginx"
    rpm -qp --info "$rpm" | grep -q '^License .*: Apache-2.0$' || die "$rpm does not say its licence"
    [ "$(rpm -qp --conflicts "$rpm" | wc -l)" -eq 2 ] || die "$rpm does not conflict with the other engines' packages"
    ! rpm -i --test "$rpm" 2>"$work/rpm.log" || die "$rpm would be installed without nginx"
    grep -qF "(nginx(abi) = $version or nginx-r$version) is needed by" "$work/rpm.log" || die "rpm does not miss nginx: $(cat "$work/rpm.log")"

    rm -rf "$work/root"
    mkdir "$work/root"
    rpm2cpio "$rpm" | (cd "$work/root" && cpio -idm --quiet)
    module=$work/root/usr/lib64/nginx/modules/ngx_wasmx_module.so
    grep -qxF 'load_module "/usr/lib64/nginx/modules/ngx_wasmx_module.so";' "$work/root/usr/share/nginx/modules/"*.conf || die "$rpm does not load the module"
    [ -n "$(signature "$module")" ] && [ "$(signature "$module")" = "$(signature "$nginx")" ] ||
        die "the module is of another nginx: $(signature "$module"), not $(signature "$nginx")"
    serves "$work/serve" plain_conf "$nginx" -p "$work/serve/" || die "nginx $version does not serve with the module of $rpm"
}

for command in dpkg-deb apt-get curl rpm rpm2cpio cpio; do have $command || die "no $command here: scripts/deps.sh package test"; done
for engine; do
    [ -z "$(state "$(package_of "$engine")")" ] || die "$(package_of "$engine") is known to this system: purge it first"
done
[ -f target/examples/hello_headers.wasm ] || scripts/build-guests.sh examples/rust target/examples
for engine; do ENGINE=$engine scripts/package.sh; done

engines=("$@")
trap end EXIT
# Neither apt nor the package starts or reloads a service that runs here.
if [ ! -e $policy ]; then
    : >"$work/policy"
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod +x $policy
fi
for engine; do
    step "$(package_of "$engine").deb: installed, serves, is purged" "half a minute" test_deb "$engine"
    step "$(package_of "$engine").rpm: contents, requirements, serves" "seconds" test_rpm "$engine"
done
[ $# -lt 2 ] || step "$(package_of "$2").deb instead of $(package_of "$1").deb" "seconds" test_change "$1" "$2"
