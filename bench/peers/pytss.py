"""What tpm2-pytss needs for TPM2_GetRandom in a salted session whose answer is encrypted: microseconds of CPU time each.

pytss.py TCTI N
"""
import json
import sys
import time

from tpm2_pytss import ESAPI
from tpm2_pytss.constants import ESYS_TR, TPM2_ALG, TPM2_SE, TPMA_SESSION
from tpm2_pytss.types import TPM2B_PUBLIC, TPM2B_SENSITIVE_CREATE, TPMT_SYM_DEF

tcti, times = sys.argv[1], int(sys.argv[2])
with ESAPI(tcti) as tpm:
    area = TPM2B_PUBLIC.parse("ecc256:aes128cfb", objectAttributes="fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")
    srk = tpm.create_primary(TPM2B_SENSITIVE_CREATE(), area, ESYS_TR.OWNER)[0]
    cipher = TPMT_SYM_DEF(algorithm=TPM2_ALG.AES)
    cipher.keyBits.aes, cipher.mode.aes = 128, TPM2_ALG.CFB
    session = tpm.start_auth_session(srk, ESYS_TR.NONE, TPM2_SE.HMAC, cipher, TPM2_ALG.SHA256)
    tpm.trsess_set_attributes(session, TPMA_SESSION.ENCRYPT | TPMA_SESSION.CONTINUESESSION)
    begin = time.process_time()
    for _ in range(times):
        tpm.get_random(8, session1=session)
    print(json.dumps((time.process_time() - begin) / times * 1e6))
    tpm.flush_context(session)
    tpm.flush_context(srk)
