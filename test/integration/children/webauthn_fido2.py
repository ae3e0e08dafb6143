"""Registers WebAuthn credentials with python3-fido2: a line of JSON in, a line of JSON out."""

import json
import sys
from base64 import b64decode

from fido2.attestation import TpmAttestation
from fido2.client import ClientData
from fido2.ctap2 import AttestationObject
from fido2.server import AttestationVerifier, Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import PublicKeyCredentialRpEntity, UserVerificationRequirement


class OneAuthority(AttestationVerifier):
    def __init__(self, certificate):
        super().__init__([TpmAttestation()])
        self.certificate = certificate

    def ca_lookup(self, attestation_result, auth_data):
        return [self.certificate]


def register(case):
    """The id of the new credential."""
    verifier = OneAuthority(b64decode(case["authority"]))
    server = Fido2Server(
        PublicKeyCredentialRpEntity(case["rpId"], "test"),
        attestation="direct",
        verify_origin=lambda origin: origin == case["origin"],
        verify_attestation=verifier.verify_attestation,
    )
    state = {
        "challenge": websafe_encode(b64decode(case["challenge"])),
        "user_verification": UserVerificationRequirement.REQUIRED,
    }
    auth_data = server.register_complete(
        state,
        ClientData(b64decode(case["clientDataJson"])),
        AttestationObject(b64decode(case["attestationObject"])),
    )
    return {"credentialId": auth_data.credential_data.credential_id.hex()}


for line in sys.stdin:
    try:
        answer = register(json.loads(line))
    except Exception as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
