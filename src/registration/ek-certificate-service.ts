import type { EkCertificateFetcher, EkInfo } from '../attestation/read-ek-certificates.ts';
import { type Bytes, concat, equal, fromBase64Url, fromHex, toBase64Url, toHex, unpadded } from '../bytes.ts';
import { onlyCertificate } from '../crypto/certificate-bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { decodeSpki, encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { parseCertificate } from '../crypto/x509.ts';
import { isKeyprovError, sayError } from '../errors.ts';
import { JsonMembers } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { LIMIT } from '../limits.ts';
import { answerError, statusError } from './answer-error.ts';
import { exchange } from './exchange.ts';
import type { ServiceAnswer, ServiceOptions } from './service-message.ts';
import { baseUrl } from './service-url.ts';

/** Options of {@link ekCertificateService}. */
export interface EkCertificateServiceOptions extends Omit<ServiceOptions, 'signal'> {
  /** Base URLs of a mirror, instead of the makers' services. */
  readonly urls?: { readonly intel?: string | URL; readonly amd?: string | URL } | undefined;
}

/** How a manufacturer's service identifies a key, and the form of its response. */
interface MakerService {
  readonly url: string;
  readonly pathOf: (key: PublicKey) => string;
  readonly certificateOf: (answer: ServiceAnswer) => Uint8Array;
}

const SERVICES = {
  /**
   * Name: SHA-256 of modulus and exponent, or of both coordinates, in padded base64url. Answer: the certificate, in the
   * same encoding in JSON.
   */
  intel: {
    url: 'https://ekop.intel.com/ekcertservice/',
    pathOf: (key) => {
      const base64 = toBase64Url(digest('sha256', key.kty === 'RSA' ? concat(key.n, key.e) : concat(key.x, key.y)));
      return encodeURIComponent(`${base64}=`);
    },
    certificateOf: ({ text }) => {
      const certificate = JsonMembers.parse('the response', text).text('certificate');
      return fromBase64Url(unpadded(certificate.replaceAll('%3D', '=')));
    },
  },
  /**
   * Name: the first half of SHA-256 of 0x2222 or 0x4444, then exponent and modulus or both coordinates. Answer: the
   * certificate in DER.
   */
  amd: {
    url: 'https://ftpm.amd.com/pki/aia/',
    pathOf: (key) => {
      const parts =
        key.kty === 'RSA'
          ? [fromHex('00002222'), new Uint8Array(Math.max(4 - key.e.length, 0)), key.e, key.n]
          : [fromHex('00004444'), key.x, key.y];
      return toHex(digest('sha256', concat(...parts)).subarray(0, 16));
    },
    certificateOf: ({ bytes }) => bytes,
  },
} as const satisfies Record<string, MakerService>;

/** TPM_PT_MANUFACTURER of the makers that have such a service. */
const MAKERS: Readonly<Record<string, keyof typeof SERVICES | undefined>> = { INTC: 'intel', AMD: 'amd' };

/**
 * Returns a fetcher that asks the makers whose TPMs may lack their endorsement key certificate: Intel (EKOP, firmware
 * TPMs before the 11th generation) and AMD (fTPM). It sends only a digest of the public key, which identifies the TPM.
 * It follows no redirects. It finds nothing for TPMs of other makers, or if the service has no certificate (status
 * 404).
 *
 * @throws TypeError for a wrong option.
 * @returns the fetcher, for `readEkCertificates` and `attestationCaEnrolment`. It throws ServiceError `service-…`, with
 * `service-answer` also for a certificate of another key. The certificate is not verified: see `verifyEkCertificate`.
 *
 * @example
 * ```ts
 * import { openTpm } from 'keyprov/tpm';
 * import { openEndorsementKey, readEkCertificates } from 'keyprov/attestation/endorsement';
 * import { ekCertificateService } from 'keyprov/registration';
 *
 * await using tpm = await openTpm();
 * await using ek = await openEndorsementKey(tpm);
 * const fetcher = { ek: ek.publicArea, lookUp: ekCertificateService() };
 * const { certificates } = await readEkCertificates(tpm, { fetcher });
 * console.log(certificates.length);
 * ```
 */
export function ekCertificateService(options: EkCertificateServiceOptions = {}): EkCertificateFetcher {
  const { urls = {}, ...service } = checkMembers(
    'ekCertificateService',
    options,
    'urls timeoutMs:number? fetch:function? headers',
  );
  return async ({ spki, vendor }: EkInfo, { signal }) => {
    const maker = MAKERS[vendor.manufacturer];
    if (maker === undefined) return [];
    const { url, pathOf, certificateOf }: MakerService = SERVICES[maker];
    const request = {
      method: 'GET',
      url: new URL(pathOf(decodeSpki(spki)), baseUrl(urls[maker] ?? url)),
      headers: { accept: '*/*' },
      limit: LIMIT.structure,
    } as const;
    const answer = await exchange(request, { ...service, signal });
    if (answer.status === 404) return [];
    if (!answer.ok) throw statusError(answer);
    return [await understood(answer, spki, certificateOf)];
  };
}

/** Reads the certificate in the response, and checks that it is for this key. */
async function understood(
  answer: ServiceAnswer,
  spki: Uint8Array,
  certificateOf: MakerService['certificateOf'],
): Promise<Bytes> {
  let der: Bytes;
  let found: Bytes;
  try {
    der = onlyCertificate(certificateOf(answer));
    found = encodeSpki((await parseCertificate(der)).publicKey());
  } catch (error) {
    if (!isKeyprovError(error) && !(error instanceof TypeError)) throw error;
    throw answerError(answer, sayError(error), { cause: error });
  }
  if (!equal(found, spki))
    throw answerError(answer, 'the endorsement key certificate in the response is for another key');
  return der;
}
