/*
 * Measures the same work with tpm2-tss' ESAPI, in CPU time of this process.
 *   esys TCTI job session|password N     runs the provisioning job of bench/job.ts N times, cold, each on a new connection;
 *                                        prints a JSON array of milliseconds
 *   esys TCTI random session|password N  runs TPM2_GetRandom of 8 bytes N times; prints microseconds per call
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#define CHECK(call)                                                  \
  do {                                                               \
    TSS2_RC rc_ = (call);                                            \
    if (rc_ != TSS2_RC_SUCCESS) {                                    \
      fprintf(stderr, "%s:%d: %s: 0x%x\n", __FILE__, __LINE__, #call, rc_); \
      exit(1);                                                       \
    }                                                                \
  } while (0)

#define NO ESYS_TR_NONE, ESYS_TR_NONE
#define EK_CERTIFICATE 0x01c0000a

static const TPM2B_AUTH PIN = {.size = 32, .buffer = {[0 ... 31] = 7}};
static const TPMT_SYM_DEF_OBJECT AES = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
static const TPMT_SYM_DEF SESSION_AES = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
static const UINT8 EK_POLICY[32] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                                    0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                                    0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};

static double cpu_us(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 + use.ru_utime.tv_usec + use.ru_stime.tv_usec;
}

/* The public area of a P-256 key; all other fields are null. */
static TPM2B_PUBLIC p256(TPMA_OBJECT attributes) {
  TPM2B_PUBLIC area = {.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256}};
  area.publicArea.objectAttributes =
      attributes | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN;
  TPMS_ECC_PARMS *ecc = &area.publicArea.parameters.eccDetail;
  ecc->symmetric.algorithm = ecc->scheme.scheme = ecc->kdf.scheme = TPM2_ALG_NULL;
  ecc->curveID = TPM2_ECC_NIST_P256;
  if (attributes & TPMA_OBJECT_RESTRICTED && attributes & TPMA_OBJECT_DECRYPT) ecc->symmetric = AES;
  return area;
}

static ESYS_TR primary(ESYS_CONTEXT *tpm, ESYS_TR hierarchy, const TPM2B_PUBLIC *area) {
  ESYS_TR made;
  TPM2B_SENSITIVE_CREATE sensitive = {0};
  TPM2B_DATA none = {0};
  TPML_PCR_SELECTION pcrs = {0};
  CHECK(Esys_CreatePrimary(tpm, hierarchy, ESYS_TR_PASSWORD, NO, &sensitive, area, &none, &pcrs, &made, NULL, NULL, NULL, NULL));
  return made;
}

static ESYS_TR child(ESYS_CONTEXT *tpm, ESYS_TR parent, ESYS_TR session, const TPM2B_PUBLIC *area, const TPM2B_AUTH *auth) {
  ESYS_TR made;
  TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth = *auth};
  TPM2B_TEMPLATE template = {0};
  size_t size = 0;
  CHECK(Tss2_MU_TPMT_PUBLIC_Marshal(&area->publicArea, template.buffer, sizeof template.buffer, &size));
  template.size = size;
  TPM2B_PRIVATE *private = NULL;
  TPM2B_PUBLIC *public = NULL;
  CHECK(Esys_CreateLoaded(tpm, parent, session, NO, &sensitive, &template, &made, &private, &public));
  Esys_Free(private);
  Esys_Free(public);
  return made;
}

static ESYS_TR start_session(ESYS_CONTEXT *tpm, ESYS_TR salt_key, TPMA_SESSION use) {
  ESYS_TR session;
  CHECK(Esys_StartAuthSession(tpm, salt_key, ESYS_TR_NONE, ESYS_TR_NONE, NO, NULL, TPM2_SE_HMAC, &SESSION_AES, TPM2_ALG_SHA256, &session));
  CHECK(Esys_TRSess_SetAttributes(tpm, session, use, 0xff));
  return session;
}

static TPM2B_PUBLIC storage_key(void) {
  TPM2B_PUBLIC area = p256(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
  area.publicArea.unique.ecc.x.size = area.publicArea.unique.ecc.y.size = 32;
  return area;
}

static void job(ESYS_CONTEXT *tpm, int with_session) {
  TPM2B_PUBLIC ek_area = p256(TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT);
  ek_area.publicArea.authPolicy.size = 32;
  memcpy(ek_area.publicArea.authPolicy.buffer, EK_POLICY, 32);
  ek_area.publicArea.unique.ecc.x.size = ek_area.publicArea.unique.ecc.y.size = 32;
  CHECK(Esys_FlushContext(tpm, primary(tpm, ESYS_TR_RH_ENDORSEMENT, &ek_area)));
  TPM2B_PUBLIC srk_area = storage_key();
  ESYS_TR srk = primary(tpm, ESYS_TR_RH_OWNER, &srk_area);
  TPM2B_PUBLIC ak_area = p256(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT);
  ak_area.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_ECDSA;
  ak_area.publicArea.parameters.eccDetail.scheme.details.ecdsa.hashAlg = TPM2_ALG_SHA256;
  TPM2B_AUTH empty = {0};
  ESYS_TR ak = child(tpm, srk, ESYS_TR_PASSWORD, &ak_area, &empty);

  TPMA_SESSION use = TPMA_SESSION_DECRYPT | TPMA_SESSION_CONTINUESESSION;
  ESYS_TR session = with_session ? start_session(tpm, srk, use) : ESYS_TR_PASSWORD;
  TPM2B_PUBLIC user_area = p256(TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT);
  ESYS_TR user = child(tpm, srk, session, &user_area, &PIN);
  CHECK(Esys_TR_SetAuth(tpm, user, &PIN));

  TPM2B_DATA nonce = {.size = 32, .buffer = {1}};
  TPMT_SIG_SCHEME none = {.scheme = TPM2_ALG_NULL};
  TPM2B_ATTEST *attest;
  TPMT_SIGNATURE *signature;
  CHECK(Esys_Certify(tpm, user, ak, session, ESYS_TR_PASSWORD, ESYS_TR_NONE, &nonce, &none, &attest, &signature));
  Esys_Free(attest);
  Esys_Free(signature);

  ESYS_TR index;
  TPM2B_NV_PUBLIC *nv_public;
  TPM2B_NAME *nv_name;
  TPM2B_MAX_NV_BUFFER *data;
  CHECK(Esys_TR_FromTPMPublic(tpm, EK_CERTIFICATE, ESYS_TR_NONE, NO, &index));
  CHECK(Esys_NV_ReadPublic(tpm, index, ESYS_TR_NONE, NO, &nv_public, &nv_name));
  CHECK(Esys_NV_Read(tpm, index, index, ESYS_TR_PASSWORD, NO, nv_public->nvPublic.dataSize, 0, &data));
  Esys_Free(nv_public);
  Esys_Free(nv_name);
  Esys_Free(data);

  if (with_session) CHECK(Esys_TRSess_SetAttributes(tpm, session, TPMA_SESSION_DECRYPT, 0xff));
  TPM2B_DIGEST digest = {.size = 32, .buffer = {1}};
  TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256};
  TPMT_TK_HASHCHECK unchecked = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
  CHECK(Esys_Sign(tpm, user, session, NO, &digest, &scheme, &unchecked, &signature));
  Esys_Free(signature);
  CHECK(Esys_FlushContext(tpm, user));
  CHECK(Esys_FlushContext(tpm, ak));
  CHECK(Esys_FlushContext(tpm, srk));
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  int with_session = strcmp(argv[3], "session") == 0, times = atoi(argv[4]);
  TSS2_TCTI_CONTEXT *tcti;
  ESYS_CONTEXT *tpm;
  if (strcmp(argv[2], "job") == 0) {
    for (int time = 0; time < times; time++) {
      double begin = cpu_us();
      CHECK(Tss2_TctiLdr_Initialize(argv[1], &tcti));
      CHECK(Esys_Initialize(&tpm, tcti, NULL));
      job(tpm, with_session);
      Esys_Finalize(&tpm);
      Tss2_TctiLdr_Finalize(&tcti);
      printf("%s%.3f", time ? "," : "[", (cpu_us() - begin) / 1000);
    }
    printf("]\n");
    return 0;
  }
  CHECK(Tss2_TctiLdr_Initialize(argv[1], &tcti));
  CHECK(Esys_Initialize(&tpm, tcti, NULL));
  ESYS_TR srk = ESYS_TR_NONE, session = ESYS_TR_NONE;
  if (with_session) {
    TPM2B_PUBLIC area = storage_key();
    srk = primary(tpm, ESYS_TR_RH_OWNER, &area);
    session = start_session(tpm, srk, TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION);
  }
  double begin = cpu_us();
  for (int time = 0; time < times; time++) {
    TPM2B_DIGEST *bytes;
    CHECK(Esys_GetRandom(tpm, session, NO, 8, &bytes));
    Esys_Free(bytes);
  }
  printf("%.3f\n", (cpu_us() - begin) / times);
  if (with_session) {
    CHECK(Esys_FlushContext(tpm, session));
    CHECK(Esys_FlushContext(tpm, srk));
  }
  Esys_Finalize(&tpm);
  Tss2_TctiLdr_Finalize(&tcti);
  return 0;
}
