import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { type Bytes, concat, copy, equal, view, wipe } from '../bytes.ts';
import { decodePem, encodePem } from '../crypto/pem.ts';
import { KeyprovError } from '../errors.ts';

const LABEL = 'ENCRYPTED PRIVATE KEY';
const PBES2 = '1.2.840.113549.1.5.13';
const SCRYPT = '1.3.6.1.4.1.11591.4.11';
const AES_256_GCM = '2.16.840.1.101.3.4.1.46';
/** scrypt's r and p, which are the same in all files. */
const BLOCK_SIZE = 8;
const PARALLELIZATION = 1;
/** The most work that a file may ask for: 1 GiB and some three seconds. */
const MAX_COST = 2 ** 20;
const KEY_SIZE = 32;
const TAG_SIZE = 16;

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Buffer>(scrypt);
type Asn1 = typeof import('asn1js');

/** All that differs between encrypted files. */
interface Envelope {
  readonly salt: Bytes;
  /** scrypt's N. */
  readonly cost: number;
  readonly nonce: Bytes;
  /** Ciphertext and then the tag. */
  readonly encrypted: Bytes;
}

/**
 * Encrypts a private key (PKCS#8 PrivateKeyInfo in DER) under a secret, as PEM: EncryptedPrivateKeyInfo (RFC 5958,
 * section 3) with PBES2 (RFC 8018, A.4) of scrypt (RFC 7914, section 7; N = `cost`, r = 8, p = 1) and AES-256-GCM
 * (RFC 5084, 3.2; the tag follows the ciphertext). OpenSSL 3.0 does not read such files: its PBES2 has no GCM.
 */
export async function encryptPkcs8(pkcs8: Uint8Array, secret: Uint8Array, cost: number): Promise<string> {
  const salt = view(randomBytes(16));
  const nonce = view(randomBytes(12));
  const key = await deriveKey(secret, salt, cost);
  try {
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_SIZE });
    const encrypted = concat(cipher.update(pkcs8), cipher.final(), cipher.getAuthTag());
    return encodePem(LABEL, encode(await import('asn1js'), { salt, cost, nonce, encrypted }));
  } finally {
    wipe(key);
  }
}

/**
 * The private key in a file that {@link encryptPkcs8} made; undefined when the secret does not fit, or the ciphertext
 * was changed. The caller wipes it.
 * @throws KeyprovError `key-invalid` for a damaged file, another encryption, or one that asks for too much work.
 */
export async function decryptPkcs8(pem: string, secret: Uint8Array): Promise<Bytes | undefined> {
  const { salt, cost, nonce, encrypted } = decode(await import('asn1js'), decodePem(pem, LABEL));
  const key = await deriveKey(secret, salt, cost);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_SIZE });
  decipher.setAuthTag(encrypted.subarray(-TAG_SIZE));
  const pkcs8 = decipher.update(encrypted.subarray(0, -TAG_SIZE));
  try {
    decipher.final();
    return view(pkcs8);
  } catch {
    wipe(pkcs8);
    return undefined; // the tag does not fit: the one way in which final() of GCM fails
  } finally {
    wipe(key);
  }
}

async function deriveKey(secret: Uint8Array, salt: Bytes, cost: number): Promise<Buffer> {
  const maxmem = 128 * BLOCK_SIZE * (cost + PARALLELIZATION + 2);
  return await scryptAsync(secret, salt, KEY_SIZE, { N: cost, r: BLOCK_SIZE, p: PARALLELIZATION, maxmem });
}

function encode(asn1: Asn1, { salt, cost, nonce, encrypted }: Envelope): Bytes {
  const sequence = (...value: InstanceType<Asn1['BaseBlock']>[]) => new asn1.Sequence({ value });
  const oid = (value: string) => new asn1.ObjectIdentifier({ value });
  const octets = (valueHex: Bytes) => new asn1.OctetString({ valueHex });
  const numbers = [cost, BLOCK_SIZE, PARALLELIZATION, KEY_SIZE].map((value) => asn1.Integer.fromBigInt(value));
  const kdf = sequence(oid(SCRYPT), sequence(octets(salt), ...numbers));
  const scheme = sequence(oid(AES_256_GCM), sequence(octets(nonce), asn1.Integer.fromBigInt(TAG_SIZE)));
  return new Uint8Array(sequence(sequence(oid(PBES2), sequence(kdf, scheme)), octets(encrypted)).toBER());
}

function decode(asn1: Asn1, der: Bytes): Envelope {
  const octets: Bytes[] = [];
  let cost = 0;
  const collect = (value: InstanceType<Asn1['BaseBlock']>): void => {
    if (value instanceof asn1.Constructed) value.valueBlock.value.forEach(collect);
    else if (value instanceof asn1.OctetString) octets.push(copy(value.valueBlock.valueHexView));
    else if (value instanceof asn1.Integer) cost ||= Number(value.toBigInt());
  };
  collect(asn1.fromBER(der).result);
  const [salt, nonce, encrypted] = octets;
  const wrong = (problem: string) => new KeyprovError('key-invalid', `encrypted private key: ${problem}`);
  if (salt === undefined || nonce === undefined || encrypted === undefined) throw wrong('not of three octet strings');
  if (!Number.isInteger(Math.log2(cost)) || cost < 2 || cost > MAX_COST) throw wrong(`scrypt with N = ${cost}`);
  const envelope: Envelope = { salt, cost, nonce, encrypted };
  // What was collected is right exactly if it makes the same file again; that also leaves no byte over.
  if (!equal(encode(asn1, envelope), der)) throw wrong('not DER of PBES2 with scrypt (r 8, p 1) and AES-256-GCM');
  if (nonce.length !== 12 || encrypted.length <= TAG_SIZE) throw wrong('nonce or ciphertext of a wrong length');
  return envelope;
}
