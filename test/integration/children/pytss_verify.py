"""Verifies certify statements with tpm2-pytss: a line of JSON in, a line of JSON out."""

import json
import sys

from tpm2_pytss.constants import TPM2_GENERATED, TPM2_ST
from tpm2_pytss.types import TPMS_ATTEST, TPMT_PUBLIC, TPMT_SIGNATURE


def verify(request):
    """The Name and the key that the attestation key has certified."""
    data = {name: bytes.fromhex(value) for name, value in request.items()}
    signature, _ = TPMT_SIGNATURE.unmarshal(data["signature"])
    attestation_key, _ = TPMT_PUBLIC.unmarshal(data["ak"])
    signature.verify_signature(attestation_key, data["certInfo"])

    attest, _ = TPMS_ATTEST.unmarshal(data["certInfo"])
    if attest.magic != TPM2_GENERATED.VALUE or attest.type != TPM2_ST.ATTEST_CERTIFY:
        raise ValueError("not a certification")
    if bytes(attest.extraData) != data["challenge"]:
        raise ValueError("another challenge")
    key, _ = TPMT_PUBLIC.unmarshal(data["pubArea"])
    name = bytes(key.get_name())
    if bytes(attest.attested.certify.name) != name:
        raise ValueError("another key")
    return {"name": name.hex(), "key": key.to_pem().decode()}


for line in sys.stdin:
    try:
        answer = verify(json.loads(line))
    except Exception as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
