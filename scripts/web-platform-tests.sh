#!/usr/bin/env bash
# Runs the WebCryptoAPI Web Platform Tests, which are in the source package of Debian's nodejs, against keyprov/webcrypto
# without a provider. Slow, and not part of test.sh. Downloads 30 MB with apt-get and installs nothing. The last line is
# "N passed, N failed, N that do not count". Exit code 1: a test failed.
#
#   scripts/web-platform-tests.sh              downloads the tests first
#   scripts/web-platform-tests.sh DIRECTORY    uses the tests in DIRECTORY: Node.js' test/fixtures/wpt
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# Fetches the source package with separate package lists, so that the machine's lists do not change.
download() {
  local release site
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  # The package source of this machine.
  # shellcheck disable=SC2016 # apt-get expands it
  site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
  mkdir -p "$work/sources" "$work/lists/partial" "$work/package"
  cat >"$work/sources/debian.sources" <<SOURCES
Types: deb-src
URIs: $site
Suites: $release
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  local options=(-qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/sources" -o "Dir::State::lists=$work/lists")
  apt-get "${options[@]}" update
  (cd "$work/package" && apt-get "${options[@]}" source --download-only nodejs)
  tar -xf "$work"/package/nodejs_*.orig.tar.xz -C "$work" --strip-components=1 --wildcards '*/test/fixtures/wpt/WebCryptoAPI' '*/test/fixtures/wpt/common' '*/test/fixtures/wpt/resources'
}

tests=${1:-}
if [[ -z $tests ]]; then
  printf 'web-platform-tests: downloading the source of nodejs\n'
  download
  tests=$work/test/fixtures/wpt
fi
scripts/setup.sh --build
node scripts/web-platform-tests.mjs "$tests"
