#!/usr/bin/env bash
# Makes a release: the package, and next to it the list of the packages that it needs (an SBOM in CycloneDX's format). Without
# --publish it shows what npm would publish, and what is still to do.
#   scripts/release.sh [--publish] [DIRECTORY]    the files go to DIRECTORY (default: release)
set -euo pipefail
unset CDPATH
[[ ${1-} == --publish ]] && shift && publishes=yes
if (($# > 1)) || [[ ${1-} == -* ]]; then
  echo 'usage: scripts/release.sh [--publish] [DIRECTORY]' >&2
  exit 2
fi
directory=$(realpath -m -- "${1:-release}")
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

[[ -d node_modules ]] || npm ci
version=$(node -p 'require("./package.json").version')
to_do=()
git tag --points-at HEAD | grep -qxF "v$version" || to_do+=("tag this commit as v$version")
changes=$(git status --porcelain) && [[ -z $changes ]] || to_do+=('commit or remove the changes in this checkout')
grep -qE "^## \[${version//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
  to_do+=("rename CHANGELOG.md's section [Unreleased] to [$version] - $(date -u +%F)")
node -p 'require("./package.json").repository?.url' | grep -q '^git+https:' ||
  to_do+=('set repository in package.json, which npm compares with the provenance')
if ((${#to_do[@]} > 0)); then
  echo 'Before you can publish this version:'
  printf '  - %s\n' "${to_do[@]}"
  [[ -z ${publishes-} ]] || exit 1
fi

mkdir -p -- "$directory"
npm pack --loglevel=error --pack-destination "$directory"
npm sbom --omit=dev --sbom-format=cyclonedx >"$directory/keyprov-$version.cdx.json"
dry=(--dry-run)
[[ -z ${publishes-} ]] || dry=()
npm publish "$directory/keyprov-$version.tgz" --provenance --loglevel=notice "${dry[@]}"
printf '\n%s: keyprov-%s.tgz, keyprov-%s.cdx.json\n' "$directory" "$version" "$version"
