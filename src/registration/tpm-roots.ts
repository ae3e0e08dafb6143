import { type Bytes, toHex, utf8 } from '../bytes.ts';
import { splitCertificates } from '../crypto/certificate-bytes.ts';
import { describeName, isSameName } from '../crypto/distinguished-name.ts';
import { digest } from '../crypto/kdf.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';
import { KeyprovError, sayError } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { listFiles, readInput } from '../storage/read-input.ts';
import { decodeFileText, markedEncoding } from '../text.ts';

/** An authority that certifies endorsement keys. */
export interface TpmAuthority {
  readonly certificate: Certificate;
  /** It signed itself: there is nothing above it. */
  readonly isRoot: boolean;
  /** The maker of TPMs that the names in the certificate suggest; absent where they suggest none that is known. */
  readonly maker: string | undefined;
  /** The file that it is in. */
  readonly file: string;
}

/** What {@link loadTpmRoots} has found. */
export interface TpmRoots {
  /** For `ekRoots` of `verifyEvidence`, or `roots` of `verifyEkCertificate`. */
  readonly roots: readonly Certificate[];
  /** For `intermediates` of both. */
  readonly intermediates: readonly Certificate[];
  /** All of them with their makers and files. */
  readonly authorities: readonly TpmAuthority[];
  /** What is of no use in those files, and why. */
  readonly problems: readonly { readonly file: string; readonly detail: string }[];
}

/** Files that are read at most: six times those of Microsoft's package. */
const MOST_FILES = 10_000;

/**
 * Reads the authorities of TPM makers: from all files of a directory and of those in it, as Microsoft's package
 * TrustedTpm.cab has them once it is extracted, or from one file in PEM or DER. A certificate that signed itself is a
 * root: to load it means to trust it. What is not the certificate of an authority is told and left out.
 *
 * @throws KeyprovError `certificate-invalid` where there is no authority, for a package that is not extracted, and for
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
  const found = new Map<string, TpmAuthority>();
  const problems: { file: string; detail: string }[] = [];
  /** What `work` gives; where it fails, a problem of that file, or the error of the only one. */
  const attempt = async <T>(file: string, work: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      problems.push({ file, detail: sayError(error) });
      return undefined;
    }
  };
  for (const file of (await attempt(path, () => listFiles(path, MOST_FILES))) ?? []) {
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
      `${path}: no authority of a TPM maker: ${first?.detail ?? 'no file'}`,
    );
  }
  const authorities = [...found.values()];
  const ofKind = (isRoot: boolean) =>
    authorities.filter((one) => one.isRoot === isRoot).map(({ certificate }) => certificate);
  return { roots: ofKind(true), intermediates: ofKind(false), authorities, problems };
}

/** The certificates in a file: PEM, also in UTF-16 as PowerShell writes it, or DER. */
function certificatesIn(bytes: Bytes): Bytes[] {
  if (CABINET.every((byte, index) => bytes[index] === byte)) {
    throw new KeyprovError('certificate-invalid', 'it is a cabinet file', {
      remedy:
        'check its signature and extract it: Get-AuthenticodeSignature and expand.exe -F:* on Windows, ' +
        'osslsigncode verify and cabextract elsewhere',
    });
  }
  const text = markedEncoding(bytes) === undefined ? undefined : decodeFileText(bytes);
  return splitCertificates(text === undefined ? bytes : utf8(text));
}

/** `MSCF`, with which a cabinet file begins. */
const CABINET = utf8('MSCF');

async function readAuthority(der: Bytes, file: string): Promise<TpmAuthority> {
  const certificate = await parseCertificate(der);
  const { subject, issuer, basicConstraints } = certificate;
  if (basicConstraints?.ca !== true) {
    throw new KeyprovError('certificate-invalid', `the certificate of ${describeName(subject)} is not of an authority`);
  }
  const isRoot = isSameName(subject, issuer) && certificate.isSignedBy(certificate);
  return { certificate, isRoot, maker: makerOf(certificate), file };
}

/** What authorities of TPM makers have in their names, in lower case. */
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

/** The maker that the name of the authority, or else that of its issuer, suggests. */
function makerOf({ subject, issuer }: Certificate): string | undefined {
  for (const name of [subject, issuer]) {
    const text = describeName(name).toLowerCase();
    const maker = MAKERS.find(([, ...words]) => words.some((word) => text.includes(word)));
    if (maker !== undefined) return maker[0];
  }
  return undefined;
}
