import { copy, toHex } from '../bytes.ts';
import { digest } from './kdf.ts';
import type { PublicKey } from './public-key.ts';
import { type Certificate, parseCertificate } from './x509.ts';

/** How many certificates are kept. All TPM makers together have a few hundred. */
const MOST_KEPT = 256;
/** The longest certificate that is kept, in bytes. Those of TPM makers have up to 2,000. */
const LONGEST_KEPT = 8192;

const kept = new Map<string, Certificate>();
/** All that were ever kept. Nobody outside has them, so nobody can change them. */
const ours = new WeakSet<Certificate>();

/**
 * Returns the given certificate, or reads it from DER, with or without the cache. @throws KeyprovError
 * `certificate-invalid`
 */
export async function authorityOf(given: Uint8Array | Certificate, keep = true): Promise<Certificate> {
  if ('isSignedBy' in given) return given;
  return await (keep ? readAuthority(given) : parseCertificate(given));
}

/**
 * Reads the certificate of a CA as `parseCertificate` does, or returns the kept one with the same SHA-256. A kept
 * certificate remembers its key, and which kept issuers signed it. All of this depends only on the bytes, so no
 * certificate can change the judgment of another one; anything that depends on the time, the path or the options is
 * judged each time. The least recently used certificate makes room.
 * @throws KeyprovError `certificate-invalid`
 */
export async function readAuthority(der: Uint8Array): Promise<Certificate> {
  if (der.length > LONGEST_KEPT) return await parseCertificate(der);
  const own = copy(der); // what is hashed is what is read, even if somebody else writes into `der`
  const id = toHex(digest('sha256', own));
  const certificate = kept.get(id) ?? withMemory(await parseCertificate(own));
  kept.delete(id);
  kept.set(id, certificate);
  const [oldest] = kept.keys();
  if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
  return certificate;
}

function withMemory(certificate: Certificate): Certificate {
  let key: PublicKey | undefined;
  const signers = new WeakMap<Certificate, boolean>();
  const remembering: Certificate = {
    ...certificate,
    publicKey: () => {
      key ??= certificate.publicKey();
      return key;
    },
    isSignedBy: (issuer) => {
      if (!ours.has(issuer)) return certificate.isSignedBy(issuer);
      const isSigned = signers.get(issuer) ?? certificate.isSignedBy(issuer);
      signers.set(issuer, isSigned);
      return isSigned;
    },
  };
  ours.add(remembering);
  return remembering;
}
