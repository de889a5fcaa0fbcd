# Sourced by the scripts of this folder: where the tree is, and how progress is told.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What is done and how long it is expected to take, before it starts.
say() { printf '\033[1m==>\033[0m %s\n' "$*" | plain >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Drops colour when nobody looks.
plain() {
    if [ -t 2 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi
}

# step WHAT EXPECTED COMMAND...: says it, runs it, says how long it took. Fails as the command fails.
step() {
    local what=$1 expected=$2 began=$SECONDS rc=0
    shift 2
    say "$what ($expected)"
    "$@" || rc=$?
    if [ $rc -eq 0 ]; then
        note "$what: $((SECONDS - began)) s"
    else
        note "$what: FAILED with $rc after $((SECONDS - began)) s"
    fi
    return $rc
}
