#!/usr/bin/env bash
# Runs the verifier for browsers and edge runtimes in Chromium, Deno, Bun and workerd (the runtime of Cloudflare Workers), and
# compares every result with Node's, byte for byte. Installs Chromium from Debian if it is missing, the others from npm. Not
# part of test.sh: it downloads some 300 MB the first time, and takes about two minutes. Prints the number of calls and the
# time for each runtime. Exit code 1: a result differs.
#
#   scripts/browser.sh
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/platform.sh
. scripts/platform.sh

need chromium:chromium
scripts/setup.sh --build
say 'downloading deno, bun and workerd'
echo '{}' >"$work/package.json"
(cd -- "$work" && npm install --loglevel=error --no-save deno@2 bun@1 workerd@1)

bin=$work/node_modules/.bin
chromium --version
for name in deno bun workerd; do printf '%s %s\n' "$name" "$("$bin/$name" --version | head -n 1)"; done
KEYPROV_WEB_RUNTIMES="chromium=$(command -v chromium) deno=$bin/deno bun=$bin/bun workerd=$bin/workerd" \
  npm run --silent test -- --project package test/package/web.test.ts
