import { type Bytes, checkText, toHex, utf8 } from '../bytes.ts';
import { atLeastOne, splitCertificates } from '../crypto/certificate-bytes.ts';
import { describeName, isSameName } from '../crypto/distinguished-name.ts';
import { digest } from '../crypto/kdf.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';
import { causedBy, KeyprovError, sayError } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { listFiles, readInput } from '../storage/read-input.ts';

/** A CA that certifies endorsement keys. */
export interface TpmAuthority {
  readonly certificate: Certificate;
  /** Whether it is self-signed, a root. */
  readonly isRoot: boolean;
  /** The TPM maker, judging by the names in the certificate; absent if they match no known maker. */
  readonly maker: string | undefined;
  /** The file that contains it. */
  readonly file: string;
}

/** Result of {@link loadTpmRoots}. */
export interface TpmRoots {
  /** For `ekRoots` of `verifyEvidence`, or `roots` of `verifyEkCertificate`. */
  readonly roots: readonly Certificate[];
  /** For `intermediates` of both. */
  readonly intermediates: readonly Certificate[];
  /** All CAs, with their makers and files. */
  readonly authorities: readonly TpmAuthority[];
  /** Why a file, or a certificate in it, was left out. */
  readonly problems: readonly { readonly file: string; readonly detail: string }[];
}

/** Maximum number of files: six times as many as in Microsoft's package. */
const MOST_FILES = 10_000;

/**
 * Reads TPM makers' CA certificates from a directory and its subdirectories, such as Microsoft's extracted package
 * TrustedTpm.cab, or from one file in PEM or DER. A self-signed certificate is a root: by loading it, you trust it.
 * Reports and leaves out everything that is not a CA certificate.
 *
 * @throws KeyprovError `certificate-invalid` if there is no CA certificate, the package is not extracted, or there are
 * more than 10,000 files; the reason of `signal`.
 *
 * @example
 * ```ts
 * import { loadTpmRoots } from 'keyprov/registration';
 *
 * const { roots, intermediates, authorities, problems } = await loadTpmRoots('TrustedTpm');
 * for (const { maker, file, certificate } of authorities) console.log(maker ?? 'unknown', certificate.notAfter, file);
 * for (const { file, detail } of problems) console.log(file, detail);
 * // verifyEvidence(evidence, { ekRoots: roots, intermediates, … })
 * console.log(roots.length, intermediates.length);
 * ```
 */
export async function loadTpmRoots(path: string, { signal }: SignalOptions = {}): Promise<TpmRoots> {
  checkText(path, 'the path');
  const found = new Map<string, TpmAuthority>();
  const problems: { file: string; detail: string }[] = [];
  /** Returns the result of `work`. If it fails, notes a problem of that file. */
  const attempt = async <T>(file: string, work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      problems.push({ file, detail: sayError(error) });
      return undefined;
    }
  };
  const skipped = (file: string, error: unknown) => problems.push({ file, detail: sayError(error) });
  const files = await listFiles(path, MOST_FILES, skipped).catch((error: unknown) => {
    if (!(error instanceof KeyprovError)) throw error;
    throw new KeyprovError('certificate-invalid', error.message, causedBy(error));
  });
  for (const file of files) {
    const certificates = await attempt(file, async () => certificatesIn(await readInput(file, { signal })));
    for (const der of certificates ?? []) {
      const id = toHex(digest('sha256', der));
      const authority = found.has(id) ? undefined : await attempt(file, () => readAuthority(der, file));
      if (authority !== undefined) found.set(id, authority);
    }
  }
  if (found.size === 0) {
    const [first] = problems;
    throw new KeyprovError(
      'certificate-invalid',
      first === undefined || first.file === path
        ? `${path}: no CA certificate: ${first?.detail ?? 'there are no files'}`
        : `${path}: no CA certificate: ${first.file}: ${first.detail}`,
    );
  }
  const authorities = [...found.values()];
  const ofKind = (isRoot: boolean) =>
    authorities.filter((one) => one.isRoot === isRoot).map(({ certificate }) => certificate);
  return { roots: ofKind(true), intermediates: ofKind(false), authorities, problems };
}

/** Reads the certificates in a file. */
function certificatesIn(bytes: Bytes): readonly Bytes[] {
  if (CABINET.every((byte, index) => bytes[index] === byte)) {
    throw new KeyprovError('certificate-invalid', 'it is a cabinet file', {
      remedy:
        'check its signature and extract it: Get-AuthenticodeSignature and expand.exe -F:* on Windows, ' +
        'osslsigncode verify and cabextract elsewhere',
    });
  }
  return atLeastOne(splitCertificates(bytes));
}

/** `MSCF`, the first bytes of a cabinet file. */
const CABINET = utf8('MSCF');

async function readAuthority(der: Bytes, file: string): Promise<TpmAuthority> {
  const certificate = await parseCertificate(der);
  const { subject, issuer, basicConstraints } = certificate;
  if (basicConstraints?.ca !== true) {
    throw new KeyprovError(
      'certificate-invalid',
      `the certificate of ${describeName(subject)} is not a CA certificate`,
    );
  }
  const isRoot = isSameName(subject, issuer) && certificate.isSignedBy(certificate);
  return { certificate, isRoot, maker: makerOf(certificate), file };
}

/** Each TPM maker, with words in the names of its CAs, in lower case. */
const MAKERS: readonly (readonly [maker: string, ...words: readonly string[]])[] = [
  ['AMD', 'advanced micro devices', 'amdtpm', 'amd '],
  ['Atmel', 'atmel'],
  ['Google', 'google'],
  ['IBM', 'international business machines', 'ibm '],
  ['Infineon', 'infineon'],
  ['Intel', 'intel corporation', 'www.intel.com'],
  ['Microsoft', 'microsoft'],
  ['Nationz', 'nationz'],
  ['Nuvoton', 'nuvoton'],
  ['Qualcomm', 'qualcomm'],
  ['Samsung', 'samsung'],
  ['STMicroelectronics', 'stmicroelectronics', 'stm tpm'],
];

/** The maker that the name of the CA suggests, else that of its issuer. */
function makerOf({ subject, issuer }: Certificate): string | undefined {
  for (const name of [subject, issuer]) {
    const text = describeName(name).toLowerCase();
    const maker = MAKERS.find(([, ...words]) => words.some((word) => text.includes(word)));
    if (maker !== undefined) return maker[0];
  }
  return undefined;
}
