#!/usr/bin/env bash
# Shows the whole way, in one process: a virtual TPM 2.0, an LDAP directory and an identity service start, a device joins,
# the user authenticates, a key is made in the TPM, attested, registered, synchronized to the directory, and signs in.
# Then what was written is verified and inspected, and the files are listed, for you to look at.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

scripts/setup.sh --demo

# Only what the demo itself makes is for the user alone: others may use the packages and the build.
umask 077

# Every run starts anew. Where the last demo was someone else's, or the checkout is, the files go elsewhere.
out=$PWD/.demo
if ! { rm -rf -- "$out" && mkdir -- "$out"; } 2>/dev/null; then out=$(mktemp -d "${TMPDIR:-/tmp}/keyprov-demo.XXXXXX"); fi

keyprov() {
  printf '\n$ keyprov %s\n\n' "$*"
  node dist/src/cli/main.js "$@"
}

# Nobody is asked for a PIN: without a terminal the demo takes one of its own.
keyprov provision --demo --out "$out" </dev/null
keyprov verify --in "$out/attestation.json" --challenge "$(<"$out/challenge.hex")"
keyprov inspect "$out/key-credential-link.txt"
keyprov status --store "$out/store" --tpm "libtpms:$out/tpm"

printf '\n%s: ' "$out"
cat -- "$out/README.txt"
