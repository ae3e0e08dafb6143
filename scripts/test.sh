#!/usr/bin/env bash
# Runs every check, cheapest first. The last line is "N passed, N failed" (and ", N skipped" if any). Tests whose simulator is
# missing are skipped; with CI=true they fail. Exit code 1: a check failed.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

passed=0 failed=0 skipped=0
report=$(mktemp)
trap 'rm -f -- "$report"' EXIT

# check NAME COMMAND...: runs one check, which passes if the command succeeds.
check() {
  printf '\n== %s\n' "$1"
  if "${@:2}"; then
    passed=$((passed + 1))
  else
    printf '== %s: FAILED\n' "$1"
    failed=$((failed + 1))
  fi
}

# Adds vitest's counts. A test file that could not be loaded and an error outside a test each count as one failure.
run_tests() {
  printf '\n== tests\n'
  local status=0 counts counted
  npm run --silent test -- --reporter=default --reporter=json --outputFile.json="$report" || status=$?
  counts=$(node scripts/count-tests.mjs "$report")
  read -r -a counted <<<"$counts"
  ((status == 0 || counted[1] > 0)) || counted[1]=1
  passed=$((passed + counted[0])) failed=$((failed + counted[1])) skipped=$((skipped + counted[2]))
}

check 'setup' scripts/setup.sh --test
check 'types' npm run --silent types
check 'lint' npm run --silent lint
run_tests
check 'unused code' npm run --silent unused
check 'build' npm run --silent build
check 'package shape' npm run --silent shape
check 'docs' npm run --silent docs
check 'reference' npm run --silent reference

result="$passed passed, $failed failed"
((skipped == 0)) || result+=", $skipped skipped"
printf '\n%s\n' "$result"
((failed == 0))
