#!/usr/bin/env bash
# Checks the shell scripts: with shellcheck if it is installed, else only their syntax.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

if command -v shellcheck >/dev/null; then
  shellcheck scripts/*.sh .ci/run
else
  echo 'shellcheck is not installed, checking the syntax only'
  for script in scripts/*.sh .ci/run; do bash -n "$script"; done
fi
