import { toHex } from '../bytes.ts';
import { digest } from './kdf.ts';
import type { PublicKey } from './public-key.ts';
import { type Certificate, parseCertificate } from './x509.ts';

/** How many certificates are kept. Those of all TPM makers and their intermediates are some hundred. */
const MOST_KEPT = 256;
/** Longer certificates are not kept, in bytes: those of TPM makers have up to 2,000. */
const LONGEST_KEPT = 8192;

const kept = new Map<string, Certificate>();

/** An authority that was given in DER or as a certificate, kept or read again. @throws KeyprovError `certificate-invalid` */
export async function authorityOf(given: Uint8Array | Certificate, keep = true): Promise<Certificate> {
  if (!(given instanceof Uint8Array)) return given;
  return await (keep ? readAuthority(given) : parseCertificate(given));
}

/**
 * Reads the certificate of an authority as `parseCertificate` does, or takes the one with the same SHA-256 that was read
 * before. A kept certificate remembers its key, and for each kept issuer whether that one signed it. All of this follows
 * from the bytes alone, so no certificate changes the judgement of another one; what depends on the time, the path or the
 * options is judged each time. The certificate that was used least recently makes room.
 * @throws KeyprovError `certificate-invalid`
 */
export async function readAuthority(der: Uint8Array): Promise<Certificate> {
  if (der.length > LONGEST_KEPT) return await parseCertificate(der);
  const id = toHex(digest('sha256', der));
  const certificate = kept.get(id) ?? withMemory(await parseCertificate(der));
  kept.delete(id);
  kept.set(id, certificate);
  const [oldest] = kept.keys();
  if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
  return certificate;
}

function withMemory(certificate: Certificate): Certificate {
  let key: PublicKey | undefined;
  const signers = new WeakMap<Certificate, boolean>();
  return {
    ...certificate,
    publicKey: () => {
      key ??= certificate.publicKey();
      return key;
    },
    isSignedBy: (issuer) => {
      const isSigned = signers.get(issuer) ?? certificate.isSignedBy(issuer);
      signers.set(issuer, isSigned);
      return isSigned;
    },
  };
}
