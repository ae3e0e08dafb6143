# Functions that windows-abi.sh, arm64.sh, runtimes.sh, browser.sh and qemu-tpmrm0.sh share; they source this file. Everything
# that they make is in the temporary directory $work. At the end it is removed, and the processes that they started are ended.
# shellcheck shell=bash

started=$SECONDS
work=$(mktemp -d "${TMPDIR:-/tmp}/keyprov-platform.XXXXXX")
ends=()
at_end() { ends=("$@" "${ends[@]}"); }
clean_up() {
  local end
  for end in "${ends[@]}"; do "$end" || true; done # the process may have ended
  rm -rf -- "$work"
}
trap clean_up EXIT

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

# is_there WHAT: tests for a program in PATH or, if the name contains `.so.`, a library.
is_there() {
  case $1 in
    *.so.*) [[ -n $(find /usr/lib /usr/lib64 -name "$1" -print -quit 2>/dev/null) ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# need WHAT:PACKAGE...: installs the Debian packages of missing programs and libraries.
need() {
  local pair missing=() sudo=()
  for pair; do is_there "${pair%%:*}" || missing+=("${pair#*:}"); done
  ((${#missing[@]} > 0)) || return 0
  if ((EUID != 0)); then
    if ! sudo -n true 2>/dev/null; then
      say "packages are missing, and this user may not install them; run: sudo apt-get install ${missing[*]}" >&2
      exit 1
    fi
    sudo=(sudo -n)
  fi
  say "installing with apt-get: ${missing[*]}"
  "${sudo[@]}" apt-get -qq -o DPkg::Lock::Timeout=120 update
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends -y \
    "${missing[@]}" </dev/null >/dev/null
}

# Builds the package, even in a fresh clone, and packs it as npm would publish it.
pack() {
  scripts/setup.sh --build
  npm pack --loglevel=error --ignore-scripts --pack-destination "$work" >/dev/null
}

# install_into DIRECTORY [OPTION...]: makes a project with the packed package, its optional peers and the smoke program.
install_into() {
  mkdir -p -- "$1"
  printf '{"type":"module"}\n' >"$1/package.json"
  local peers=()
  mapfile -t peers < <(node -p "Object.entries(require('./package.json').peerDependencies).map((p) => p.join('@')).join('\n')")
  # Not with --prefix: npm reads its global settings, such as the registry, from there.
  (cd -- "$1" && npm install --loglevel=error --ignore-scripts --no-audit --no-fund "${@:2}" "$work"/keyprov-*.tgz \
    "${peers[@]}" >/dev/null)
  cp -- test/platforms/smoke.mjs "$1"
}

# unpack PACKAGE@VERSION DIRECTORY: unpacks an npm package without installing it.
unpack() {
  mkdir -p -- "$2"
  tar -xzf "$work/$(npm pack --loglevel=error --pack-destination "$work" "$1")" --strip-components=1 -C "$2"
}

# Starts a swtpm on two free ports of 127.0.0.1: $port, and the next for its control channel.
begin_swtpm() {
  local state
  state=$(mktemp -d -p "$work")
  for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    swtpm socket --tpm2 --tpmstate "dir=$state" --flags not-need-init,startup-clear \
      --server "type=tcp,port=$port,bindaddr=127.0.0.1" --ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" \
      2>"$work/swtpm.log" &
    swtpm_process=$!
    for ((tries = 0; tries < 200; tries++)); do
      kill -0 "$swtpm_process" 2>/dev/null || break
      if (: <"/dev/tcp/127.0.0.1/$((port + 1))") 2>/dev/null; then return 0; fi
      sleep 0.05
    done
  done
  cat -- "$work/swtpm.log" >&2
  return 1
}
end_swtpm() {
  [[ -n ${swtpm_process:-} ]] && kill "$swtpm_process" 2>/dev/null
  wait "${swtpm_process:-}" 2>/dev/null || true
  swtpm_process=
}
at_end end_swtpm

# finish STATUS: prints the last line, with the time in minutes.
finish() {
  local seconds=$((SECONDS - started)) result=passed
  (($1 == 0)) || result=FAILED
  printf '%s: %s, %d min %02d s\n' "${0##*/}" "$result" $((seconds / 60)) $((seconds % 60))
  exit "$1"
}
