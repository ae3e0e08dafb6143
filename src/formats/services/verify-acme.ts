import type { Tier } from '../../attestation/evidence.ts';
import { type CheckId, Findings } from '../../attestation/findings.ts';
import { TRUST_MEMBERS, type VerifyEvidenceOptions, verifyEvidence } from '../../attestation/verify-evidence.ts';
import { checkObject, equal } from '../../bytes.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { EXTENSION } from '../../crypto/x509.ts';
import type { Finding } from '../../finding.ts';
import { checkMembers } from '../../known-members.ts';
import { findAkCertificateProblem, findAkPublicArea } from '../webauthn/ak-certificate-rules.ts';
import type { TpmAttestationObject } from '../webauthn/tpm-attestation-object.ts';
import { decodeAlternativeNames, encodeAlternativeNames } from '../x509/alternative-names.ts';
import { readTbs } from '../x509/issue-certificate.ts';
import { computeAcmeExtraData, parseAcmeDeviceAttest, statementFromAcmeDeviceAttest } from './acme-device-attest.ts';
import type { DeviceName } from './acme-identifier.ts';

/** What {@link verifyAcmeDeviceAttest} trusts and expects. */
export interface VerifyAcmeOptions extends Omit<VerifyEvidenceOptions, 'challenge'> {
  /** The token of the challenge, issued for this response only. */
  readonly token: string;
  /** The account key, which signs the requests of the account that answers. */
  readonly accountKey: PublicKey;
  /** The device name in the order, which the attestation key's certificate must have. Absent: not checked. */
  readonly device?: DeviceName | undefined;
  /** TPMT_PUBLIC of the attestation key, if known. Absent: its certificate describes it, see `akRoots`. */
  readonly akPubArea?: Uint8Array | undefined;
}

/** The name of a check of {@link verifyAcmeDeviceAttest}, for programs. */
export type AcmeCheck = CheckId | 'acme/structures' | 'acme/ak-certificate' | 'acme/ak-key' | 'acme/device';

/** The result of {@link verifyAcmeDeviceAttest}. The key is present only if every check has passed. */
export type AcmeResult =
  | {
      readonly ok: true;
      readonly tier: Tier;
      /** The attested key. The later certificate request must be for this key. */
      readonly publicKey: PublicKey;
      readonly findings: readonly Finding<AcmeCheck>[];
    }
  | { readonly ok: false; readonly findings: readonly Finding<AcmeCheck>[] };

/**
 * Verifies the response to a `device-attest-01` challenge: WebAuthn's rules for the attestation key's certificate
 * (Level 3, 8.3.1), the name of the device, and, by `verifyEvidence`, that the key is in a TPM and was certified for
 * this token and account. Runs all checks, each with a finding. Never throws because of the response.
 *
 * @throws TypeError for arguments of the wrong type or an unknown `minTier`; KeyprovError `certificate-invalid` for an
 * unreadable root.
 *
 * @example
 * ```ts
 * import { verifyAcmeDeviceAttest } from 'keyprov/formats/services';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const [payload, token, accountKey, akRoots]: [string, string, PublicKey, Uint8Array[]];
 * const result = await verifyAcmeDeviceAttest(payload, { token, accountKey, akRoots, minTier: 'ek-certificate' });
 * console.log(result.ok ? result.publicKey : result.findings.filter(({ status }) => status === 'fail'));
 * ```
 */
export async function verifyAcmeDeviceAttest(payload: string, options: VerifyAcmeOptions): Promise<AcmeResult> {
  const members = 'token:text accountKey device akPubArea:bytes? expectedKey:identity?';
  options = checkMembers('verifyAcmeDeviceAttest', options, members, ...TRUST_MEMBERS);
  checkObject(options.accountKey, 'accountKey', 'kty');
  const { token, accountKey, device, akPubArea, ...trust } = options;
  const findings = new Findings<AcmeCheck>();
  const object = findings.make('acme/structures', () => parseAcmeDeviceAttest(payload));
  if (object === undefined) return { ok: false, findings: findings.list };
  const [certificate = new Uint8Array(0)] = object.certificates;
  findings.check('acme/ak-certificate', () => findAkCertificateProblem(certificate), 'its certificate meets the rules');
  if (device !== undefined)
    findings.check(
      'acme/device',
      () => deviceProblem(object, device),
      'its certificate is for the device of the order',
    );
  const statement = findings.make('acme/ak-key', () =>
    statementFromAcmeDeviceAttest(object, findAkPublicArea(object, akPubArea)),
  );
  if (statement === undefined) return { ok: false, findings: findings.list };
  const result = await verifyEvidence(statement, { ...trust, challenge: computeAcmeExtraData(token, accountKey) });
  findings.add(result.findings);
  const isGood = findings.list.every(({ status }) => status === 'pass');
  if (!result.ok || !isGood) return { ok: false, findings: findings.list };
  return { ok: true, tier: result.tier, publicKey: result.publicKey, findings: findings.list };
}

function deviceProblem({ certificates: [own] }: TpmAttestationObject, device: DeviceName): string | undefined {
  const extensions = own === undefined ? [] : readTbs(own).extensions();
  const names = extensions.find(({ oid }) => oid === EXTENSION.SUBJECT_ALT_NAME);
  const wanted = encodeAlternativeNames([device]);
  const has = names && decodeAlternativeNames(names.value).some((one) => equal(encodeAlternativeNames([one]), wanted));
  return has ? undefined : 'its certificate is not for the device of the order';
}
