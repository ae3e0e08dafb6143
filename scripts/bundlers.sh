#!/usr/bin/env bash
# Bundles a program with esbuild, rollup, webpack and vite. The program opens a TPM in process and makes a key. With koffi next
# to the bundle it must work; with koffi inside the bundle it must say what to do. Not part of test.sh, which tests esbuild
# only. Downloads some 50 MB from npm and takes about a minute. Exit code 1: a program does something else.
#
#   scripts/bundlers.sh
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

scripts/setup.sh --build
echo '{}' >"$work/package.json"
(cd -- "$work" && npm install --loglevel=error --no-save rollup@4 @rollup/plugin-node-resolve@16 \
  @rollup/plugin-commonjs@29 @rollup/plugin-json@6 webpack@5 webpack-cli@6 vite@7)
for name in rollup webpack vite; do
  printf '%s %s\n' "$name" "$(node -p "require('$work/node_modules/$name/package.json').version")"
done
KEYPROV_BUNDLERS=$work npm run --silent test -- --project package test/package/bundlers.test.ts
