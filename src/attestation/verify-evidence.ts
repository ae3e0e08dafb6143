import type { Bytes } from '../bytes.ts';
import { authorityOf } from '../crypto/authority-cache.ts';
import { weaknessOf } from '../crypto/key-strength.ts';
import { decodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { verifySignature } from '../crypto/verify-signature.ts';
import type { Certificate } from '../crypto/x509.ts';
import type { Finding } from '../finding.ts';
import { isJsonObject } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { computeSoftwareKeyMessage, type Evidence, type SoftwareKeyEvidence, TIERS, type Tier } from './evidence.ts';
import { type CheckId, Findings, lazy } from './findings.ts';
import { isSpki } from './key-checks.ts';
import type { AttestationStatement, PublicPart } from './statement.ts';
import { type Party, type TrustOptions, trustAttestationKey } from './trust-attestation-key.ts';
import { checkStatement, type VerifyOptions } from './verify.ts';
import { subjectOf } from './verify-certification.ts';

/** What to trust, and what the evidence must prove. */
export interface VerifyEvidenceOptions extends Omit<VerifyOptions, 'attestationKey'>, TrustOptions {
  /** The lowest tier to accept. */
  readonly minTier: Tier;
  /** As in `verifyStatement`; applies to certificates too. */
  readonly acceptSha1?: boolean | undefined;
  /** Set it if you know that the TPM is an emulator's or hypervisor's: the tier is then `virtual`. Default false. */
  readonly virtual?: boolean | undefined;
}

/** The members of {@link VerifyEvidenceOptions} but those for the challenge and the key, for `checkMembers`. */
export const TRUST_MEMBERS = [
  'minTier:=software|virtual|tpm-no-ek-certificate|ek-certificate|activated virtual:boolean? time:date?',
  'akRoots:certificates? ekRoots:certificates? intermediates:certificates?',
  'trustedAks:trusted? activation ekAllowList:identities? allowedManufacturers:texts? acceptEkPurpose:boolean?',
  'acceptSha1:boolean? akNonce:bytes? akParent:bytes? keyParent:bytes? keepAuthorities:boolean?',
] as const;

/** The result of {@link verifyEvidence}. The key is present only if the evidence passes and reaches `minTier`. */
export type EvidenceResult =
  | {
      readonly ok: true;
      readonly tier: Tier;
      readonly publicKey: PublicKey;
      /** For a key in a TPM: the Name of its attestation key, to keep for `trustedAks`. */
      readonly akName: Bytes | undefined;
      readonly findings: readonly Finding<CheckId>[];
    }
  | {
      readonly ok: false;
      /** The tier that the evidence proves, which is too low; `undefined` if it proves nothing. */
      readonly tier: Tier | undefined;
      readonly findings: readonly Finding<CheckId>[];
    };

/**
 * Verifies a client's evidence of where its key is, and returns the tier that it proves. Needs no TPM.
 *
 * An attestation key is trusted by its certificate (`akRoots`), by an `activation` with an endorsement key that has a
 * certificate (`ekRoots`) or is on the list (`ekAllowList`), or because it is known (`trustedAks`). The best of these
 * gives the tier; without any, nothing passes. Ignores certificates for which no roots are given, and those of an
 * endorsement key without activation. Everything else must be right, except the certificate of an endorsement key on
 * the list.
 *
 * Makes every check, each with a finding, and never throws because of the evidence.
 *
 * @throws TypeError for an unknown option, one of another kind or a `minTier` that does not exist; KeyprovError
 * `certificate-invalid` for a root that cannot be read.
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { parseCertificate, decodeStatement, verifyEvidence } from 'keyprov/attestation';
 *
 * declare const received: { evidence: unknown; spki: Uint8Array }; // from the client
 * declare const challenge: Uint8Array; // the one that you issued
 *
 * const result = await verifyEvidence(decodeStatement(received.evidence), {
 *   challenge,
 *   expectedKey: { spki: received.spki }, // the key that is being registered
 *   akRoots: [await parseCertificate(await readFile('attestation-ca.der'))],
 *   minTier: 'tpm-no-ek-certificate',
 * });
 * if (result.ok) console.log(result.tier, result.publicKey);
 * else console.log(result.tier, result.findings.filter(({ status }) => status === 'fail'));
 * ```
 */
export async function verifyEvidence(evidence: Evidence, options: VerifyEvidenceOptions): Promise<EvidenceResult> {
  options = checkMembers('verifyEvidence', options, 'challenge:bytes expectedKey:identity?', ...TRUST_MEMBERS);
  const { minTier, virtual = false } = options;
  const readRoots = (roots: readonly (Uint8Array | Certificate)[] = []): Promise<Certificate[]> =>
    Promise.all(roots.map((root) => authorityOf(root, options.keepAuthorities)));
  const [akRoots, ekRoots] = await Promise.all([readRoots(options.akRoots), readRoots(options.ekRoots)]);
  const findings = new Findings();
  let shown: Shown | undefined;
  try {
    const given: unknown = evidence;
    if (!isJsonObject(given)) throw new TypeError('it is not an object');
    shown =
      'spki' in evidence
        ? verifySoftwareKey(evidence, findings, options)
        : await verifyTpmKey(evidence, findings, { ...options, akRoots, ekRoots });
  } catch (error) {
    // It does not have the form of its type, such as JSON that was not read with decodeStatement.
    findings.check('structures', () => `the evidence cannot be read: ${String(error)}`);
  }
  const isGood = findings.list.every((one) => one.status === 'pass' || shown?.excused.includes(one));
  const best = isGood ? bestOf(shown?.tiers ?? []) : undefined;
  const tier = virtual && best !== 'software' && best !== undefined ? 'virtual' : best;
  const isEnough = tier !== undefined && TIERS.indexOf(tier) >= TIERS.indexOf(minTier);
  findings.check(
    'tier',
    () =>
      isEnough
        ? undefined
        : `'${minTier}' is required, but the evidence proves ${tier === undefined ? 'nothing' : `only '${tier}'`}`,
    `the evidence proves '${tier}'`,
  );
  const { list } = findings;
  if (!isEnough || shown === undefined) return { ok: false, tier, findings: list };
  return { ok: true, tier, publicKey: shown.publicKey(), akName: shown.akName?.(), findings: list };
}

/** What the evidence shows if all findings but the excused ones are good. */
interface Shown {
  readonly tiers: readonly Tier[];
  readonly publicKey: () => PublicKey;
  readonly akName?: () => Bytes;
  readonly excused: readonly Finding<CheckId>[];
}

const bestOf = (tiers: readonly Tier[]): Tier | undefined => TIERS.findLast((tier) => tiers.includes(tier));

async function verifyTpmKey(
  statement: AttestationStatement,
  findings: Findings,
  options: VerifyEvidenceOptions,
): Promise<Shown> {
  const ak = partyOf(statement.ak);
  const ek = statement.ek && partyOf(statement.ek);
  const { tiers, problem, excused } = await trustAttestationKey(findings, { ak, ek }, options);
  const key = checkStatement(findings, statement, options, () => (tiers.length > 0 ? undefined : problem));
  return { tiers, publicKey: () => publicKeyOf(key.area()), akName: ak.key.name, excused };
}

const partyOf = ({ pubArea, certificates = [] }: PublicPart): Party => ({
  key: subjectOf(() => pubArea),
  certificates,
});

function verifySoftwareKey(
  { spki, signature }: SoftwareKeyEvidence,
  findings: Findings,
  { challenge, expectedKey, keyParent, akParent, akNonce }: VerifyEvidenceOptions,
): Shown {
  const publicKey = lazy(() => decodeSpki(spki));
  findings.check('structures', () => {
    publicKey();
    return undefined;
  });
  if (expectedKey !== undefined) {
    findings.check('public-key', () => (isSpki(spki, expectedKey) ? undefined : 'it is not the expected key'));
  }
  // Otherwise a client could avoid these expectations with a software key.
  for (const [check, expected] of [
    ['key-parent', keyParent],
    ['ak-parent', akParent],
    ['ak-creation/challenge', akNonce],
  ] as const) {
    if (expected !== undefined) findings.check(check, () => 'a software key is not in a TPM');
  }
  findings.check('key-strength', () => weaknessOf(publicKey()));
  findings.check('possession', () => {
    const key = publicKey();
    const format = key.kty === 'RSA' ? 'pkcs1' : 'der';
    const isGood = verifySignature(key, 'sha256', computeSoftwareKeyMessage(challenge, spki), signature, format);
    return isGood ? undefined : 'the signature does not verify';
  });
  return { tiers: ['software'], publicKey, excused: [] };
}
