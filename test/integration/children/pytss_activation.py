"""Makes and activates credentials with tpm2-pytss, that is with tpm2-tss, on a TPM of its own.

Argument: the TCTI. Reads one JSON object per line and answers each with one; bytes are hexadecimal digits.

{"op": "keys", "ek": TPM2B_PUBLIC, "ak": TPM2B_PUBLIC}   makes both from their templates
                                                         -> {"ek": TPM2B_PUBLIC, "ak": TPM2B_NAME}
{"op": "make", "ek": TPM2B_PUBLIC, "name": TPM2B_NAME, "secret": S}
                                      makes a credential in Python -> {"blob", "secret"}, lengths included
{"op": "make-by-tpm", the same}       the same with TPM2_MakeCredential
{"op": "activate", "blob": TPM2B_ID_OBJECT, "secret": TPM2B_ENCRYPTED_SECRET}   -> {"secret": S}
"""

import json
import sys

from tpm2_pytss import ESAPI
from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_SE
from tpm2_pytss.types import (
    TPM2B_DIGEST,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_NAME,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPML_DIGEST,
    TPMT_SYM_DEF,
)
from tpm2_pytss.utils import make_credential

POLICY_C = {
    TPM2_ALG.SHA256: "3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde",
    TPM2_ALG.SHA384: "d6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165",
}
POLICY_A = {
    TPM2_ALG.SHA256: "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa",
    TPM2_ALG.SHA384: "8bbf2266537c171cb56e403c4dc1d4b64f432611dc386e6f532050c3278c930e143e8bb1133824ccb431053871c6db53",
}


def read(kind, text):
    return kind.unmarshal(bytes.fromhex(text))[0]


def write(value):
    return bytes(value.marshal()).hex()


class Tpm:
    def __init__(self, tcti):
        self.esapi = ESAPI(tcti)
        self.ek = self.ak = self.ek_public = None

    def primary(self, template):
        hierarchy = ESYS_TR.RH_ENDORSEMENT
        return self.esapi.create_primary(TPM2B_SENSITIVE_CREATE(), read(TPM2B_PUBLIC, template), hierarchy)[:2]

    def keys(self, ek, ak):
        for handle in (self.ek, self.ak):
            if handle is not None:
                self.esapi.flush_context(handle)
        self.ek, self.ek_public = self.primary(ek)
        self.ak, ak_public = self.primary(ak)
        return {"ek": write(self.ek_public), "ak": write(ak_public.get_name())}

    def make(self, ek, name, secret):
        blob, encrypted = make_credential(read(TPM2B_PUBLIC, ek), bytes.fromhex(secret), read(TPM2B_NAME, name))
        return {"blob": write(blob), "secret": write(encrypted)}

    def make_by_tpm(self, ek, name, secret):
        handle = self.esapi.load_external(read(TPM2B_PUBLIC, ek))
        try:
            credential = TPM2B_DIGEST(bytes.fromhex(secret))
            blob, encrypted = self.esapi.make_credential(handle, credential, read(TPM2B_NAME, name))
            return {"blob": write(blob), "secret": write(encrypted)}
        finally:
            self.esapi.flush_context(handle)

    def activate(self, blob, secret):
        name_alg = self.ek_public.publicArea.nameAlg
        session = self.esapi.start_auth_session(
            ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), name_alg
        )
        try:
            self.esapi.policy_secret(ESYS_TR.RH_ENDORSEMENT, session, b"", b"", b"", 0)
            if bytes(self.ek_public.publicArea.authPolicy).hex() != POLICY_A[name_alg]:
                branches = [POLICY_A[name_alg], POLICY_C[name_alg]]
                self.esapi.policy_or(session, TPML_DIGEST([TPM2B_DIGEST(bytes.fromhex(one)) for one in branches]))
            blob, encrypted = read(TPM2B_ID_OBJECT, blob), read(TPM2B_ENCRYPTED_SECRET, secret)
            found = self.esapi.activate_credential(self.ak, self.ek, blob, encrypted, ESYS_TR.PASSWORD, session)
            return {"secret": bytes(found).hex()}
        finally:
            self.esapi.flush_context(session)


tpm = Tpm(sys.argv[1])
for line in sys.stdin:
    request = json.loads(line)
    operation = getattr(tpm, request.pop("op").replace("-", "_"))
    try:
        reply = operation(**request)
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
