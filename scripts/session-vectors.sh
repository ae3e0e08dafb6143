#!/usr/bin/env bash
# Records test/vectors/sessions.json again: the commands that tpm2-tss sends in its sessions, and a swtpm's answers.
# Needs swtpm and python3-tpm2-pytss (scripts/setup.sh).
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

directory=$(mktemp -d "${TMPDIR:-/tmp}/keyprov-vectors.XXXXXX")
swtpm socket --tpm2 --tpmstate "dir=$directory" --flags not-need-init,startup-clear \
  --server "type=unixio,path=$directory/tpm" --ctrl "type=unixio,path=$directory/tpm.ctrl" 2>"$directory/log" &
swtpm=$!
trap 'kill "$swtpm" || true; rm -rf -- "$directory"' EXIT
until [[ -S $directory/tpm.ctrl ]]; do
  kill -0 "$swtpm" || { cat -- "$directory/log" >&2; exit 1; }
  sleep 0.05
done
/usr/bin/python3 test/integration/children/tss_sessions.py "$directory/tpm" few >"$directory/vectors"
cp -- "$directory/vectors" test/vectors/sessions.json
