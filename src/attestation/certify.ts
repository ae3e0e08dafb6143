import { checkObject } from '../bytes.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { entityOf } from '../tpm/arguments.ts';
import { encode } from '../tpm/codec/index.ts';
import type { HandleArg } from '../tpm/command.ts';
import { Certify, CertifyCreation, type CertifyResult } from '../tpm/commands/attestation.ts';
import { ReadPublic } from '../tpm/commands/object.ts';
import { PolicyCommandCode, PolicyOR } from '../tpm/commands/policy.ts';
import { TPM_ALG, TPM_CC, TPM_ECC } from '../tpm/constants.ts';
import { withHiddenAuth } from '../tpm/hidden-auth.ts';
import { isHashAlg } from '../tpm/names.ts';
import { windowsHelloBranches } from '../tpm/policy-digest.ts';
import { startSession } from '../tpm/start-session.ts';
import { TPMT_SIGNATURE } from '../tpm/structures/algorithm.ts';
import { TPMS_CREATION_DATA, TPMT_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { TpmObject } from '../tpm/tpm-object.ts';
import type { AttestationKey, Creation } from './attestation-key.ts';
import { checkChallenge } from './challenge.ts';
import type { CheckId } from './findings.ts';
import type { AttestationStatement, Certification, CreationProof } from './statement.ts';
import { verifyStatement } from './verify.ts';

/** Options of {@link certifyKey}. */
export interface CertifyKeyOptions extends SignalOptions {
  /** The key to certify, with its authorization if it has one. */
  readonly key: HandleArg;
  /**
   * How the use of the key is authorized. `key` (default): with the authorization in `key`. `windows-hello-policy`:
   * with the branch of `windowsHelloPolicy` that lets anyone run TPM2_Certify, without the PIN and even in lockout.
   */
  readonly authorization?: 'key' | 'windows-hello-policy' | undefined;
  readonly ak: AttestationKey;
  /** 1 to 64 bytes that become the signed extraData: usually the verifier's nonce or a digest of it. */
  readonly challenge: Uint8Array;
}

/**
 * Has an attestation key certify that `key` is in the TPM. TPM2_Certify, Part 3, 18.2. Does not verify the response;
 * {@link attestKey} does.
 *
 * @throws RangeError for a challenge of another length.
 * @throws TpmError if the TPM refuses; `tpm-auth-failed` and `tpm-lockout` concern the authorization of the key.
 */
export async function certifyKey(tpm: Tpm, options: CertifyKeyOptions): Promise<Certification> {
  options = checkMembers(
    'certifyKey',
    options,
    'key ak challenge:bytes authorization:=key|windows-hello-policy? signal',
  );
  checkObject(options, 'options of certifyKey', 'key', 'ak');
  const { key, authorization = 'key', ak, signal } = options;
  const qualifyingData = checkChallenge(options.challenge);
  const certify = async (objectHandle: HandleArg) =>
    certificationOf(
      await tpm.run(Certify, { objectHandle, signHandle: ak.object, qualifyingData, inScheme: OWN_SCHEME }, { signal }),
    );
  if (authorization === 'key') return await withHiddenAuth(tpm, key, { signal }, certify);

  const certifyByPolicy = async (): Promise<Certification> => {
    const session = await startSession(tpm, { type: 'policy', use: { continueSession: false }, signal });
    return await withCleanup(
      async () => {
        const policySession = session.sessionHandle;
        await tpm.run(PolicyCommandCode, { policySession, code: TPM_CC.Certify }, { signal });
        await tpm.run(PolicyOR, { policySession, pHashList: windowsHelloBranches() }, { signal });
        return await certify({ ...entityOf(key), auth: { session } });
      },
      () => session.close(),
    );
  };
  return await tpm.turn(certifyByPolicy, { signal });
}

/** Options of {@link certifyCreation}. */
export interface CertifyCreationOptions extends SignalOptions {
  /** The key whose creation is certified. It is not used, so it needs no authorization. */
  readonly key: number | TpmObject;
  /** How the TPM made the key. */
  readonly creation: Creation;
  readonly ak: AttestationKey;
  /** As for {@link certifyKey}. */
  readonly challenge: Uint8Array;
}

/**
 * Has an attestation key certify where and how the TPM made a key. TPM2_CertifyCreation, Part 3, 18.3.
 * @throws RangeError unless the challenge has 1 to 64 bytes; TpmError if the TPM refuses.
 */
export async function certifyCreation(tpm: Tpm, options: CertifyCreationOptions): Promise<CreationProof> {
  options = checkMembers('certifyCreation', options, 'key ak creation challenge:bytes signal');
  checkObject(options, 'options of certifyCreation', 'key', 'ak', 'creation');
  return await proveCreation(tpm, { ...options, challenge: checkChallenge(options.challenge) });
}

/**
 * Has an attestation key certify its own creation. The extraData is the nonce that it was made with, if any.
 * `verifyAttestationKey`, a KeyAttestationStatement and go-attestation require this proof.
 * @throws TpmError if the TPM refuses.
 *
 * @example
 * ```ts
 * import { openTpm } from 'keyprov';
 * import { certifyOwnCreation, createAttestationKey, verifyAttestationKey } from 'keyprov/attestation';
 *
 * await using tpm = await openTpm();
 * await using ak = await createAttestationKey(tpm, { algorithm: 'auto' });
 * const akCreation = await certifyOwnCreation(tpm, ak);
 * console.log(verifyAttestationKey(ak.pubArea, akCreation).ok); // true
 * ```
 */
export async function certifyOwnCreation(
  tpm: Tpm,
  ak: AttestationKey,
  { signal }: SignalOptions = {},
): Promise<CreationProof> {
  checkObject(ak, 'the attestation key', 'object', 'creation:object');
  const { object: key, creation } = ak;
  return await proveCreation(tpm, { key, creation, ak, challenge: creation.creationData.outsideInfo, signal });
}

/** Options of {@link attestKey}. */
export interface AttestKeyOptions extends CertifyKeyOptions {
  /** How the TPM made the key, to certify that as well. */
  readonly creation?: Creation | undefined;
  /** Certifies the creation of the attestation key too. Default false. */
  readonly akCreation?: boolean | undefined;
  /** X.509 certificates of the attestation key in DER: its own first, then those up to the root. */
  readonly akCertificates?: readonly Uint8Array[] | undefined;
}

/**
 * Has a key certified, builds the statement, and verifies it, because the TPM's responses may have been altered on their
 * way; signatures by algorithms that {@link verifyStatement} does not support, such as SM2, are not verified. Judges no
 * attributes of the keys and no algorithms: {@link verifyStatement} does that for the recipient.
 * @throws like {@link certifyKey}; KeyprovError `tpm-session` if the statement does not verify; TpmError
 * `tpm-unsupported` for a key whose Name keyprov cannot compute, such as one by SM3: use {@link certifyKey}.
 *
 * @example
 * ```ts
 * import { openTpm } from 'keyprov';
 * import { attestKey, createAttestationKey } from 'keyprov/attestation';
 *
 * declare const challenge: Uint8Array; // from the service
 *
 * await using tpm = await openTpm();
 * await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
 * const statement = await attestKey(tpm, { key: 0x81000001, ak, challenge });
 * console.log(statement.certInfo.length, statement.signature.length);
 * ```
 */
export async function attestKey(tpm: Tpm, options: AttestKeyOptions): Promise<AttestationStatement> {
  options = checkMembers(
    'attestKey',
    options,
    'key ak challenge:bytes authorization:=key|windows-hello-policy? creation akCreation:boolean? akCertificates:certificates? signal',
  );
  const { creation, akCreation = false, akCertificates: certificates, ...certifying } = options;
  const { key, authorization: _, ...common } = certifying;
  const { ak, signal } = common;
  const { handle, name } = entityOf(key);
  const certification = await certifyKey(tpm, certifying);
  const { outPublic } = await tpm.run(ReadPublic, { objectHandle: handle }, { signal });
  checkComputable(outPublic, ...(akCreation ? [ak.publicArea] : []));
  const statement: AttestationStatement = {
    version: 1,
    pubArea: encode(TPMT_PUBLIC, outPublic),
    ...certification,
    ak: { pubArea: ak.pubArea, ...(certificates && { certificates }) },
    ...(creation && { creation: await certifyCreation(tpm, { ...common, key: handle, creation }) }),
    ...(akCreation && { akCreation: await certifyOwnCreation(tpm, ak, { signal }) }),
  };
  checkUnaltered(statement, common, name ?? (handle instanceof TpmObject ? handle.name : undefined));
  return statement;
}

/** What a key is, and not whether the TPM's responses arrived unaltered. */
const PROPERTIES: readonly CheckId[] = ['key-attributes', 'key-strength', 'ak-attributes', 'ak-strength'];
const SIGNATURES: readonly CheckId[] = ['signature', 'creation/signature', 'ak-creation/signature'];

/** Whether `verifyStatement` supports the signatures of the key with this public area. */
function canVerify(signer: TpmtPublic): boolean {
  if (signer.type !== TPM_ALG.RSA && signer.type !== TPM_ALG.ECC) return false;
  const { scheme } = signer.parameters.scheme;
  if (signer.type === TPM_ALG.RSA) return scheme === TPM_ALG.RSASSA || scheme === TPM_ALG.RSAPSS;
  const { NIST_P256, NIST_P384, NIST_P521 } = TPM_ECC;
  return scheme === TPM_ALG.ECDSA && [NIST_P256, NIST_P384, NIST_P521].some((id) => id === signer.parameters.curveID);
}

/** @throws TpmError `tpm-unsupported` for keys whose Names keyprov cannot compute, although the recipient may. */
function checkComputable(...areas: readonly TpmtPublic[]): void {
  const foreign = areas.find(({ nameAlg }) => !isHashAlg(nameAlg));
  if (foreign === undefined) return;
  const alg = `0x${foreign.nameAlg.toString(16)}`;
  throw new TpmError(
    'tpm-unsupported',
    `keyprov cannot check the attestation of a key with the name algorithm ${alg}`,
    {
      remedy: 'use a key whose name algorithm is SHA-256, or call certifyKey, which does not check the result',
    },
  );
}

function checkUnaltered(
  statement: AttestationStatement,
  { ak, challenge }: Pick<AttestKeyOptions, 'ak' | 'challenge'>,
  name: Uint8Array | undefined,
): void {
  const { findings } = verifyStatement(statement, {
    challenge,
    attestationKey: { pubArea: ak.pubArea },
    expectedKey: name && { name },
    acceptSha1: true,
  });
  const ignored = canVerify(ak.publicArea) ? PROPERTIES : [...PROPERTIES, ...SIGNATURES];
  const failed = findings.filter(({ id, status }) => status === 'fail' && !ignored.includes(id));
  if (failed.length === 0) return;
  const problems = failed.map(({ id, detail }) => `${id}: ${detail}`).join('; ');
  throw new KeyprovError('tpm-session', `the TPM's statement does not verify (${problems})`, {
    remedy: 'try again; if it happens again, do not trust the connection to this TPM until you know the cause',
  });
}

/** TPM_ALG_NULL: the scheme in the public area of the signing key. */
const OWN_SCHEME = { scheme: TPM_ALG.NULL } as const;

async function proveCreation(tpm: Tpm, options: CertifyCreationOptions): Promise<CreationProof> {
  const { key, creation, ak, challenge, signal } = options;
  const { creationData, creationHash, creationTicket } = creation;
  const result = await tpm.run(
    CertifyCreation,
    {
      signHandle: ak.object,
      objectHandle: key,
      qualifyingData: challenge,
      creationHash,
      inScheme: OWN_SCHEME,
      creationTicket,
    },
    { signal },
  );
  return { creationData: encode(TPMS_CREATION_DATA, creationData), ...certificationOf(result) };
}

const certificationOf = ({ certifyInfo, signature }: CertifyResult): Certification => ({
  certInfo: certifyInfo,
  signature: encode(TPMT_SIGNATURE, signature),
});
