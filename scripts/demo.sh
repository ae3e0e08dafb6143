#!/usr/bin/env bash
# Shows a complete run on this machine. A virtual TPM 2.0, an LDAP directory and an identity service start, a device joins, and
# the user authenticates. A key is made in the TPM, attested, registered, synchronized to the directory, and used to sign in.
# Then the demo verifies and inspects the files that it wrote, and lists them for you.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

scripts/setup.sh --demo

# Only the demo's own files are private to the user: others may use the packages and the build.
umask 077

# Every run starts from scratch. If the last demo or the checkout belongs to another user, the files go elsewhere.
out=$PWD/.demo
if ! { rm -rf -- "$out" && mkdir -- "$out"; } 2>/dev/null; then out=$(mktemp -d "${TMPDIR:-/tmp}/keyprov-demo.XXXXXX"); fi

keyprov() {
  printf '\n$ keyprov %s\n\n' "$*"
  node dist/src/cli/main.js "$@"
}

# Without a terminal, the demo uses its own PIN and asks nobody.
keyprov provision --demo --out "$out" </dev/null
keyprov verify --in "$out/attestation.json" --challenge "$(<"$out/challenge.hex")"
keyprov inspect "$out/key-credential-link.txt"
keyprov status --store "$out/store" --tpm "libtpms:$out/tpm"

printf '\n%s: ' "$out"
cat -- "$out/README.txt"
