import type { Tier } from '../../attestation/evidence.ts';
import { type CheckId, Findings } from '../../attestation/findings.ts';
import { TRUST_MEMBERS, type VerifyEvidenceOptions, verifyEvidence } from '../../attestation/verify-evidence.ts';
import { checkBytes } from '../../bytes.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import type { Finding } from '../../finding.ts';
import { checkMembers } from '../../known-members.ts';
import { findCertifiedAk } from '../tcg/certified-ak.ts';
import { type CertificateRequest, parseCertificateRequest, verifyCertificateRequest } from './certificate-request.ts';
import { requestInvalid } from './in-request.ts';
import {
  decodeTpmCertify,
  parseLampsAttestation,
  statementFromTpmCertify,
  TPM_CERTIFY_STATEMENT,
} from './lamps-attestation.ts';

/** What {@link verifyAttestedRequest} trusts and expects. */
export interface VerifyAttestedRequestOptions extends Omit<VerifyEvidenceOptions, 'expectedKey'> {
  /** TPMT_PUBLIC of the attestation key, if known. Absent: its certificate describes it, see `akRoots`. */
  readonly akPubArea?: Uint8Array | undefined;
}

/** The name of a check of {@link verifyAttestedRequest}, for programs. */
export type AttestedRequestCheck = CheckId | 'request/structures' | 'request/signature' | 'request/attestation';

/** The result of {@link verifyAttestedRequest}. The request is present only if every check has passed. */
export type AttestedRequestResult =
  | {
      readonly ok: true;
      readonly tier: Tier;
      readonly publicKey: PublicKey;
      readonly request: CertificateRequest;
      readonly findings: readonly Finding<AttestedRequestCheck>[];
    }
  | { readonly ok: false; readonly findings: readonly Finding<AttestedRequestCheck>[] };

/**
 * Verifies a PKCS#10 request (DER) that attests its key by the IETF LAMPS draft: that it is signed with its key, holds
 * one statement of TPM2_Certify, and, by `verifyEvidence`, that this statement is about the key. Runs all checks, each
 * with a finding. Never throws because of the request. The caller decides whether to certify the names in it.
 *
 * @throws TypeError for arguments of the wrong type or an unknown `minTier`; KeyprovError `certificate-invalid` for an
 * unreadable root.
 *
 * @example
 * ```ts
 * import { verifyAttestedRequest } from 'keyprov/formats/x509';
 *
 * // the request you received, the challenge you issued, the attestation CA roots you trust
 * declare const [der, challenge, akRoots]: [Uint8Array, Uint8Array, Uint8Array[]];
 * const result = await verifyAttestedRequest(der, { challenge, akRoots, minTier: 'ek-certificate' });
 * console.log(result.ok ? result.request.subject : result.findings.filter(({ status }) => status === 'fail'));
 * ```
 */
export async function verifyAttestedRequest(
  der: Uint8Array,
  options: VerifyAttestedRequestOptions,
): Promise<AttestedRequestResult> {
  options = checkMembers('verifyAttestedRequest', options, 'challenge:bytes akPubArea:bytes?', ...TRUST_MEMBERS);
  checkBytes(der, 'a certificate request');
  const findings = new Findings<AttestedRequestCheck>();
  const request = findings.make('request/structures', () => parseCertificateRequest(der));
  if (request === undefined) return { ok: false, findings: findings.list };
  findings.check(
    'request/signature',
    () => (verifyCertificateRequest(request) ? undefined : 'it is not signed with its own key'),
    'it is signed with its own key',
  );
  const statement = findings.make('request/attestation', () => statementIn(request, options.akPubArea));
  if (statement === undefined) return { ok: false, findings: findings.list };
  const { akPubArea: _, ...trust } = options;
  const result = await verifyEvidence(statement, { ...trust, expectedKey: { spki: request.spki } });
  findings.add(result.findings);
  const isGood = findings.list.every(({ status }) => status === 'pass');
  if (!result.ok || !isGood) return { ok: false, findings: findings.list };
  return { ok: true, tier: result.tier, publicKey: result.publicKey, request, findings: findings.list };
}

function statementIn({ attributes }: CertificateRequest, akPubArea: Uint8Array | undefined) {
  const what = 'attestation in a request';
  const [bundle, ...more] = parseLampsAttestation(attributes);
  const [only, ...others] = bundle?.attestations ?? [];
  if (bundle === undefined || only === undefined) throw requestInvalid(what, 'there is none');
  if (more.length + others.length > 0) throw requestInvalid(what, 'there is more than one statement');
  if (only.type !== TPM_CERTIFY_STATEMENT) throw requestInvalid(what, `its type is ${only.type}, not TPM2_Certify`);
  const certify = decodeTpmCertify(only.statement);
  const { certificates } = bundle;
  const ak = akPubArea === undefined ? findCertifiedAk(certify, certificates) : { pubArea: akPubArea, certificates };
  if (ak === undefined) throw requestInvalid(what, 'none of the certificates is for the key that signed it');
  return statementFromTpmCertify(certify, ak);
}
