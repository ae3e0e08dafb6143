import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type Bytes, concat, equal, view, wipe, withSecret } from '../bytes.ts';
import { type DerFields, DerNode } from '../crypto/der-read.ts';
import { derInteger, derOctets, derOid, derSequence, TAG } from '../crypto/der-write.ts';
import { decodePem, encodePem } from '../crypto/pem.ts';
import { deriveScrypt, scryptProblem } from '../crypto/scrypt.ts';
import { KeyprovError } from '../errors.ts';

const LABEL = 'ENCRYPTED PRIVATE KEY';
const PBES2 = '1.2.840.113549.1.5.13';
const SCRYPT = '1.3.6.1.4.1.11591.4.11';
const AES_256_GCM = '2.16.840.1.101.3.4.1.46';
/** scrypt's r and p, the same in all files. */
const BLOCK_SIZE = 8;
const PARALLELIZATION = 1;
const KEY_SIZE = 32;
const TAG_SIZE = 16;

/** The parts that differ between encrypted files. */
interface Envelope {
  readonly salt: Bytes;
  /** scrypt's N. */
  readonly cost: number;
  readonly nonce: Bytes;
  /** Ciphertext followed by the tag. */
  readonly encrypted: Bytes;
}

/**
 * Encrypts a private key (PKCS#8 PrivateKeyInfo in DER) under a secret, as PEM: EncryptedPrivateKeyInfo (RFC 5958,
 * section 3) by PBES2 (RFC 8018, A.4) with scrypt (RFC 7914, section 7; N = `cost`, r = 8, p = 1) and AES-256-GCM
 * (RFC 5084, 3.2; the tag follows the ciphertext). OpenSSL 3.0 cannot read such files: its PBES2 lacks GCM.
 */
export async function encryptPkcs8(pkcs8: Uint8Array, secret: Uint8Array, cost: number): Promise<string> {
  const salt = view(randomBytes(16));
  const nonce = view(randomBytes(12));
  return await withSecret(await deriveKey(secret, salt, cost), async (key) => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_SIZE });
    const encrypted = concat(cipher.update(pkcs8), cipher.final(), cipher.getAuthTag());
    return encodePem(LABEL, encode({ salt, cost, nonce, encrypted }));
  });
}

/**
 * Decrypts a file that {@link encryptPkcs8} made; undefined if the secret is wrong or the ciphertext was changed. The
 * caller wipes the private key.
 * @throws KeyprovError `key-invalid` for a damaged file, another encryption, or one that demands too much work.
 */
export async function decryptPkcs8(pem: string, secret: Uint8Array): Promise<Bytes | undefined> {
  const { salt, cost, nonce, encrypted } = decode(decodePem(pem, LABEL));
  const key = await deriveKey(secret, salt, cost);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_SIZE });
  decipher.setAuthTag(encrypted.subarray(-TAG_SIZE));
  const pkcs8 = decipher.update(encrypted.subarray(0, -TAG_SIZE));
  try {
    decipher.final();
    return view(pkcs8);
  } catch {
    wipe(pkcs8);
    return undefined; // the tag is wrong: the only way final() of GCM fails
  } finally {
    wipe(key);
  }
}

const deriveKey = (secret: Uint8Array, salt: Bytes, cost: number): Promise<Buffer> =>
  deriveScrypt(secret, salt, KEY_SIZE, { cost, blockSize: BLOCK_SIZE, parallelization: PARALLELIZATION });

function encode({ salt, cost, nonce, encrypted }: Envelope): Bytes {
  const numbers = [cost, BLOCK_SIZE, PARALLELIZATION, KEY_SIZE].map(derInteger);
  const kdf = derSequence(derOid(SCRYPT), derSequence(derOctets(salt), ...numbers));
  const scheme = derSequence(derOid(AES_256_GCM), derSequence(derOctets(nonce), derInteger(TAG_SIZE)));
  return derSequence(derSequence(derOid(PBES2), derSequence(kdf, scheme)), derOctets(encrypted));
}

/** RFC 5958, section 3. Reads only the parts that differ between files, and checks the rest by writing it again. */
function decode(der: Bytes): Envelope {
  const info = DerNode.strict(der, 'encrypted private key').fields(TAG.SEQUENCE);
  const parameters = (algorithm: DerNode): DerFields => {
    const fields = algorithm.fields(TAG.SEQUENCE);
    fields.next(TAG.OID);
    return fields.next().fields(TAG.SEQUENCE);
  };
  const pbes2 = parameters(info.next());
  const kdf = parameters(pbes2.next());
  const salt = kdf.next().octets();
  const cost = kdf.next().natural();
  const nonce = parameters(pbes2.next()).next().octets();
  const envelope: Envelope = { salt, cost, nonce, encrypted: info.next().octets() };
  const wrong = (problem: string) => new KeyprovError('key-invalid', `encrypted private key: ${problem}`);
  if (!equal(encode(envelope), der)) throw wrong('not PBES2 with scrypt (r 8, p 1) and AES-256-GCM');
  const problem = scryptProblem({ cost, blockSize: BLOCK_SIZE, parallelization: PARALLELIZATION });
  if (problem !== undefined) throw wrong(problem);
  if (nonce.length !== 12 || envelope.encrypted.length <= TAG_SIZE)
    throw wrong('the nonce or the ciphertext has the wrong length');
  return envelope;
}
