"""Reads request formats with tpm2-pytss and python3-fido2: a line of JSON in, a line of JSON out.

Signatures are verified, and Names compared; what is wrong is an exception.
"""

import json
import sys
from base64 import b64decode, urlsafe_b64decode

from cryptography.hazmat.primitives.serialization import load_der_public_key
from fido2 import cbor
from fido2.cose import CoseKey
from tpm2_pytss import TPM2_ST, TPM2B_PUBLIC, TPMS_ATTEST, TPMS_CREATION_DATA, TPMT_PUBLIC, TPMT_SIGNATURE


def whole(structure, data):
    value, size = structure.unmarshal(data)
    assert size == len(data), f"{structure.__name__}: {size} of {len(data)} bytes"
    return value


def verified(signer, cert_info, signature):
    whole(TPMT_SIGNATURE, signature).verify_signature(signer, cert_info)
    return whole(TPMS_ATTEST, cert_info)


def certified(public, cert_info, signature, signer):
    """The extraData with which `signer` certified the key in `public`."""
    attest = verified(signer, cert_info, signature)
    assert attest.type == TPM2_ST.ATTEST_CERTIFY
    assert bytes(attest.attested.certify.name) == bytes(public.get_name())
    return bytes(attest.extraData).hex()


def go_attestation(text, signer):
    json_bytes = {name: b64decode(value or "") for name, value in json.loads(text).items() if value is not False}
    public = whole(TPMT_PUBLIC, json_bytes["Public"])
    parts = (json_bytes["CreateAttestation"], json_bytes["CreateSignature"])
    if not json_bytes["CreateData"]:
        return certified(public, *parts, signer)
    attest = verified(signer, *parts)
    assert attest.type == TPM2_ST.ATTEST_CREATION
    assert bytes(attest.attested.creation.objectName) == bytes(public.get_name())
    whole(TPMS_CREATION_DATA, json_bytes["CreateData"])
    return bytes(attest.extraData).hex()


def go_quote(text, signer):
    quote = json.loads(text)
    attest = verified(signer, b64decode(quote["Quote"]), b64decode(quote["Signature"]))
    assert attest.type == TPM2_ST.ATTEST_QUOTE
    return bytes(attest.extraData).hex()


def keylime(text, signer):
    body = json.loads(text)
    ak = whole(TPM2B_PUBLIC, b64decode(body["aik_tpm"])).publicArea
    whole(TPM2B_PUBLIC, b64decode(body["ek_tpm"]))
    iak = whole(TPM2B_PUBLIC, b64decode(body["iak_tpm"])).publicArea
    return certified(ak, b64decode(body["iak_attest"]), b64decode(body["iak_sign"]), iak)


def acme(text, signer):
    encoded = json.loads(text)["attObj"]
    attestation = cbor.decode(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    assert sorted(attestation) == ["attStmt", "fmt"] and attestation["fmt"] == "tpm"
    statement = attestation["attStmt"]
    assert statement["ver"] == "2.0" and len(statement["x5c"]) == 1
    return certified(whole(TPMT_PUBLIC, statement["pubArea"]), statement["certInfo"], statement["sig"], signer)


def cose(spki, _):
    """The key as python3-fido2 writes it, in canonical CBOR."""
    key = load_der_public_key(b64decode(spki))
    return cbor.encode(dict(CoseKey.for_alg(-257 if hasattr(key.public_numbers(), "n") else -7).from_cryptography_key(key))).hex()


READERS = {"go-attestation": go_attestation, "go-quote": go_quote, "keylime": keylime, "acme": acme, "cose": cose}

for line in sys.stdin:
    request = json.loads(line)
    try:
        signer = whole(TPMT_PUBLIC, b64decode(request["signer"])) if "signer" in request else None
        answer = {"value": READERS[request["format"]](request["text"], signer)}
    except Exception as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
