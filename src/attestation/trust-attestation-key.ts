import type { ChainCheck, ChainOptions } from '../crypto/verify-chain.ts';
import type { Certificate } from '../crypto/x509.ts';
import type { Finding } from '../finding.ts';
import { isVirtualByCertificate } from '../tpm/virtual.ts';
import type { EkCertificate } from './ek-certificate.ts';
import type { Tier } from './evidence.ts';
import type { CheckId, EkCertificateCheck, Findings } from './findings.ts';
import {
  type Attributes,
  attributeProblem,
  isKey,
  type KeyIdentity,
  type ObjectIdentity,
  strengthProblem,
} from './key-checks.ts';
import { verifyAkCertificate } from './verify-ak-certificate.ts';
import type { Subject } from './verify-certification.ts';
import { verifyEkCertificate } from './verify-ek-certificate.ts';

/** An attestation key that the verifier knows, and its tier. */
export interface TrustedAttestationKey {
  readonly key: KeyIdentity;
  /** The tier of the keys that it certifies, such as the one reached at its enrolment. */
  readonly tier: Exclude<Tier, 'software'>;
}

/** An activation that the verifier has checked: a TPM with both keys answered its challenge. */
export interface Activation {
  readonly ak: ObjectIdentity;
  readonly ek: ObjectIdentity;
}

/** What makes a verifier trust an attestation key. */
export interface TrustOptions {
  /** Roots of the CAs that certify attestation keys, in DER, or read once with `parseCertificate`. */
  readonly akRoots?: readonly (Uint8Array | Certificate)[] | undefined;
  /** TPM makers' roots, for endorsement key certificates. They are used only with an `activation`. */
  readonly ekRoots?: readonly (Uint8Array | Certificate)[] | undefined;
  /** Certificates between those roots and the evidence, in the same form. They are not trusted by themselves. */
  readonly intermediates?: readonly (Uint8Array | Certificate)[] | undefined;
  /**
   * Endorsement keys that are trusted without a certificate. They are used only with an `activation`. Each one is
   * compared, so from a long list pass only the key that belongs to the evidence.
   */
  readonly ekAllowList?: readonly KeyIdentity[] | undefined;
  /** Attestation keys that the verifier knows. */
  readonly trustedAks?: readonly TrustedAttestationKey[] | undefined;
  /** The verifier's own record of an activation, never one from the client. */
  readonly activation?: Activation | undefined;
  /** When certificates must be valid. Default: now. */
  readonly time?: Date | undefined;
  /** As for `verifyEkCertificate`; here for the certificates of attestation keys too. */
  readonly allowedManufacturers?: readonly string[] | undefined;
  /** Accepts signatures made with SHA-1. Default false. */
  readonly acceptSha1?: boolean | undefined;
  /**
   * Accepts attestation key certificates with the purpose of endorsement keys (tcg-kp-EKCertificate), or without a
   * purpose, such as those from Google's CA for Compute Engine's virtual TPMs. Give `akRoots` of such a CA only: the
   * purpose is what tells its certificates apart. Default false.
   */
  readonly acceptEkPurpose?: boolean | undefined;
  /** As for `verifyEkCertificate`: keeps CA certificates in memory for the next verification. Default true. */
  readonly keepAuthorities?: boolean | undefined;
}

/** A key in evidence, and its certificates: its own first. */
export interface Party {
  readonly key: Subject;
  readonly certificates: readonly Uint8Array[];
}

/** How an attestation key is trusted. */
export interface Trust {
  /** The tier that each way of trust proves; empty if it is not trusted. */
  readonly tiers: readonly Tier[];
  /** Why it is not trusted, for people. */
  readonly problem: string;
  /** Findings that may fail, because the verifier's own list replaces them. */
  readonly excused: readonly Finding<CheckId>[];
}

/** Limits for the certificates of one key: more than any TPM has, so that no sender can cost a verifier much time. */
const MOST = { certificates: 10, bytes: 10_240 };

/** Tries every way to trust an attestation key, with a finding for each check. */
export async function trustAttestationKey(
  findings: Findings,
  { ak, ek }: { readonly ak: Party; readonly ek: Party | undefined },
  options: TrustOptions,
): Promise<Trust> {
  const { akRoots = [], ekRoots = [], ekAllowList = [], trustedAks = [], activation } = options;
  const tiers: Tier[] = [];
  const problems: string[] = [];
  const excused: Finding<CheckId>[] = [];
  findings.check('trust', () =>
    akRoots.length + ekRoots.length + ekAllowList.length + trustedAks.length > 0
      ? undefined
      : 'no roots, endorsement keys or attestation keys to trust were given',
  );
  findings.check('certificates', () => tooManyProblem(ak) ?? (ek && tooManyProblem(ek)));

  if (akRoots.length > 0) {
    const tier = await byAkCertificate(findings, { ak, ek }, { ...options, roots: akRoots });
    if (tier !== undefined) tiers.push(tier);
    else
      problems.push(
        ak.certificates.length > 0
          ? "the attestation key's certificate failed a check"
          : 'the attestation key has no certificate',
      );
  }

  if (ek !== undefined) {
    findings.check('ek-attributes', () => attributeProblem(ek.key.area().objectAttributes, EK_SET, EK_CLEAR));
    findings.check('ek-strength', () => strengthProblem(ek.key));
  }
  if (activation !== undefined && ek !== undefined) {
    findings.check('activation', () => activationProblem(activation, { ak, ek }));
    const isListed = ekAllowList.some((one) => isIt(ek.key, one));
    if (isListed) {
      findings.check('ek-listed', () => undefined);
      tiers.push('tpm-no-ek-certificate');
    }
    const found: Finding<CheckId>[] = [];
    const tier = ekRoots.length > 0 ? await byEkCertificate(found, ek, { ...options, roots: ekRoots }) : undefined;
    findings.add(found);
    if (tier !== undefined) tiers.push(tier);
    else if (isListed) excused.push(...found);
    else problems.push('the endorsement key is not on the allow list, and has no certificate that passed the checks');
  } else if (ekRoots.length + ekAllowList.length > 0) {
    problems.push(
      'no activation proves that the attestation key is in the same TPM as an endorsement key in the evidence',
    );
  }

  const known = trustedAks.filter(({ key }) => isIt(ak.key, key));
  tiers.push(...known.map(({ tier }) => tier));
  if (known.length === 0 && trustedAks.length > 0) problems.push('the attestation key is not in trustedAks');
  return { tiers, problem: problems.join('; ') || 'nothing is trusted', excused };
}

type CertificateOptions = TrustOptions & { readonly roots: readonly (Uint8Array | Certificate)[] };

async function byAkCertificate(
  findings: Findings,
  { ak, ek }: { readonly ak: Party; readonly ek: Party | undefined },
  options: CertificateOptions,
): Promise<Tier | undefined> {
  const [own, ...above] = certificatesOf(ak);
  if (own === undefined) return undefined;
  const {
    findings: found,
    certificate,
    ok,
  } = await verifyAkCertificate(own, {
    ...chainOptions(above, options),
    acceptEkPurpose: options.acceptEkPurpose,
    ak: ak.key,
    ek: ek && { key: ek.key, certificate: ek.certificates[0] },
  });
  findings.add(found);
  if (!ok || certificate === undefined) return undefined;
  // A CA that issues for endorsement keys on a list has no maker to put into the certificate.
  return certifiedTier(
    certificate,
    certificate.manufacturer === 'id:00000000' ? 'tpm-no-ek-certificate' : 'ek-certificate',
  );
}

async function byEkCertificate(
  found: Finding<CheckId>[],
  ek: Party,
  options: CertificateOptions,
): Promise<Tier | undefined> {
  const [own, ...above] = certificatesOf(ek);
  if (own === undefined) return undefined;
  const area = readable(ek.key.area);
  if (area === undefined) return undefined;
  const result = await verifyEkCertificate(own, { ...chainOptions(above, options), ek: area });
  // The public area was judged before, and the certificate is for the same key.
  found.push(...result.findings.filter(({ id }) => id !== 'ek-strength').map(asFinding));
  return result.ok && result.certificate !== undefined ? certifiedTier(result.certificate, 'activated') : undefined;
}

function tooManyProblem({ certificates }: Party): string | undefined {
  const bytes = certificates.reduce((sum, { length }) => sum + length, 0);
  const isTooMuch = certificates.length > MOST.certificates || bytes > MOST.bytes;
  return isTooMuch
    ? `${certificates.length} certificates with ${bytes} bytes; the limits are ${MOST.certificates} certificates and ${MOST.bytes} bytes`
    : undefined;
}

/** The certificate of the key itself, and those above it. */
const certificatesOf = (party: Party): readonly Uint8Array[] =>
  tooManyProblem(party) === undefined ? party.certificates : [];

const chainOptions = (
  above: readonly Uint8Array[],
  { roots, intermediates = [], time, acceptSha1, keepAuthorities, allowedManufacturers }: CertificateOptions,
): Omit<ChainOptions, 'extendedKeyUsage' | 'mayLackPurpose'> & {
  readonly allowedManufacturers: readonly string[] | undefined;
} => ({
  roots,
  intermediates: [...above, ...intermediates],
  time,
  acceptSha1,
  keepAuthorities,
  allowedManufacturers,
});

/** An emulator may have a certificate too, which says so. */
const certifiedTier = (certificate: EkCertificate, best: Tier): Tier =>
  isVirtualByCertificate(certificate) ? 'virtual' : best;

const EK_SET: Attributes = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'decrypt'];
const EK_CLEAR: Attributes = ['sign', 'encryptedDuplication'];

function activationProblem(activation: Activation, { ak, ek }: Record<'ak' | 'ek', Party>): string | undefined {
  if (!isKey(ak.key, activation.ak)) return 'the activation was made for another attestation key';
  return isKey(ek.key, activation.ek) ? undefined : 'the activation was made for another endorsement key';
}

const isIt = (subject: Subject, identity: KeyIdentity): boolean => readable(() => isKey(subject, identity)) ?? false;

/** Returns the result of `read`; `undefined` if the key cannot be read, for which there are other checks. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const isOfChain = (check: EkCertificateCheck): check is `chain/${ChainCheck}` => check.startsWith('chain/');

const asFinding = ({ id, ...rest }: Finding<EkCertificateCheck>): Finding<CheckId> => ({
  id: isOfChain(id) ? `ek-${id}` : id,
  ...rest,
});
