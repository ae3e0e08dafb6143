import { type Bytes, byteCount, copy, toHex, uint16At } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { latin1 } from '../primitives.ts';
import { decodeFileText } from '../text.ts';
import { DerNode } from './der-read.ts';
import { TAG } from './der-write.ts';
import { decodePemBody, pemBlocks } from './pem.ts';

/**
 * Splits `bytes` into X.509 certificates, each in DER. Takes certificates in a row, as TPMs keep them in NV: with zeros or
 * 0xff before, between and behind them, each bare or in a TCG_PCCLIENT_STORED_CERT. Or takes PEM blocks `CERTIFICATE` with
 * any text around them, in any encoding of {@link decodeFileText}. A PKCS #7 file (`.p7b`) counts as the certificates in
 * it. Checks only the outermost length of each.
 *
 * @throws KeyprovError `certificate-invalid` if there is anything else, or if the last one is cut off; for more than 4 MiB, or
 * 64 KiB in one certificate. A PKCS #7 file has the limit of 4 MiB.
 */
export function splitCertificates(bytes: Uint8Array): Bytes[] {
  return splitLabelled(bytes).map(({ label, der }) => {
    if (label === 'CERTIFICATE') return der;
    throw invalid(`a block ${label} restricts what it is trusted for; convert it with openssl x509`);
  });
}

/** A certificate in DER; what follows it in a block `TRUSTED CERTIFICATE` restricts what OpenSSL trusts it for. */
export interface LabelledCertificate {
  readonly label: 'CERTIFICATE' | 'TRUSTED CERTIFICATE';
  readonly der: Bytes;
}

/** Does what {@link splitCertificates} does, and accepts OpenSSL's blocks `TRUSTED CERTIFICATE`. */
export function splitLabelled(bytes: Uint8Array): LabelledCertificate[] {
  checkSize(bytes, LIMIT.file, invalid);
  const text = decodeFileText(bytes) ?? latin1(bytes);
  if (PEM_CERTIFICATE.test(text)) return splitPem(text);
  if (text.startsWith('-----BEGIN ')) throw invalid('PEM without a CERTIFICATE block');
  if (/^\s*[!-/1-~]/.test(text)) throw noCertificate();
  return splitDer(bytes).map(labelled);
}

/** The certificates, of which a file must contain one. @throws KeyprovError `certificate-invalid` if there is none. */
export function atLeastOne<T>(certificates: readonly T[]): readonly T[] {
  if (certificates.length === 0) throw noCertificate();
  return certificates;
}

const noCertificate = (): KeyprovError => new KeyprovError('certificate-invalid', 'it contains no certificate');
const labelled = (der: Bytes): LabelledCertificate => ({ label: 'CERTIFICATE', der });

function splitDer(bytes: Uint8Array): Bytes[] {
  const certificates: Bytes[] = [];
  for (let rest = bytes; ; ) {
    rest = rest.subarray(paddingOf(rest));
    if (rest.length === 0) return certificates;
    const { der, size } = firstOf(rest);
    certificates.push(...certificatesIn(copy(der)));
    rest = rest.subarray(size);
  }
}

/**
 * The only certificate in `bytes`, in any form that {@link splitCertificates} reads.
 * @throws KeyprovError `certificate-invalid` unless there is exactly one.
 */
export function onlyCertificate(bytes: Uint8Array): Bytes {
  const [only, ...more] = splitCertificates(bytes);
  if (only === undefined || more.length > 0) throw invalid(`expected one, found ${more.length + (only ? 1 : 0)}`);
  return only;
}

/** The first certificate in DER, whatever follows it; `undefined` if there are only zeros or 0xff. */
export function firstCertificate(bytes: Uint8Array): Bytes | undefined {
  const rest = bytes.subarray(paddingOf(bytes));
  return rest.length === 0 ? undefined : checked(copy(firstOf(rest).der));
}

function paddingOf(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0x00 && byte !== 0xff);
  return first < 0 ? bytes.length : first;
}

/** The certificate at the start of `bytes`, and its size with the structure around it. */
function firstOf(bytes: Uint8Array): { readonly der: Uint8Array; readonly size: number } {
  if (!isStored(bytes)) {
    const size = sizeOf(bytes);
    return { der: bytes.subarray(0, size), size };
  }
  const end = STORED_HEADER + uint16At(bytes, 3);
  if (end > bytes.length)
    throw invalid(`the structure around a certificate needs ${byteCount(end)}, but there are only ${bytes.length}`);
  const inner = bytes.subarray(STORED_HEADER, end);
  const der = inner[0] === 0x10 && inner[1] === 0x02 ? inner.subarray(2) : inner;
  return { der: der.subarray(0, sizeOf(der)), size: end };
}

/**
 * TCG_PCCLIENT_STORED_CERT: tag 0x1001, type 0 for a whole certificate, two bytes of size; then TCG_FULL_CERT, whose tag
 * 0x1002 some leave out. PC Client Implementation Specification for TPM 1.2, 7.3.2; firmware took it over to TPM 2.0.
 */
const isStored = (bytes: Uint8Array): boolean => bytes[0] === 0x10 && bytes[1] === 0x01 && bytes[2] === 0x00;
const STORED_HEADER = 5;

/** The size of the DER SEQUENCE at the start of `bytes`, with its header. */
function sizeOf(bytes: Uint8Array): number {
  let der: Uint8Array;
  try {
    ({ der } = new DerNode('lenient', bytes, 'certificate').expect(TAG.SEQUENCE));
  } catch (cause) {
    throw invalid(`no complete DER SEQUENCE at the beginning of ${byteCount(bytes.length)}`, cause);
  }
  return der.length;
}

/** The labels of RFC 7468, 5.3 and 8, and of OpenSSL, for certificates. */
const PEM_CERTIFICATE = /-----BEGIN (?:(?:X509 |TRUSTED )?CERTIFICATE|PKCS7)-----/;

/** The certificates in the SignedData of PKCS #7 (RFC 2315, 9.1); anything else is a certificate. */
function certificatesIn(der: Bytes): Bytes[] {
  return toHex(der.subarray(0, 24)).includes(SIGNED_DATA) ? bundled(der).map(checked) : [checked(der)];
}

/** A PKCS #7 file is as long as its file may be. */
function bundled(der: Bytes): Bytes[] {
  try {
    const content = DerNode.lenient(der, 'PKCS #7').list(TAG.SEQUENCE)[1]?.first(0xa0);
    const list = content?.list(TAG.SEQUENCE).find(({ tag }) => tag === 0xa0);
    return list?.children().map((certificate) => copy(certificate.der)) ?? [];
  } catch (cause) {
    throw invalid('a PKCS #7 file cannot be read; convert it with openssl pkcs7 -print_certs', cause);
  }
}

function checked(der: Bytes): Bytes {
  checkSize(der, LIMIT.certificate, invalid);
  return der;
}

/** The OID 1.2.840.113549.1.7.2. No certificate has an OID so close to its beginning. */
const SIGNED_DATA = '06092a864886f70d010702';

function splitPem(text: string): LabelledCertificate[] {
  const blocks = [...pemBlocks(text)].filter(({ label }) => PEM_CERTIFICATE.test(`-----BEGIN ${label}-----`));
  if (!blocks.every(({ isWhole }) => isWhole)) throw invalid('a PEM block has no end');
  try {
    return blocks.flatMap((block) => {
      const der = decodePemBody(block);
      return block.label.startsWith('TRUSTED ')
        ? { label: 'TRUSTED CERTIFICATE', der: checked(der) }
        : certificatesIn(der).map(labelled);
    });
  } catch (cause) {
    if (isKeyprovError(cause, 'certificate-invalid')) throw cause;
    throw invalid('a PEM block cannot be read', cause);
  }
}

const invalid = (problem: string, cause?: unknown): KeyprovError =>
  new KeyprovError('certificate-invalid', `certificates: ${problem}`, { cause });
