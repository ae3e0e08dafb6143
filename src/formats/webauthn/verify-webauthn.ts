import type { Tier } from '../../attestation/evidence.ts';
import { type CheckId, Findings } from '../../attestation/findings.ts';
import {
  type EvidenceResult,
  TRUST_MEMBERS,
  type VerifyEvidenceOptions,
  verifyEvidence,
} from '../../attestation/verify-evidence.ts';
import { checkBytes, equal } from '../../bytes.ts';
import type { Finding } from '../../finding.ts';
import { checkMembers } from '../../known-members.ts';
import { HASHES, TPM_ALG } from '../../tpm/constants.ts';
import { requestInvalid } from '../x509/in-request.ts';
import { findAaguidProblem, findAkCertificateProblem, findAkPublicArea } from './ak-certificate-rules.ts';
import { findCredentialAlgorithmProblem } from './cose-key.ts';
import { findCoseScheme } from './tpm-attestation-object.ts';
import {
  type AttestedCredential,
  type AuthenticatorData,
  computeRpIdHash,
  decodeAuthenticatorData,
} from './webauthn-authenticator-data.ts';
import { parseWebauthnClientData, type WebauthnClientData } from './webauthn-client-data.ts';
import type { WebauthnRegistration } from './webauthn-registration.ts';
import {
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  statementFromWebauthnTpm,
  type WebauthnTpm,
} from './webauthn-tpm.ts';

/** What {@link verifyWebauthnTpm} trusts and expects. */
export interface VerifyWebauthnOptions extends Omit<VerifyEvidenceOptions, 'expectedKey'> {
  /** The relying party's challenge, issued for this registration only. */
  readonly challenge: Uint8Array;
  readonly rpId: string;
  /** The relying party's origins that may register keys: `https://login.example`. */
  readonly origins: readonly string[];
  /** Whether the user must have been verified, with a PIN or otherwise. Default true. */
  readonly requireUserVerification?: boolean | undefined;
  /** Whether the page may have been in a frame from another origin. Default false. */
  readonly acceptCrossOrigin?: boolean | undefined;
  /**
   * Algorithms that the credential's key may have, see `COSE_ALG`: those that you sent in `pubKeyCredParams`. Default: each
   * one that suits the key.
   */
  readonly algorithms?: readonly number[] | undefined;
  /**
   * TPMT_PUBLIC of the attestation key, if known from its enrolment. Absent: the certificate's issuer vouches that it
   * is an attestation key, see `akRoots`.
   */
  readonly akPubArea?: Uint8Array | undefined;
}

/** The name of a check of {@link verifyWebauthnTpm}, for programs. */
export type WebauthnCheck =
  | CheckId
  | 'webauthn/structures'
  | 'webauthn/type'
  | 'webauthn/challenge'
  | 'webauthn/origin'
  | 'webauthn/rp-id'
  | 'webauthn/user'
  | 'webauthn/backup'
  | 'webauthn/algorithm'
  | 'webauthn/ak-certificate'
  | 'webauthn/aaguid'
  | 'webauthn/ak-key';

/** The result of {@link verifyWebauthnTpm}. The credential is present only if every check has passed. */
export type WebauthnResult =
  | {
      readonly ok: true;
      readonly tier: Tier;
      readonly credential: AttestedCredential;
      readonly authenticatorData: AuthenticatorData;
      readonly findings: readonly Finding<WebauthnCheck>[];
    }
  | { readonly ok: false; readonly findings: readonly Finding<WebauthnCheck>[] };

/**
 * Verifies a registration with an attestation object of the format `tpm`: the client data and authenticator data
 * (WebAuthn Level 3, 7.1), the rules for the attestation key's certificate (8.3, 8.3.1), and, by `verifyEvidence`, that
 * the key is in a TPM. Runs all checks, each with a finding. Never throws because of the client's input.
 *
 * @throws TypeError for arguments of the wrong type or an unknown `minTier`; KeyprovError `certificate-invalid` for an
 * unreadable root.
 *
 * @example
 * ```ts
 * import { parseWebauthnRegistration, verifyWebauthnTpm } from 'keyprov/formats/webauthn';
 *
 * declare const body: string; // the page sent JSON.stringify(await navigator.credentials.create(…))
 * declare const [challenge, akRoots]: [Uint8Array, Uint8Array[]]; // the challenge you issued, the roots you trust
 * const trust = { challenge, rpId: 'login.example', origins: ['https://login.example'], akRoots };
 * const result = await verifyWebauthnTpm(parseWebauthnRegistration(body), { ...trust, minTier: 'ek-certificate' });
 * if (result.ok) console.log(result.credential.credentialId, result.credential.key);
 * else console.log(result.findings.filter(({ status }) => status === 'fail'));
 * ```
 */
export async function verifyWebauthnTpm(
  registration: WebauthnRegistration,
  options: VerifyWebauthnOptions,
): Promise<WebauthnResult> {
  options = checkMembers(
    'verifyWebauthnTpm',
    options,
    'challenge:bytes rpId:text origins:texts akPubArea:bytes? requireUserVerification:boolean?',
    'acceptCrossOrigin:boolean? algorithms:list?',
    ...TRUST_MEMBERS,
  );
  checkBytes(
    registration?.attestationObject,
    'attestationObject of a registration (parseWebauthnRegistration reads JSON)',
  );
  checkBytes(registration.clientDataJson, 'clientDataJson of a registration (parseWebauthnRegistration reads JSON)');
  const findings = new Findings<WebauthnCheck>();
  const received = read(findings, registration);
  if (received === undefined) return { ok: false, findings: findings.list };
  const { object, clientData, authenticatorData, credential } = received;
  const [certificate = new Uint8Array(0)] = object.certificates;
  checkClientData(findings, clientData, options);
  checkAuthenticatorData(findings, authenticatorData, options);
  findings.check('webauthn/algorithm', () => findCredentialAlgorithmProblem(credential.key, options.algorithms));
  findings.check(
    'webauthn/ak-certificate',
    () => findAkCertificateProblem(certificate),
    'it meets the rules (WebAuthn Level 3, 8.3.1)',
  );
  findings.check('webauthn/aaguid', () => findAaguidProblem(certificate, credential.aaguid), 'it has no other AAGUID');

  const found = await verifyObject(findings, object, registration, options);
  const isGood = findings.list.every(({ status }) => status === 'pass');
  if (!found?.ok || !isGood) return { ok: false, findings: findings.list };
  return { ok: true, tier: found.tier, credential, authenticatorData, findings: findings.list };
}

interface Received {
  readonly object: WebauthnTpm;
  readonly clientData: WebauthnClientData;
  readonly authenticatorData: AuthenticatorData;
  readonly credential: AttestedCredential;
}

/** Reads a registration. Anything unreadable becomes a finding. */
function read(
  findings: Findings<WebauthnCheck>,
  { attestationObject, clientDataJson }: WebauthnRegistration,
): Received | undefined {
  return findings.make('webauthn/structures', () => {
    const object = decodeWebauthnTpm(attestationObject);
    const authenticatorData = decodeAuthenticatorData(object.authData);
    const { credential } = authenticatorData;
    if (credential === undefined) throw requestInvalid('authenticator data', 'there is no credential');
    return { object, clientData: parseWebauthnClientData(clientDataJson), authenticatorData, credential };
  });
}

function checkClientData(
  findings: Findings<WebauthnCheck>,
  { type, challenge, origin, crossOrigin }: WebauthnClientData,
  options: VerifyWebauthnOptions,
): void {
  findings.check('webauthn/type', () => (type === 'webauthn.create' ? undefined : `its type is ${type}`));
  findings.check('webauthn/challenge', () =>
    equal(challenge, options.challenge) ? undefined : 'it is for another challenge',
  );
  findings.check('webauthn/origin', () => {
    if (!options.origins.includes(origin)) return `${JSON.stringify(origin)} is not an allowed origin`;
    return crossOrigin && !options.acceptCrossOrigin ? 'the page was in a frame from another origin' : undefined;
  });
}

function checkAuthenticatorData(
  findings: Findings<WebauthnCheck>,
  { rpIdHash, userPresent, userVerified, backupEligible, backedUp }: AuthenticatorData,
  { rpId, requireUserVerification = true }: VerifyWebauthnOptions,
): void {
  findings.check('webauthn/rp-id', () =>
    equal(rpIdHash, computeRpIdHash(rpId)) ? undefined : 'it is for another RP ID',
  );
  findings.check('webauthn/user', () => {
    if (!userPresent) return 'the user was not present';
    return userVerified || !requireUserVerification ? undefined : 'the user was not verified';
  });
  findings.check('webauthn/backup', () =>
    backedUp && !backupEligible ? 'it is backed up, but not eligible for backup' : undefined,
  );
}

/** Verifies the attestation statement. Anything that it lacks becomes a finding. */
async function verifyObject(
  findings: Findings<WebauthnCheck>,
  object: WebauthnTpm,
  { clientDataJson }: WebauthnRegistration,
  {
    akPubArea: known,
    rpId,
    origins,
    requireUserVerification,
    acceptCrossOrigin,
    algorithms,
    ...trust
  }: VerifyWebauthnOptions,
): Promise<EvidenceResult | undefined> {
  const made = findings.make('webauthn/ak-key', () => {
    const { authData, algorithm } = object;
    const akPubArea = findAkPublicArea(object, known);
    const { hashAlg = TPM_ALG.SHA256 } = findCoseScheme(algorithm) ?? {};
    const challenge = computeWebauthnExtraData({ authData, clientDataJson }, HASHES[hashAlg].name);
    return { statement: statementFromWebauthnTpm(object, akPubArea), challenge };
  });
  if (made === undefined) return undefined;
  const result = await verifyEvidence(made.statement, { ...trust, challenge: made.challenge });
  findings.add(result.findings);
  return result;
}
