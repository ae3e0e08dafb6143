#!/usr/bin/env bash
# Prepares this checkout: Node.js, system packages, npm packages, build. You can run it again; it does not touch what is
# already installed. It uses the network only through apt-get and npm.
#
#   scripts/setup.sh          everything for developing and testing keyprov (same as --test)
#   scripts/setup.sh --demo   only the packages for scripts/demo.sh
#   scripts/setup.sh --build  only npm packages and the build; needs no special rights
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

mode=${1:---test}
case $mode in
  --demo) packages=(libtpms0 slapd) ;;
  --test)
    packages=(libtpms0 swtpm swtpm-tools tpm2-tools tpm2-openssl python3-tpm2-pytss python3-fido2
      python3-cryptography-vectors
      ruby-tpm-key-attestation ruby-webauthn openssl openssh-client libtss2-tctildr0 libtss2-tcti-swtpm0
      libtss2-tcti-mssim0 libtss2-tcti-device0
      slapd samba samba-dsdb-modules samba-ad-provision
      krb5-kdc krb5-admin-server krb5-user krb5-pkinit libtpm2-pkcs11-1 libtpm2-pkcs11-tools chromium
      zsh fish man-db groff-base mandoc)
    # The tests compile a stand-in for Windows TBS.
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    ;;
  --build) packages=() ;;
  *) fail "unknown mode $mode (expected: --demo, --build or --test)" ;;
esac

check_node() {
  command -v node >/dev/null || fail 'Node.js is missing: install 20.19 or newer, from your distribution or nodejs.org'
  command -v npm >/dev/null || fail 'npm is missing: install it (apt-get install npm, or Node.js from nodejs.org)'
  local version major minor
  version=$(node --version)
  IFS=. read -r major minor _ <<<"${version#v}"
  if ((major < 20 || (major == 20 && minor < 19) || major == 21 || (major == 22 && minor < 12))); then
    fail "Node.js $version is too old: install Node.js 20.19 (or a later 20.x), or 22.12 or newer"
  fi
  say "Node.js $version"
}

# Newer distributions add t64 to the names of some libraries.
installed() {
  local name
  for name in "$1" "$1t64"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] && return 0
  done
  return 1
}

install_packages() {
  ((${#packages[@]} > 0)) || return 0
  if ! command -v dpkg-query >/dev/null; then
    say "this is not Debian; install your system's equivalents of these packages: ${packages[*]}"
    return
  fi
  local missing=() package
  for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    say "system packages are installed: ${packages[*]}"
    return
  fi

  local sudo=()
  if ((EUID != 0)); then
    if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
      lacking 'and this user may not install them' "${missing[@]}"
      return
    fi
    sudo=(sudo -n)
  fi
  say "installing with apt-get: ${missing[*]}"
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
  # Continue with an outdated package list: it may still contain the missing packages.
  "${apt[@]}" update || say 'apt-get update failed; trying with the existing package lists'
  local status=0
  hold_services
  "${apt[@]}" install --no-install-recommends -y "${missing[@]}" </dev/null || status=$?
  release_services
  disable_services
  ((status == 0)) || lacking 'and apt-get could not install them' "${missing[@]}"
}

# Some packages start a service that anyone on the network can reach. Only their programs are needed here, so no service is
# started, neither now nor when the machine boots. An existing policy of the machine is not changed.
policy=/usr/sbin/policy-rc.d
policy_text=$'#!/bin/sh\n# of keyprov/scripts/setup.sh, until apt-get has ended\nexit 101\n'

hold_services() {
  # Never overwrites a policy, even one that is created at this moment.
  # shellcheck disable=SC2016 # expanded by the inner shell
  [[ -e $policy || -L $policy ]] ||
    "${sudo[@]}" sh -c 'set -C; printf %s "$2" >"$1" && chmod 755 "$1"' sh "$policy" "$policy_text"
  trap release_services EXIT
}

# Removes our policy, including one left by a killed run.
release_services() {
  trap - EXIT
  if [[ -f $policy && $(<"$policy") == "${policy_text%$'\n'}" ]]; then "${sudo[@]}" rm -- "$policy"; fi
}

disable_services() {
  local package script
  for package in "${missing[@]}"; do
    while read -r script; do
      "${sudo[@]}" update-rc.d "${script##*/}" disable >/dev/null || say "cannot disable ${script##*/}: it will start when the machine boots"
    done < <(dpkg-query -L "$package" 2>/dev/null | grep '^/etc/init.d/.')
  done
}

# lacking REASON PACKAGE...: stops for the demo. Tests report missing packages themselves (and fail with CI=true).
lacking() {
  local lines=("system packages are missing, $1: ${*:2}" "install them with: sudo apt-get install ${*:2}"
    "to keep their services from starting, run before that: printf '#!/bin/sh\\nexit 101\\n' | sudo tee $policy && sudo chmod 755 $policy"
    "and after that: sudo rm $policy")
  [[ $mode == --test ]] || fail "${lines[@]}"
  printf 'setup: %s\n' "${lines[@]}" 'setup continues; tests that need them are skipped' >&2
}

npm_packages() {
  local stamp=node_modules/.keyprov-setup wanted
  wanted=$({ uname -sm && cat package-lock.json; } | sha256sum)
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    say 'npm packages are installed'
    return
  fi
  if [[ ! -w . || (-e node_modules && ! -w node_modules) ]]; then
    fail "npm packages must be installed but $(id -un) may not write to $PWD" \
      "run this as $(stat -c %U .), or in a clone of your own"
  fi
  # A home directory that is missing or belongs to another user must not stop npm.
  local cache
  cache=$(npm config get cache)
  if ! { mkdir -p -- "$cache" && [[ -w $cache ]]; } 2>/dev/null; then
    cache=$(mktemp -d)
    # shellcheck disable=SC2064 # expand the current path
    trap "rm -rf -- '$cache'" EXIT
  fi
  say 'installing npm packages (npm ci)'
  npm ci --cache "$cache" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null ||
    fail 'npm ci failed: see above; it needs the npm registry or a filled npm cache'
  printf '%s\n' "$wanted" >"$stamp"
}

check_node
install_packages
npm_packages
node scripts/build.mjs
say 'done'
