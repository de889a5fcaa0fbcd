#!/usr/bin/env bash
# deps.sh PURPOSE...: install by apt what is missing for build, package, guests, demo, test and bench. Asks nothing,
# installs only what is missing, and starts no service. As another user than root it goes through sudo.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

target=wasm32-wasip1
log=$top/target/logs/apt.log

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
# Not piped into `grep -q`: that leaves early, and apt-cache, told so by SIGPIPE, would fail the pipe.
known() { [[ $(apt-cache policy "$1" 2>/dev/null) == *"Candidate: "[!\(]* ]]; }
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "not root and no sudo: install these yourself: ${missing[*]}"
    fi
}
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@" >>"$log" 2>&1; }

guests_built_by_rustup() { [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; }

packages() {
    case $1 in
    build) echo gcc libc6-dev make pkg-config libclang-dev libpcre2-dev libssl-dev zlib1g-dev ;;
    package) echo nginx nginx-dev debhelper rpm cpio ;;
    guests)
        guests_built_by_rustup || {
            echo rustc-web cargo-web rust-web-src wasi-libc
            [ -x "$(rustc --print sysroot)/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin/rust-lld" ] || echo lld
        }
        ;;
    demo) echo curl ;;
    test)
        echo nginx nginx-dev curl nghttp2-client valgrind python3-venv
        # Looks at the status page. Elsewhere the package is none that apt alone could install.
        if grep -qs '^ID=debian' /etc/os-release; then echo chromium; fi
        ;;
    bench) echo wrk ;;
    *) die "unknown purpose: $1 (build, package, guests, demo, test, bench)" ;;
    esac
}

have cargo || die "no cargo: install Rust first (https://rustup.rs)"

wanted=() missing=()
for purpose; do
    # shellcheck disable=SC2207
    wanted+=($(packages "$purpose"))
done
if ! have apt-get; then
    note "no apt-get here: see to it that there is what Debian calls: ${wanted[*]}"
    exit 0
fi
for package in "${wanted[@]}"; do
    installed "$package" || [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

mkdir -p "$(dirname "$log")"
: >"$log"

# A distribution without the compiler for guests. The user's own toolchain is not ours to change: say what to do.
if [[ " ${missing[*]} " == *" rustc-web "* ]] && ! known rustc-web; then
    apt update || true
    known rustc-web || die "no rustc-web package here, which builds Rust filters: run \`rustup target add $target\` first"
fi

# Packages that bring a service must not start it, now or at the next boot: the tests run nginx by themselves.
policy=/usr/sbin/policy-rc.d
brings_nginx=false
if [[ " ${missing[*]} " == *" nginx "* || " ${missing[*]} " == *" nginx-dev "* ]] && ! installed nginx; then
    brings_nginx=true
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod +x $policy
        trap 'as_root rm -f $policy' EXIT
    fi
fi

install() { apt install -y --no-install-recommends "${missing[@]}"; }
# Old package lists name versions that are gone: fetch new ones and try again.
install_or_update() {
    local package
    for package in "${missing[@]}"; do
        known "$package" || { apt update || true; break; }
    done
    install || { apt update || true; install; } || {
        tail -n 20 "$log" >&2
        die "apt-get failed; all it said is in $log"
    }
}
step "installing ${missing[*]}" "up to 2 min" install_or_update

if $brings_nginx && [ -d /run/systemd/system ]; then
    as_root systemctl disable --now nginx >>"$log" 2>&1 || true
fi
