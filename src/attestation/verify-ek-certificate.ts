import { checkBytes, equal } from '../bytes.ts';
import { weaknessOf } from '../crypto/key-strength.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { type ChainCheck, type ChainOptions, verifyChain } from '../crypto/verify-chain.ts';
import { type Certificate, KEY_USAGE } from '../crypto/x509.ts';
import { sayError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { checkMembers } from '../known-members.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';
import { type EkCertificate, parseEkCertificate } from './ek-certificate.ts';
import { manufacturerProblem } from './tpm-manufacturers.ts';

/** The purpose of an endorsement key certificate: tcg-kp-EKCertificate. */
export const EK_CERTIFICATE_PURPOSE = '2.23.133.8.1';

/** The name of a check of {@link verifyEkCertificate}, for programs. */
export type EkCertificateCheck =
  | `chain/${ChainCheck}`
  | 'ek-certificate'
  | 'ek-key'
  | 'ek-key-usage'
  | 'ek-strength'
  | 'ek-manufacturer'
  | 'ek-specification';

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
  let problem = '';
  try {
    parsed = await parseEkCertificate(der);
  } catch (error) {
    problem = sayError(error);
  }
  const chain = await verifyChain(parsed?.certificate ?? der, { ...options, extendedKeyUsage: EK_CERTIFICATE_PURPOSE });
  const findings: Finding<EkCertificateCheck>[] = chain.findings.map((one) => ({ ...one, id: `chain/${one.id}` }));
  if (parsed === undefined) findings.push({ id: 'ek-certificate', status: 'fail', detail: problem });
  if (parsed !== undefined) {
    const { certificate, manufacturer, specification } = parsed;
    const check = (name: EkCertificateCheck, holds: string, test: () => string | undefined): void => {
      const detail = problemOf(test);
      findings.push({ id: name, status: detail === undefined ? 'pass' : 'fail', detail: detail ?? holds });
    };
    check('ek-certificate', 'the certificate can be read', () => undefined);
    if (ek !== undefined) check('ek-key', 'it is for the endorsement key', () => keyProblem(certificate, ek));
    check('ek-key-usage', 'its key usage allows use as an endorsement key', () => usageProblem(certificate));
    check('ek-strength', 'its key is strong enough', () => weaknessOf(certificate.publicKey()));
    check('ek-manufacturer', `the TPM manufacturer is ${manufacturer}`, () =>
      manufacturerProblem(manufacturer, allowedManufacturers),
    );
    check('ek-specification', 'it is for a TPM 2.0', () => {
      const family = specification?.family ?? '2.0';
      return family === '2.0' ? undefined : `it is for TPM family ${family}`;
    });
  }
  return { ok: findings.every(({ status }) => status === 'pass'), findings, certificate: parsed };
}

/** The problem that `test` returns or throws: a check that cannot be made has not passed. */
function problemOf(test: () => string | undefined): string | undefined {
  try {
    return test();
  } catch (error) {
    return sayError(error);
  }
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
