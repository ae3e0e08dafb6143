#!/bin/sh
# A certificate request with key attestation for AD CS (MS-WCCE).
# KEYPROV_TPM contains the TPM's address. Verify the exchange certificate's chain before you use it.
set -eu
[ $# -eq 2 ] || { echo 'usage: sh ad-cs-request.sh EXCHANGE-CERTIFICATE DIRECTORY' >&2; exit 2; }
exchange=$1
directory=$2

keyprov create --user ada@contoso.test --hardware required --attestation required --out "$directory"
keyprov request --store "$directory" --format csr-wcce --exchange-certificate "$exchange" --name ada --out "$directory/ada.csr"
keyprov inspect "$directory/ada.csr" | grep -E '^  (KSP_NAME|EK_INFO|ATTESTATION_STATEMENT):'
openssl req -in "$directory/ada.csr" -noout -verify -subject
