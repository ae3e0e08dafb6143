import { type Bytes, checkBytes, checkList, checkObject, concat, copy, EMPTY, equal } from '../bytes.ts';
import { firstCertificate, splitCertificates } from '../crypto/certificate-bytes.ts';
import { encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { parseCertificate } from '../crypto/x509.ts';
import { isTpmError } from '../errors/tpm-error.ts';
import { isKeyprovError, type KeyprovError, sayError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';

import { listHandles, readVendor, type TpmVendor } from '../tpm/capabilities.ts';
import { TPM_HT } from '../tpm/constants.ts';
import { type ReadNvOptions, readNv } from '../tpm/nv.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';
import type { EkTemplateName } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';

import { EK_SLOTS } from './ek-slots.ts';

/** A certificate of an endorsement key, not verified. */
export interface FoundEkCertificate {
  readonly der: Bytes;
  readonly source: 'nv' | 'given' | 'fetched';
  /** The NV index from which it was read, and the endorsement key template for that index. */
  readonly nv?: { readonly index: number; readonly template: EkTemplateName | 'H-5' };
}

/** NV indices whose content cannot be used. */
export interface EkCertificateProblem {
  readonly indices: readonly number[];
  /** Why, for people. */
  readonly detail: string;
}

/** The result of {@link readEkCertificates}. Many TPMs hold no certificate: then the lists are empty. */
export interface EkCertificates {
  readonly certificates: readonly FoundEkCertificate[];
  /** More certificates in DER, from NV or a fetcher, which may lead from `certificates` to a root. */
  readonly chain: readonly Bytes[];
  readonly problems: readonly EkCertificateProblem[];
}

/** The endorsement key, for a fetcher: TPM makers' services look it up by a digest of the key. */
export interface EkInfo {
  readonly publicArea: TpmtPublic;
  /** The public key as SubjectPublicKeyInfo in DER. */
  readonly spki: Bytes;
  readonly vendor: TpmVendor;
}

/**
 * Fetches the certificates of an endorsement key: its own first, then those above it; an empty list if there are none.
 */
export type EkCertificateFetcher = (info: EkInfo, options: SignalOptions) => Promise<readonly Uint8Array[]>;

/** Options of {@link readEkCertificates}. */
export interface ReadEkCertificatesOptions extends ReadNvOptions {
  /** Certificates from a file: DER or PEM, one or several. */
  readonly given?: Uint8Array | undefined;
  /** Asked if neither the TPM nor `given` has a certificate of `ek`. */
  readonly fetcher?: { readonly ek: TpmtPublic; readonly lookUp: EkCertificateFetcher } | undefined;
}

const isChainIndex = (index: number): boolean => index >= 0x01c00100 && index <= 0x01c001ff;

/**
 * Collects the certificates of endorsement keys: all in the TPM's NV indices, the given ones, and if needed those of a
 * fetcher. TCG EK Credential Profile for TPM 2.0, 2.2.1.4 and 2.2.1.5. Verifies nothing: see `verifyEkCertificate`.
 *
 * @throws KeyprovError `certificate-invalid` if the given bytes are not certificates; any error of the fetcher.
 */
export async function readEkCertificates(tpm: Tpm, options: ReadEkCertificatesOptions = {}): Promise<EkCertificates> {
  options = checkMembers('readEkCertificates', options, 'given:bytes? fetcher ownerAuth signal');
  checkObject(tpm, 'tpm', 'run:function');
  const { given = EMPTY, fetcher, ownerAuth, signal } = options;
  const certificates: FoundEkCertificate[] = [];
  const problems: EkCertificateProblem[] = [];
  /** Returns what `use` makes of these indices in order; `undefined`, with a problem, if it fails. */
  const read = async <T>(indices: readonly number[], use: (content: Bytes) => T): Promise<T | undefined> => {
    try {
      const contents: Uint8Array[] = [];
      for (const index of indices) contents.push((await readNv(tpm, index, { ownerAuth, signal })) ?? EMPTY);
      return use(concat(...contents));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      problems.push({ indices, detail: sayError(error) });
      return undefined;
    }
  };
  const present = new Set(await listHandles(tpm, TPM_HT.NV_INDEX, { signal }));
  for (const { certificate: index, template } of EK_SLOTS.filter((slot) => present.has(slot.certificate))) {
    const der = await read([index], firstCertificate);
    if (der !== undefined) certificates.push({ der, source: 'nv', nv: { index, template } });
  }
  // A chain that is too long for one index continues in the next.
  const chain = (await read([...present].filter(isChainIndex), splitCertificates)) ?? [];
  certificates.push(...splitCertificates(given).map((der) => ({ der, source: 'given' }) as const));
  if (fetcher !== undefined && !(await hasCertificateOf(fetcher.ek, certificates))) {
    const { ek, lookUp } = fetcher;
    const info = { publicArea: ek, spki: encodeSpki(publicKeyOf(ek)), vendor: await readVendor(tpm, { signal }) };
    const fetched = await unlessAborted(() => lookUp(info, { signal }), signal);
    const [own, ...above] = checkList(fetched, 'the result of lookUp').map((der) => {
      checkBytes(der, 'each certificate of lookUp');
      return copy(der);
    });
    if (own !== undefined) certificates.push({ der: own, source: 'fetched' });
    chain.push(...above);
  }
  return { certificates, chain, problems };
}

/** The TPM does not allow it to be read, or it is not a certificate. */
const isUnreadable = (error: unknown): error is KeyprovError =>
  isKeyprovError(error, 'certificate-invalid') || isKeyprovError(error, 'tpm-unsupported') || isTpmError(error);

async function hasCertificateOf(ek: TpmtPublic, certificates: readonly FoundEkCertificate[]): Promise<boolean> {
  const spki = encodeSpki(publicKeyOf(ek));
  for (const { der } of certificates) {
    const key = await publicKeyIn(der);
    if (key !== undefined && equal(encodeSpki(key), spki)) return true;
  }
  return false;
}

/** The key in a certificate; `undefined` if it cannot be read, so it is not the wanted one. */
async function publicKeyIn(der: Bytes): Promise<PublicKey | undefined> {
  try {
    return (await parseCertificate(der)).publicKey();
  } catch (error) {
    if (isKeyprovError(error)) return undefined;
    throw error;
  }
}
