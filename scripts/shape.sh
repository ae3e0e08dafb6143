#!/usr/bin/env bash
# Packs the package as npm would publish it, and checks the tarball with publint and "are the types wrong".
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

node scripts/build.mjs
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
npm pack --loglevel=error --ignore-scripts --cache "$folder/cache" --pack-destination "$folder"
tarball=$(echo "$folder"/*.tgz)
node_modules/.bin/publint run "$tarball" --strict
node_modules/.bin/attw "$tarball" --profile esm-only
