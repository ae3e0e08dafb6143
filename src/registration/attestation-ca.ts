import { activateCredential } from '../attestation/activate.ts';
import type { AttestationKey } from '../attestation/attestation-key.ts';
import { certifyOwnCreation } from '../attestation/certify.ts';
import { type EndorsementKey, openEndorsementKey } from '../attestation/endorsement-key.ts';
import { type EkCertificateFetcher, readEkCertificates } from '../attestation/read-ek-certificates.ts';
import { type Bytes, equal, wipe } from '../bytes.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { parseCertificate } from '../crypto/x509.ts';
import { ServiceError } from '../errors/service-error.ts';
import { causedBy, isKeyprovError, rethrowAs, withCleanup } from '../errors.ts';
import { decodeSmallstepCredential } from '../formats/services/credential-encodings.ts';
import { buildSmallstepAttest, buildSmallstepSecret, parseSmallstepChain } from '../formats/services/smallstep.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { readVendor } from '../tpm/capabilities.ts';
import { encode } from '../tpm/codec/index.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { postJson } from './json-service.ts';
import { SERVICE_MEMBERS, type ServiceOptions } from './service-message.ts';
import { baseUrl } from './service-url.ts';

/** Options of {@link enrolAttestationKey}. */
export interface EnrolAttestationKeyOptions extends ServiceOptions {
  /** Base URL of the attestation CA; its `attest` and `secret` are below it. https, or http to a loopback address. */
  readonly url: string | URL;
  readonly ek: EndorsementKey;
  /** The endorsement key's certificates in DER, its own first. Absent: the CA must already know the key. */
  readonly ekCertificates?: readonly Uint8Array[] | undefined;
  readonly ak: AttestationKey;
}

/**
 * Has an attestation CA certify an attestation key, using smallstep's protocol: the CA encrypts a credential to the
 * endorsement key. Returning the secret in it proves that both keys are in the same TPM.
 *
 * @returns X.509 certificates in DER, that of the attestation key first. Its chain is not verified: see `verifyChain`.
 * @throws TypeError for a URL without https, except for loopback addresses.
 * @throws KeyprovError with a `service-…` code: `service-refused` with the status, `service-answer` also for a
 * certificate of another key; `credential-invalid` if the CA's credential is not for these keys.
 */
export async function enrolAttestationKey(tpm: Tpm, options: EnrolAttestationKeyOptions): Promise<Bytes[]> {
  options = checkMembers('enrolAttestationKey', options, 'url ek ak ekCertificates:certificates?', SERVICE_MEMBERS);
  const { ek, ekCertificates, ak, signal } = options;
  const base = baseUrl(options.url);
  const post = (path: string, body: object) => postJson(new URL(path, base), body, options, refusalMeaning);

  const request = buildSmallstepAttest({
    vendor: await readVendor(tpm, { signal }),
    ek: { pubArea: encode(TPMT_PUBLIC, ek.publicArea), ...(ekCertificates && { certificates: ekCertificates }) },
    ak: ak,
    akCreation: await certifyOwnCreation(tpm, ak, { signal }),
  });
  const challenge = await post('attest', request);
  const credential = understood(base, () => decodeSmallstepCredential(challenge));
  const secret = await activateCredential(tpm, { ek, ak: ak.object, credential, signal });
  const answer = await post('secret', buildSmallstepSecret(secret)).finally(() => wipe(secret));
  const chain = understood(base, () => parseSmallstepChain(answer));
  await checkIsFor(ak, chain, base);
  return chain;
}

/**
 * Returns a function that enrols attestation keys with an attestation CA, using the TPM's endorsement key and the
 * certificates in the TPM. `provision` takes it as `enrolAk`. It throws as {@link enrolAttestationKey} and
 * `openEndorsementKey` do.
 * @throws TypeError for a wrong option.
 */
export function attestationCaEnrolment(
  options: Pick<EnrolAttestationKeyOptions, 'url' | 'fetch' | 'timeoutMs' | 'headers'> & {
    /** Fetches the endorsement key's certificate if the TPM has none, such as `ekCertificateService()`. */
    readonly lookUpEk?: EkCertificateFetcher | undefined;
  },
): (tpm: Tpm, ak: AttestationKey, more: SignalOptions) => Promise<Bytes[]> {
  const { lookUpEk, ...service } = checkMembers(
    'attestationCaEnrolment',
    options,
    'url fetch:function? timeoutMs:number? headers lookUpEk:function?',
  );
  return async (tpm, ak, { signal }) => {
    const ek = await openEndorsementKey(tpm, { signal });
    return await withCleanup(
      async () => {
        const fetcher = lookUpEk && { ek: ek.publicArea, lookUp: lookUpEk };
        const { certificates, chain } = await readEkCertificates(tpm, { signal, fetcher });
        const own = certificates.findLast(({ source, nv }) => source === 'fetched' || nv?.template === ek.template);
        const ekCertificates = own && { ekCertificates: [own.der, ...chain] };
        return await enrolAttestationKey(tpm, { ...service, ...ekCertificates, ek, ak, signal });
      },
      () => ek.release(),
    );
  };
}

/** The CA has no accounts: it refuses TPMs. */
const refusalMeaning = (status: number): { readonly remedy?: string } =>
  status === 401 || status === 403
    ? { remedy: "check the endorsement key's certificate, and whether the CA trusts its issuer" }
    : {};

function understood<T>(url: URL, read: () => T): T {
  return rethrowAs(read, (cause) =>
    isKeyprovError(cause)
      ? new ServiceError('service-answer', `${url.href}: ${cause.message}`, causedBy(cause))
      : undefined,
  );
}

async function checkIsFor({ publicArea }: AttestationKey, [leaf]: readonly Uint8Array[], url: URL): Promise<void> {
  let problem = 'the certificate in the response is for another key';
  try {
    const certificate = await parseCertificate(leaf ?? new Uint8Array(0));
    if (equal(encodeSpki(certificate.publicKey()), encodeSpki(publicKeyOf(publicArea)))) return;
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    problem = error.message;
  }
  throw new ServiceError('service-answer', `${url.href}: ${problem}`);
}
