"""Loads a TSS2 PRIVATE KEY file with tpm2-pytss and signs: FILE TCTI DIGEST [FILE-WITH-PASSWORD]."""

import json
import sys

from tpm2_pytss import ESAPI, TCTILdr, TSS2_Exception
from tpm2_pytss.constants import TPM2_ALG, TPM2_RH, TPM2_ST
from tpm2_pytss.tsskey import TSSPrivKey
from tpm2_pytss.types import TPMT_SIG_SCHEME, TPMT_TK_HASHCHECK

key_file, tcti, digest, *password_file = sys.argv[1:]
password = open(password_file[0], "rb").read() if password_file else None

with ESAPI(TCTILdr(*tcti.split(":", 1))) as tpm:
    try:
        handle = TSSPrivKey.from_pem(open(key_file, "rb").read()).load(tpm, password)
        public = tpm.read_public(handle)[0]
        is_rsa = public.publicArea.type == TPM2_ALG.RSA
        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.RSASSA if is_rsa else TPM2_ALG.ECDSA)
        scheme.details.any.hashAlg = TPM2_ALG.SHA256
        not_hashed = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
        signature = tpm.sign(handle, bytes.fromhex(digest), scheme, not_hashed)
        answer = {"publicKey": public.to_pem().decode(), "signature": signature.marshal().hex()}
    except TSS2_Exception as error:
        answer = {"refused": f"{error.rc:#x}"}
    except RuntimeError as error:
        answer = {"refused": str(error)}
    print(json.dumps(answer))
