#!/usr/bin/env bash
# Has esbuild, rollup, webpack and vite make a program for Node that opens a TPM inside the process and makes a key:
# with koffi beside it the program works, with koffi in it it says what to do. Not part of test.sh, which does so with
# esbuild; it downloads some 50 MB of npm packages, and takes about a minute. Exit code 1: a program does something else.
#
#   scripts/bundlers.sh
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

scripts/setup.sh --build
npm install --silent --no-save --prefix "$work" rollup@4 @rollup/plugin-node-resolve@16 @rollup/plugin-commonjs@29 \
  @rollup/plugin-json@6 webpack@5 webpack-cli@6 vite@7
for name in rollup webpack vite; do
  printf '%s %s\n' "$name" "$(node -p "require('$work/node_modules/$name/package.json').version")"
done
KEYPROV_BUNDLERS=$work npm run --silent test -- --project package test/package/bundlers.test.ts
