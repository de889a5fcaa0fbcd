#!/usr/bin/env bash
# step.sh WHAT EXPECTED COMMAND...: run a command that takes a while, and say so.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
step "$@"
