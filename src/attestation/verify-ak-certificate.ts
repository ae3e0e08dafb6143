import { concat, equal, fromHex, toBase64, toHex } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { type ChainOptions, verifyChain } from '../crypto/verify-chain.ts';
import { type Certificate, KEY_USAGE } from '../crypto/x509.ts';
import { isKeyprovError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { checkMembers } from '../known-members.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { type EkCertificate, parseEkCertificate } from './ek-certificate.ts';
import { type CheckId, Findings } from './findings.ts';
import { manufacturerProblem } from './tpm-manufacturers.ts';
import type { Subject } from './verify-certification.ts';
import { EK_CERTIFICATE_PURPOSE } from './verify-ek-certificate.ts';

/** tcg-kp-AIKCertificate: the purpose of an attestation key certificate. */
const AK_CERTIFICATE_PURPOSE = '2.23.133.8.3';

/** The expectations of {@link verifyAkCertificate}. */
export interface VerifyAkCertificateOptions extends Omit<ChainOptions, 'extendedKeyUsage' | 'mayLackPurpose'> {
  readonly ak: Subject;
  /**
   * The endorsement key and its certificate, if any. If the attestation key's certificate identifies an endorsement
   * key, it must be this one.
   */
  readonly ek: { readonly key: Subject; readonly certificate: Uint8Array | undefined } | undefined;
  /** As for `verifyEkCertificate`. */
  readonly allowedManufacturers?: readonly string[] | undefined;
  /** As for `verifyEvidence`. */
  readonly acceptEkPurpose?: boolean | undefined;
}

/** The outcome. Trust the certificate only if `ok`. */
export interface AkCertificateResult {
  readonly ok: boolean;
  readonly findings: readonly Finding<CheckId>[];
  readonly certificate: EkCertificate | undefined;
}

/**
 * Verifies the certificate of an attestation key in DER: its chain to one of the roots, its purpose, its key, and the
 * maker of the TPM (WebAuthn Level 3, 8.3.1). Never throws because of the certificates.
 * @throws TypeError for an unknown option or one of another kind.
 */
export async function verifyAkCertificate(
  der: Uint8Array,
  given: VerifyAkCertificateOptions,
): Promise<AkCertificateResult> {
  given = checkMembers(
    'verifyAkCertificate',
    given,
    'ak ek roots:certificates intermediates:certificates? time:date? allowedManufacturers:texts? acceptEkPurpose:boolean?',
    'acceptSha1:boolean? keepAuthorities:boolean?',
  );
  const { ak, ek, allowedManufacturers, acceptEkPurpose = false, ...options } = given;
  const parsed = await readOrNothing(der);
  const purposes = parsed?.certificate.extendedKeyUsage;
  const verifyFor = (extendedKeyUsage: string) =>
    verifyChain(parsed?.certificate ?? der, { ...options, extendedKeyUsage, mayLackPurpose: acceptEkPurpose });
  const isForEk = acceptEkPurpose && purposes?.includes(EK_CERTIFICATE_PURPOSE) === true;
  let chain = await verifyFor(isForEk ? EK_CERTIFICATE_PURPOSE : AK_CERTIFICATE_PURPOSE);
  if (!chain.ok && acceptEkPurpose && purposes === undefined) {
    // It has the purpose of its authorities, which must be one of the two as well.
    const ekChain = await verifyFor(EK_CERTIFICATE_PURPOSE);
    if (ekChain.ok) chain = ekChain;
  }
  const findings = new Findings();
  findings.add(chain.findings.map((one) => ({ ...one, id: `ak-chain/${one.id}` })));
  if (parsed !== undefined) {
    const { certificate, manufacturer } = parsed;
    findings.check('ak-key', () => {
      const isSame = equal(encodeSpki(certificate.publicKey()), encodeSpki(publicKeyOf(ak.area())));
      return isSame ? undefined : 'the certificate is for another key';
    });
    findings.check('ak-key-usage', () =>
      certificate.keyUsage?.has(KEY_USAGE.digitalSignature) === false
        ? 'its key usage does not allow signatures'
        : undefined,
    );
    findings.check('ak-manufacturer', () => manufacturerProblem(manufacturer, allowedManufacturers));
    if (ek !== undefined) {
      findings.check('ak-ek', () =>
        isOfEk(certificate, ek.key, ek.certificate) ? undefined : 'it is for another endorsement key',
      );
    }
  }
  return { ok: findings.list.every(({ status }) => status === 'pass'), findings: findings.list, certificate: parsed };
}

/** A certificate that cannot be read is a finding of the chain. */
async function readOrNothing(der: Uint8Array): Promise<EkCertificate | undefined> {
  try {
    return await parseEkCertificate(der);
  } catch (error) {
    if (isKeyprovError(error, 'certificate-invalid')) return undefined;
    throw error;
  }
}

/**
 * In DER: an otherName that is a PermanentIdentifier (RFC 4043, 2) of 64 letters, assigned by tcg-on-ekPermIdSha256.
 */
const EK_IDENTIFIER = {
  before: fromHex('a05706082b06010505070803a04b30490c40'),
  after: fromHex('06056781050c01'),
};
/** Before the SHA-256 of the key's SubjectPublicKeyInfo in base64: smallstep. */
const EK_URN = 'urn:ek:sha256:';

/** Tells whether every endorsement key that the certificate identifies is this one. It need not identify any. */
function isOfEk({ subjectAltNames }: Certificate, ek: Subject, ekCertificate: Uint8Array | undefined): boolean {
  return subjectAltNames.every((name) => {
    if (name.kind === 'uri' && name.value.startsWith(EK_URN)) {
      return name.value === EK_URN + toBase64(digest('sha256', encodeSpki(publicKeyOf(ek.area()))));
    }
    if (name.kind !== 'other' || ekCertificate === undefined) return true;
    const { before, after } = EK_IDENTIFIER;
    const text = name.der.subarray(before.length, before.length + 64);
    if (!equal(name.der, concat(before, text, after))) return true;
    return new TextDecoder().decode(text).toLowerCase() === toHex(digest('sha256', ekCertificate));
  });
}
