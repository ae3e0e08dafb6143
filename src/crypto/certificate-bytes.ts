import { type Bytes, copy, view } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { DerNode } from './der-read.ts';
import { TAG } from './der-write.ts';
import { decodePemBody, pemBlocks } from './pem.ts';

/**
 * The X.509 certificates in `bytes`, each in DER: one or several one after the other, with zeros or 0xff before, between
 * and behind them, as TPMs keep them in NV; or PEM blocks `CERTIFICATE` with any text around them. Only the outermost
 * length of each is looked at.
 *
 * @throws KeyprovError `certificate-invalid` when there is something else, or the last one is cut off; for more than
 * 4 MiB, or 64 KiB for one certificate.
 */
export function splitCertificates(bytes: Uint8Array): Bytes[] {
  checkSize(bytes, LIMIT.file, invalid);
  const text = Buffer.from(view(bytes).buffer, bytes.byteOffset, bytes.length);
  if (text.includes('-----BEGIN CERTIFICATE-----')) return splitPem(text.toString('latin1'));
  const certificates: Bytes[] = [];
  for (let rest = bytes; ; ) {
    rest = rest.subarray(paddingOf(rest));
    if (rest.length === 0) return certificates;
    certificates.push(copy(rest.subarray(0, sizeOf(rest))));
    rest = rest.subarray(sizeOf(rest));
  }
}

/** The first certificate in DER, whatever follows it; `undefined` when there is nothing but zeros or 0xff. */
export function firstCertificate(bytes: Uint8Array): Bytes | undefined {
  const rest = bytes.subarray(paddingOf(bytes));
  return rest.length === 0 ? undefined : copy(rest.subarray(0, sizeOf(rest)));
}

function paddingOf(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0x00 && byte !== 0xff);
  return first < 0 ? bytes.length : first;
}

/** Bytes of the DER SEQUENCE that `bytes` begins with, header included. */
function sizeOf(bytes: Uint8Array): number {
  let der: Uint8Array;
  try {
    ({ der } = new DerNode('lenient', bytes, 'certificate').expect(TAG.SEQUENCE));
  } catch (cause) {
    throw invalid(`no whole DER SEQUENCE at the beginning of ${bytes.length} bytes`, cause);
  }
  checkSize(der, LIMIT.certificate, invalid);
  return der.length;
}

function splitPem(text: string): Bytes[] {
  const blocks = [...pemBlocks(text)].filter(({ label }) => label === 'CERTIFICATE');
  if (!blocks.every(({ isWhole }) => isWhole)) throw invalid('a PEM block has no end');
  try {
    const certificates = blocks.map(decodePemBody);
    for (const certificate of certificates) checkSize(certificate, LIMIT.certificate, invalid);
    return certificates;
  } catch (cause) {
    if (isKeyprovError(cause, 'certificate-invalid')) throw cause;
    throw invalid('a PEM block cannot be read', cause);
  }
}

const invalid = (problem: string, cause?: unknown): KeyprovError =>
  new KeyprovError('certificate-invalid', `certificates: ${problem}`, { cause });
