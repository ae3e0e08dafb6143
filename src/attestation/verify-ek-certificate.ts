import { checkBytes, equal } from '../bytes.ts';
import { weaknessOf } from '../crypto/key-strength.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { type ChainOptions, verifyChain } from '../crypto/verify-chain.ts';
import { type Certificate, KEY_USAGE } from '../crypto/x509.ts';
import { sayError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { checkMembers } from '../known-members.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';
import { type EkCertificate, parseEkCertificate } from './ek-certificate.ts';
import { type EkCertificateCheck, Findings } from './findings.ts';
import { manufacturerProblem } from './tpm-manufacturers.ts';

/** The purpose of an endorsement key certificate: tcg-kp-EKCertificate. */
export const EK_CERTIFICATE_PURPOSE = '2.23.133.8.1';

/** Options of {@link verifyEkCertificate}. */
export interface VerifyEkCertificateOptions extends Omit<ChainOptions, 'extendedKeyUsage' | 'mayLackPurpose'> {
  /** The endorsement key that the certificate must be for. If absent, only the certificate is checked. */
  readonly ek?: TpmtPublic | undefined;
  /**
   * Accepted TPM manufacturers, in the form used in certificates (`id:494E5443`; case is ignored). Default: {@link
   * TPM_MANUFACTURERS}, the registered ones. swtpm's `id:00001014` is not registered: list it to accept it.
   */
  readonly allowedManufacturers?: readonly string[] | undefined;
}

/** The outcome of {@link verifyEkCertificate}. */
export interface EkCertificateResult {
  readonly ok: boolean;
  readonly findings: readonly Finding<EkCertificateCheck>[];
  /** The certificate, if it can be read. Trust it only if `ok`. */
  readonly certificate: EkCertificate | undefined;
}

/**
 * Verifies an endorsement key certificate, in any form that `parseEkCertificate` reads: its chain to one of the roots,
 * the purpose tcg-kp-EKCertificate (2.23.133.8.1), its key, and the maker of the TPM. TCG EK Credential Profile for TPM
 * 2.0, 3.2. Needs no TPM. Makes every check, each with a finding; never throws because of the certificates.
 *
 * @throws KeyprovError `certificate-invalid` for a root that cannot be read; TypeError for an unknown option.
 */
export async function verifyEkCertificate(
  der: Uint8Array,
  options: VerifyEkCertificateOptions,
): Promise<EkCertificateResult> {
  options = checkMembers(
    'verifyEkCertificate',
    options,
    'ek roots:certificates intermediates:certificates? time:date? allowedManufacturers:texts? acceptSha1:boolean?',
    'keepAuthorities:boolean?',
  );
  checkBytes(der, 'an endorsement key certificate');
  const { ek, allowedManufacturers } = options;
  let parsed: EkCertificate | undefined;
  let problem: string | undefined;
  try {
    parsed = await parseEkCertificate(der);
  } catch (error) {
    problem = sayError(error);
  }
  const chain = await verifyChain(parsed?.certificate ?? der, { ...options, extendedKeyUsage: EK_CERTIFICATE_PURPOSE });
  const findings = new Findings<EkCertificateCheck>();
  const { list } = findings;
  findings.add(chain.findings.map((one) => ({ ...one, id: `chain/${one.id}` })));
  findings.check('ek-certificate', () => problem, 'the certificate can be read');
  if (parsed !== undefined) {
    const { certificate, manufacturer, specification } = parsed;
    if (ek !== undefined) findings.check('ek-key', () => keyProblem(certificate, ek), 'it is for the endorsement key');
    findings.check('ek-key-usage', () => usageProblem(certificate), 'its key usage allows use as an endorsement key');
    findings.check('ek-strength', () => weaknessOf(certificate.publicKey()), 'its key is strong enough');
    const makerProblem = () => manufacturerProblem(manufacturer, allowedManufacturers);
    findings.check('ek-manufacturer', makerProblem, `the TPM manufacturer is ${manufacturer}`);
    const family = specification?.family ?? '2.0';
    const familyProblem = family === '2.0' ? undefined : `it is for TPM family ${family}`;
    findings.check('ek-specification', () => familyProblem, 'it is for a TPM 2.0');
  }
  return { ok: list.every(({ status }) => status === 'pass'), findings: list, certificate: parsed };
}

function keyProblem(certificate: Certificate, ek: TpmtPublic): string | undefined {
  const isSame = equal(encodeSpki(certificate.publicKey()), encodeSpki(publicKeyOf(ek)));
  return isSame ? undefined : 'it is for another key';
}

/** RSA keys encrypt seeds, keys on a curve agree on them. EK Credential Profile, 3.2.11. */
function usageProblem(certificate: Certificate): string | undefined {
  const { keyUsage } = certificate;
  const bit = certificate.publicKey().kty === 'RSA' ? KEY_USAGE.keyEncipherment : KEY_USAGE.keyAgreement;
  return keyUsage === undefined || keyUsage.has(bit)
    ? undefined
    : 'its key usage does not allow use as an endorsement key';
}
