#!/usr/bin/env bash
# Shows the whole way: a TPM 2.0 starts inside the process, a user key is made in it, an attestation key certifies it
# over a fresh challenge, and the registration request is written. Then the key signs, the statement is verified, and
# the files are listed, for you to look at.
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

scripts/setup.sh --demo

# Only what the demo itself makes is for the user alone: others may use the packages and the build.
umask 077

# Every run starts anew. Where the last demo was someone else's, or the checkout is, the files go elsewhere.
out=$PWD/.demo
if ! { rm -rf -- "$out" && mkdir -- "$out"; } 2>/dev/null; then out=$(mktemp -d "${TMPDIR:-/tmp}/keyprov-demo.XXXXXX"); fi

challenge=$(node -p 'crypto.randomBytes(32).toString("hex")')
device=$(node -p 'crypto.randomUUID()')
tpm=libtpms:$out/tpm

keyprov() {
  printf '\n$ keyprov %s\n\n' "$*"
  node dist/src/cli/main.js "$@"
}

keyprov provision --tpm "$tpm" --hardware required --virtual-tpm allow \
  --user alice@example.com --device-id "$device" --challenge "$challenge" --out "$out"
keyprov sign --tpm "$tpm" --dir "$out" --in "$out/request.json" --out "$out/request.sig"
keyprov verify --dir "$out" --challenge "$challenge"

describe() {
  case ${1#"$out"/} in
    request.json) echo 'the registration request, as it would be sent' ;;
    attestation.json) echo 'the statement: the TPM says over the challenge that it made this key and guards it' ;;
    key.pem) echo 'the private key, wrapped by the TPM and of no use without it (TSS2 PRIVATE KEY)' ;;
    request.sig) echo 'a signature over it, made with the user key in the TPM' ;;
    public.pem) echo 'the public key' ;;
    record.json) echo 'what was done and why: backend, assurance, policy, attempts, key ID' ;;
    tpm/*) echo 'state of the virtual TPM' ;;
    *) echo 'written by keyprov provision' ;;
  esac
}

printf '\nFiles in %s:\n' "$out"
while IFS= read -r file; do
  printf '  %-18s %6d bytes  %s\n' "${file#"$out"/}" "$(stat -c %s -- "$file")" "$(describe "$file")"
done < <(find "$out" -type f | LC_ALL=C sort)
