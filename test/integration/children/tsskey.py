"""Reads and writes TSS2 PRIVATE KEY files with tpm2-pytss: one JSON request a line, one JSON answer a line."""

import json
import sys

from tpm2_pytss.tsskey import TSSPrivKey
from tpm2_pytss.types import TPM2B_PRIVATE, TPM2B_PUBLIC


def answer(request):
    if "pem" in request:
        key = TSSPrivKey.from_pem(request["pem"].encode())
        return {
            "publicArea": key.public.marshal().hex(),
            "privateArea": key.private.marshal().hex(),
            "parent": key.parent,
            "emptyAuth": key.empty_auth,
        }
    public, _ = TPM2B_PUBLIC.unmarshal(bytes.fromhex(request["publicArea"]))
    private, _ = TPM2B_PRIVATE.unmarshal(bytes.fromhex(request["privateArea"]))
    key = TSSPrivKey(private, public, empty_auth=request["emptyAuth"], parent=request["parent"])
    return {"pem": key.to_pem().decode()}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
