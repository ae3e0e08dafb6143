#!/bin/sh
# OpenSSL signs, and requests a certificate, with a key in a TPM.
# It needs tpm2-openssl, and KEYPROV_TPM and TPM2OPENSSL_TCTI for one TPM: `keyprov sim -- sh openssl.sh DIRECTORY` sets both.
set -eu
[ $# -eq 1 ] || { echo 'usage: sh openssl.sh DIRECTORY' >&2; exit 2; }
directory=$1
tpm2() {
  command=$1
  shift
  openssl "$command" -provider tpm2 -provider base -provider default "$@"
}

keyprov create --user ada@contoso.test --hardware required --out "$directory"
tpm2 req -new -key "$directory/key.pem" -subj /CN=ada -out "$directory/ada.csr"
openssl req -in "$directory/ada.csr" -noout -verify -subject

echo 'sign me' > "$directory/letter"
openssl dgst -sha256 -binary -out "$directory/digest" "$directory/letter"
tpm2 pkeyutl -sign -inkey "$directory/key.pem" -in "$directory/digest" -pkeyopt digest:sha256 -out "$directory/letter.sig"
openssl dgst -sha256 -verify "$directory/public.pem" -signature "$directory/letter.sig" "$directory/letter"

# For Kerberos (PKINIT): the self-signed key-trust certificate, with the user's security identifier
keyprov request --store "$directory" --format pkinit --sid S-1-5-21-1-2-3-1104 \
  --tenant-id 3867a4a5-551b-4f44-9796-437b5ebb5f33 --for-device d1e1b76f-0d53-44e8-bbad-e465ea4cc3eb --out "$directory/ada.pem"
openssl x509 -in "$directory/ada.pem" -noout -ext extendedKeyUsage
