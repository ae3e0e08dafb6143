import { checkBytes, checkObject, EMPTY, equal } from '../bytes.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { checkMembers } from '../known-members.ts';
import { TPM_ST } from '../tpm/constants.ts';
import { qualifiedName } from '../tpm/names.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { TpmsCreationData } from '../tpm/structures/object.ts';
import { type CheckId, Findings } from './findings.ts';
import { type Attributes, attributeProblem, isKey, type KeyIdentity, strengthProblem } from './key-checks.ts';
import type { AttestationStatement, CreationProof } from './statement.ts';
import { type Subject, subjectOf, verifyCertification, verifyCreation } from './verify-certification.ts';

/** What the statement must prove. */
export interface VerifyOptions {
  /**
   * The exact extraData: the challenge that you issued for this statement only. Empty for statements made without a
   * challenge; these do not show when they were made.
   */
  readonly challenge: Uint8Array;
  /**
   * The attestation key that you trust, because of its certificate or an activated credential. If you identify it by
   * `spki` or `spkiSha256`, which do not show its attributes, the certificate or the activation must also vouch for the
   * attributes in the statement.
   */
  readonly attestationKey: KeyIdentity;
  /** The key that must have been certified, such as the one in a certificate request. */
  readonly expectedKey?: KeyIdentity | undefined;
  /** Qualified name of the parent of the certified key. That of a hierarchy is its handle, big endian. Part 1, 26.5. */
  readonly keyParent?: Uint8Array | undefined;
  /** Qualified name of the parent of the attestation key. */
  readonly akParent?: Uint8Array | undefined;
  /** The nonce that the creation data of the attestation key must hold. A statement without `akCreation` then fails. */
  readonly akNonce?: Uint8Array | undefined;
  /** Accepts signatures and Names made with SHA-1, as Windows' attestation keys have them. Default false. */
  readonly acceptSha1?: boolean | undefined;
}

/** The result of a verification. The key is present only if every check has passed. */
export type VerificationResult =
  | { readonly ok: true; readonly publicKey: PublicKey; readonly findings: readonly Finding<CheckId>[] }
  | { readonly ok: false; readonly findings: readonly Finding<CheckId>[] };

/**
 * Verifies that the key of `statement` was made in the TPM that holds a trusted attestation key, cannot leave it, and
 * was certified over `challenge`. Needs no TPM and trusts nothing in the statement. `verifyEvidence` also finds out
 * whether to trust the attestation key.
 *
 * Makes every check, each with a finding, and never throws because of the statement. Checks a creation only if the
 * statement has one, and an optional expectation, such as `keyParent`, only if you set it. A statement that lacks what
 * an expectation needs fails.
 *
 * @throws TypeError for an unknown option or one of another kind.
 *
 * @example
 * ```ts
 * import { type KeyIdentity, decodeStatement, verifyStatement } from 'keyprov/attestation';
 *
 * declare const received: unknown; // the JSON that the client sent
 * declare const kept: { challenge: Uint8Array; attestationKey: KeyIdentity }; // the challenge you issued, the key you trust
 *
 * const result = verifyStatement(decodeStatement(received), kept);
 * if (result.ok) console.log(result.publicKey);
 * else console.log(result.findings.filter(({ status }) => status === 'fail'));
 * ```
 */
export function verifyStatement(statement: AttestationStatement, options: VerifyOptions): VerificationResult {
  const findings = new Findings();
  options = checkMembers(
    'verifyStatement',
    options,
    'challenge:bytes attestationKey:identity expectedKey:identity? akNonce:bytes? akParent:bytes? keyParent:bytes?',
    'acceptSha1:boolean?',
  );
  const { attestationKey } = options;
  const trustProblem = (ak: Subject) =>
    isKey(ak, attestationKey) ? undefined : 'it is not the trusted attestation key';
  return resultOf(findings, checkStatement(findings, statement, options, trustProblem));
}

/**
 * Makes the checks of {@link verifyStatement}. `trustProblem` returns or throws the reason not to trust the attestation
 * key.
 * @returns the certified key.
 */
export function checkStatement(
  findings: Findings,
  statement: AttestationStatement,
  options: Omit<VerifyOptions, 'attestationKey'>,
  trustProblem: (ak: Subject) => string | undefined,
): Subject {
  const { challenge, expectedKey, keyParent, akParent, akNonce, acceptSha1 = false } = options;
  const key = subjectOf(() => statement.pubArea);
  const ak = subjectOf(() => statement.ak.pubArea);
  const common = { findings, signer: ak, acceptSha1 };

  const certified = verifyCertification(statement, {
    ...common,
    prefix: '',
    type: TPM_ST.ATTEST_CERTIFY,
    subject: key,
    challenge: () => challenge,
  });
  const keyQualifiedName = () => {
    const { attested } = certified();
    return 'qualifiedName' in attested ? attested.qualifiedName : EMPTY;
  };

  findings.check('ak-trusted', () => trustProblem(ak));
  if (akParent !== undefined)
    findings.check('ak-parent', () => parentProblem(ak, akParent, certified().qualifiedSigner));

  if (expectedKey !== undefined) {
    findings.check('public-key', () => (isKey(key, expectedKey) ? undefined : 'it is not the expected key'));
  }
  findings.check('key-attributes', () => {
    const { objectAttributes: has } = key.area();
    if (!has.sign && !has.decrypt) return 'neither sign nor decrypt is set';
    return attributeProblem(has, KEY_SET, KEY_CLEAR);
  });
  findings.check('key-strength', () => strengthProblem(key));
  if (keyParent !== undefined) findings.check('key-parent', () => parentProblem(key, keyParent, keyQualifiedName()));

  const { creation, akCreation } = statement;
  if (creation !== undefined) {
    verifyCreation(creation, {
      ...common,
      prefix: 'creation/',
      subject: key,
      challenge: () => challenge,
      qualifiedName: keyQualifiedName,
    });
  }
  checkAttestationKey(findings, ak, akCreation, { nonce: akNonce, acceptSha1 });
  return key;
}

/** What the attestation key's creation proof must show. */
export interface VerifyAttestationKeyOptions {
  /** The nonce that the creation data must hold. */
  readonly nonce?: Uint8Array | undefined;
  /** As for {@link verifyStatement}. */
  readonly acceptSha1?: boolean | undefined;
}

/**
 * Verifies that a key claims to be an attestation key and has certified its own creation. An attestation CA checks this
 * before it challenges the TPM to activate a credential for the key; alone it proves nothing.
 *
 * Makes every check, each with a finding, and never throws because of what the bytes say.
 * @throws TypeError for anything but bytes, and for an unknown option.
 */
export function verifyAttestationKey(
  pubArea: Uint8Array,
  akCreation: CreationProof,
  options: VerifyAttestationKeyOptions = {},
): VerificationResult {
  options = checkMembers('verifyAttestationKey', options, 'nonce:bytes? acceptSha1:boolean?');
  checkBytes(pubArea, 'the public area of an attestation key');
  checkObject(akCreation, 'the creation proof of an attestation key', 'creationData', 'certInfo', 'signature');
  const findings = new Findings();
  const ak = subjectOf(() => pubArea);
  checkAttestationKey(findings, ak, akCreation, options);
  return resultOf(findings, ak);
}

function checkAttestationKey(
  findings: Findings,
  ak: Subject,
  creation: CreationProof | undefined,
  { nonce, acceptSha1 = false }: VerifyAttestationKeyOptions,
): void {
  findings.check('ak-attributes', () => attributeProblem(ak.area().objectAttributes, AK_SET, AK_CLEAR));
  findings.check('ak-strength', () => strengthProblem(ak));
  if (creation === undefined) {
    if (nonce !== undefined) findings.check('ak-creation/challenge', () => 'no creation proof contains the nonce');
    return;
  }
  verifyCreation(creation, {
    findings,
    signer: ak,
    acceptSha1,
    prefix: 'ak-creation/',
    subject: ak,
    challenge: (creationData) => nonceIn(creationData, nonce),
    // It signs itself, so the qualified name of the signer is its own.
    qualifiedName: ({ qualifiedSigner }) => qualifiedSigner,
  });
}

function resultOf({ list }: Findings, { area }: Subject): VerificationResult {
  if (list.some(({ status }) => status === 'fail')) return { ok: false, findings: list };
  return { ok: true, publicKey: publicKeyOf(area()), findings: list };
}

const KEY_SET: Attributes = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin'];
const KEY_CLEAR: Attributes = ['restricted', 'encryptedDuplication'];
const AK_SET: Attributes = [...KEY_SET, 'restricted', 'sign'];
const AK_CLEAR: Attributes = ['decrypt', 'encryptedDuplication'];

function parentProblem({ name }: Subject, parent: Uint8Array, qualified: Uint8Array): string | undefined {
  return equal(qualifiedName(parent, name()), qualified) ? undefined : 'its qualified name belongs to another parent';
}

/** Creation data and extraData both hold the nonce, if there was one: microsoft/TSS.MSR, PCPTool. */
function nonceIn({ outsideInfo }: TpmsCreationData, nonce: Uint8Array | undefined): Uint8Array {
  if (nonce === undefined || equal(outsideInfo, nonce)) return outsideInfo;
  throw new KeyprovError('statement-invalid', "the creation data's outsideInfo is not the nonce");
}
