import { type Bytes, concat, fromBase64, toBase64, uint32, unpadded, utf8 } from '../../bytes.ts';
import type { Curve } from '../../crypto/curve.ts';
import { digest } from '../../crypto/kdf.ts';
import { checkPublicKey, decodePoint, encodePoint, type PublicKey } from '../../crypto/public-key.ts';
import { checkMembers } from '../../known-members.ts';
import { checkSize, checkTextSize, LIMIT } from '../../limits.ts';
import { latin1 } from '../../primitives.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { PartReader } from '../x509/part-reader.ts';

/** A line of an OpenSSH public key file or authorized_keys. */
export interface SshPublicKeyLine {
  readonly publicKey: PublicKey;
  /** Empty if there is none. */
  readonly comment: string;
}

/** Names of curves, RFC 5656, 10.1. */
const SSH_CURVES: readonly (readonly [Curve, string])[] = [
  ['P-256', 'nistp256'],
  ['P-384', 'nistp384'],
  ['P-521', 'nistp521'],
];

/**
 * Writes the key as an SSH public key blob: `ssh-rsa` (RFC 4253, 6.6) or `ecdsa-sha2-nistp…` (RFC 5656, 3.1).
 * @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { decodeSshPublicKey, encodeSshPublicKey } from 'keyprov/formats/services';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey;
 * console.log(decodeSshPublicKey(encodeSshPublicKey(publicKey)).kty); // such as RSA
 * ```
 */
export function encodeSshPublicKey(key: PublicKey): Bytes {
  checkPublicKey(key);
  const type = string(utf8(sshTypeOf(key)));
  if (key.kty === 'RSA') return concat(type, mpint(key.e), mpint(key.n));
  return concat(type, string(utf8(sshCurveOf(key.crv))), string(encodePoint(key)));
}

/** The inverse of {@link encodeSshPublicKey}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeSshPublicKey(blob: Uint8Array): PublicKey {
  checkSize(blob, LIMIT.line, invalid);
  const input = new SshReader(blob);
  const type = input.text();
  const key = type === 'ssh-rsa' ? readRsa(input) : readEcdsa(type, input);
  input.end();
  inRequest('SSH public key', () => checkPublicKey(key));
  return key;
}

/**
 * Writes the key as a line for authorized_keys, without a line break. @throws TypeError for a comment with a line
 * break.
 *
 * @example
 * ```ts
 * import { computeSshFingerprint, decodeSshPublicKeyLine, encodeSshPublicKeyLine } from 'keyprov/formats/services';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey;
 * const line = encodeSshPublicKeyLine({ publicKey, comment: 'ada@host' }); // ssh-rsa AAAA… ada@host
 * console.log(decodeSshPublicKeyLine(line).comment, computeSshFingerprint(publicKey)); // ada@host SHA256:…
 * ```
 */
export function encodeSshPublicKeyLine(parts: {
  readonly publicKey: PublicKey;
  readonly comment?: string | undefined;
}): string {
  const { publicKey: key, comment = '' } = checkMembers('encodeSshPublicKeyLine', parts, 'publicKey comment:text?');
  checkPublicKey(key);
  if (/[\r\n]/.test(comment)) throw new TypeError('the comment of an SSH public key must be one line');
  const line = `${sshTypeOf(key)} ${toBase64(encodeSshPublicKey(key))}`;
  const whole = comment === '' ? line : `${line} ${comment}`;
  checkTextSize(whole, LIMIT.line, (problem) => new TypeError(`the SSH public key: ${problem}`));
  return whole;
}

/**
 * Reads a line `type base64 comment` of `ssh-keygen`, with or without its line break. Refuses options before the type,
 * which authorized_keys may have.
 *
 * @throws KeyprovError `request-invalid` for anything else, or if the type is not that of the key.
 */
export function decodeSshPublicKeyLine(line: string): SshPublicKeyLine {
  checkTextSize(line, LIMIT.line, invalid);
  const [, type, base64 = '', comment = ''] = /^([a-z0-9-]+) ([^ \r\n]+)(?: ([^\r\n]*))?\r?\n?$/.exec(line) ?? [];
  if (type === undefined) throw invalid('not of the form "type base64 comment"');
  const publicKey = decodeSshPublicKey(inRequest('SSH public key', () => fromBase64(base64)));
  if (type !== sshTypeOf(publicKey)) throw invalid(`the line says ${type}, but the key is ${sshTypeOf(publicKey)}`);
  return { publicKey, comment };
}

/**
 * The fingerprint that `ssh-keygen -l` shows: `SHA256:` and unpadded base64 of the digest of the blob.
 * @throws KeyprovError `key-invalid` for an invalid key.
 */
export function computeSshFingerprint(key: PublicKey): string {
  return `SHA256:${unpadded(toBase64(digest('sha256', encodeSshPublicKey(key))))}`;
}

const sshCurveOf = (crv: Curve): string => SSH_CURVES.find(([curve]) => curve === crv)?.[1] ?? '';
const sshTypeOf = (key: PublicKey): string => (key.kty === 'RSA' ? 'ssh-rsa' : `ecdsa-sha2-${sshCurveOf(key.crv)}`);

function readRsa(input: SshReader): PublicKey {
  const e = input.mpint();
  return { kty: 'RSA', e, n: input.mpint() };
}

function readEcdsa(type: string, input: SshReader): PublicKey {
  const crv = SSH_CURVES.find(([, name]) => type === `ecdsa-sha2-${name}`)?.[0];
  if (crv === undefined) throw invalid(`type ${JSON.stringify(type)} is unknown`);
  const curve = input.text();
  if (curve !== sshCurveOf(crv)) throw invalid(`${type} does not match the curve ${JSON.stringify(curve)}`);
  const point = input.string();
  return inRequest('SSH public key', () => decodePoint(crv, point));
}

/** RFC 4251, 5: a UINT32 length, big endian, then the bytes. */
const string = (bytes: Uint8Array): Bytes => concat(uint32(bytes.length), bytes);

/** RFC 4251, 5: two's complement, so a number whose highest bit is set begins with a zero byte. */
const mpint = (number: Uint8Array): Bytes =>
  string((number[0] ?? 0) >= 0x80 ? concat(new Uint8Array(1), number) : number);

/** Reads the types of RFC 4251, 5, in order. Throws KeyprovError `request-invalid` at the end of the bytes. */
export class SshReader extends PartReader {
  constructor(bytes: Uint8Array) {
    super(bytes, invalid);
  }

  string(): Bytes {
    return this.take(this.uint32());
  }

  text(): string {
    return latin1(this.string());
  }

  /** A number above zero, without leading zeros. */
  mpint(): Bytes {
    const bytes = this.string();
    const [first = 0x80, second = 0] = bytes;
    if (first >= 0x80) throw invalid('a number is negative or zero');
    if (first === 0 && second < 0x80) throw invalid('a number is not in its shortest form');
    return first === 0 ? bytes.subarray(1) : bytes;
  }
}

const invalid = (problem: string): Error => requestInvalid('SSH public key', problem);
