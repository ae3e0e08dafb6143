#!/usr/bin/env bash
# Checks the declarations of the packed package with several versions of TypeScript: every subpath, strict, with and without
# DOM types, and with only @types/node installed. Not part of test.sh, which uses only this checkout's version. Downloads
# some 100 MB from npm and takes about three minutes. Prints a line for each version. Exit code 1: there was an error.
#
#   scripts/typescript.sh
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

scripts/setup.sh --build
npm pack --loglevel=error --ignore-scripts --pack-destination "$work" >/dev/null
printf '{"type":"module"}' >"$work/package.json"
(cd -- "$work" && npm install --loglevel=error --no-save @types/node@20 \
  ts5.7@npm:typescript@5.7 ts5.9@npm:typescript@5.9 ts6@npm:typescript@6 ts7@npm:typescript@7)
mkdir "$work/node_modules/keyprov"
tar -xzf "$work"/keyprov-*.tgz --strip-components=1 -C "$work/node_modules/keyprov"
node --input-type=module -e "
  import { readFileSync } from 'node:fs';
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const paths = Object.keys(exports).filter((path) => path !== './package.json');
  const lines = paths.map((path, i) => \`export * as subpath\${i} from 'keyprov\${path.slice(1)}';\`);
  if (lines.length < 15) throw new Error('there are more subpaths');
  console.log(lines.join('\n'));" >"$work/consumer.ts"

cd "$work"
failed=0
for version in 5.7 5.9 6 7; do
  tsc=(node "node_modules/ts$version/bin/tsc" --noEmit --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess
    --skipLibCheck false --target es2022 --types node)
  name=$("${tsc[@]}" --version)
  # Makes sure that the check can fail.
  printf "import { openTpm } from 'keyprov/tpm';\nopenTpm(1);\n" >wrong.ts
  if "${tsc[@]}" --lib es2022 --module nodenext wrong.ts >/dev/null; then
    printf '%s: an error was not found\n' "$name"
    exit 1
  fi
  errors=0
  for module in 'nodenext nodenext' 'esnext bundler'; do
    for lib in es2022 es2023,esnext.disposable es2023,dom; do
      read -r kind resolution <<<"$module"
      "${tsc[@]}" --lib "$lib" --module "$kind" --moduleResolution "$resolution" consumer.ts || errors=$((errors + 1))
    done
  done
  printf '%s: %d of 6 settings have errors\n' "$name" "$errors"
  failed=$((failed + errors))
done
((failed == 0))
