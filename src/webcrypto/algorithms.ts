import type { webcrypto } from 'node:crypto';
import { slotsOf } from './crypto-key.ts';
import { domError } from './dom-error.ts';
import type { AlgorithmName, NormalizedAlgorithm } from './key-types.ts';
import { isObject, memberOf, toBytes, toDomString, toUnsigned } from './webidl.ts';

export type Operation =
  | 'encrypt'
  | 'decrypt'
  | 'sign'
  | 'verify'
  | 'digest'
  | 'generateKey'
  | 'deriveBits'
  | 'wrapKey'
  | 'unwrapKey'
  | 'importKey'
  | 'exportKey'
  | 'getKeyLength';

type Convert = (value: unknown, name: string) => unknown;
interface Member {
  readonly convert: Convert;
  readonly isOptional?: true;
}
type Members = Readonly<Record<string, Member>>;

interface AlgorithmFacts {
  readonly kind: 'rsa' | 'ec' | 'okp' | 'aes' | 'hmac' | 'kdf' | 'digest';
  /** The allowed usages of the key, or of each type of key. */
  readonly usages: { readonly [type in webcrypto.KeyType]?: readonly webcrypto.KeyUsage[] };
  readonly operations: { readonly [operation in Operation]?: Members };
}

const bytes: Member = { convert: toBytes };
const unsigned = (bits: number): Member => ({ convert: (value, name) => toUnsigned(value, name, bits) });
const optional = ({ convert }: Member): Member => ({ convert, isOptional: true });
const text: Member = { convert: toDomString };
const hash: Member = { convert: (value) => ({ name: normalizeAlgorithm('digest', value).name }) };
const key: Member = { convert: slotsOf };
const bigInteger: Member = {
  convert: (value, name) => {
    if (!(value instanceof Uint8Array)) throw new TypeError(`${name} is not a Uint8Array`);
    return toBytes(value, name);
  },
};

const SIGNING = { public: ['verify'], private: ['sign'] } as const;
const RSA_OPERATIONS = {
  generateKey: { modulusLength: unsigned(32), publicExponent: bigInteger, hash },
  importKey: { hash },
  exportKey: {},
};
const EC_OPERATIONS = { generateKey: { namedCurve: text }, importKey: { namedCurve: text }, exportKey: {} };
const AGREEMENT = { public: [], private: ['deriveKey', 'deriveBits'] } as const;
const KEY_OPERATIONS = { generateKey: {}, importKey: {}, exportKey: {} };
const AES_OPERATIONS = {
  generateKey: { length: unsigned(16) },
  importKey: {},
  exportKey: {},
  getKeyLength: { length: unsigned(16) },
};
const aes = (members: Members): AlgorithmFacts => ({
  kind: 'aes',
  usages: { secret: ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'] },
  operations: { ...AES_OPERATIONS, encrypt: members, decrypt: members },
});
const kdf = (members: Members): AlgorithmFacts => ({
  kind: 'kdf',
  usages: { secret: ['deriveKey', 'deriveBits'] },
  operations: { deriveBits: members, importKey: {}, getKeyLength: {} },
});
const HMAC_MEMBERS = { hash, length: optional(unsigned(32)) };
const DIGEST: AlgorithmFacts = { kind: 'digest', usages: {}, operations: { digest: {} } };

/** The algorithms of the standard with their parameters, those of inherited dictionaries first. */
const ALGORITHMS: Readonly<Record<AlgorithmName, AlgorithmFacts>> = {
  'RSASSA-PKCS1-v1_5': { kind: 'rsa', usages: SIGNING, operations: { ...RSA_OPERATIONS, sign: {}, verify: {} } },
  'RSA-PSS': {
    kind: 'rsa',
    usages: SIGNING,
    operations: { ...RSA_OPERATIONS, sign: { saltLength: unsigned(32) }, verify: { saltLength: unsigned(32) } },
  },
  'RSA-OAEP': {
    kind: 'rsa',
    usages: { public: ['encrypt', 'wrapKey'], private: ['decrypt', 'unwrapKey'] },
    operations: { ...RSA_OPERATIONS, encrypt: { label: optional(bytes) }, decrypt: { label: optional(bytes) } },
  },
  ECDSA: { kind: 'ec', usages: SIGNING, operations: { ...EC_OPERATIONS, sign: { hash }, verify: { hash } } },
  ECDH: { kind: 'ec', usages: AGREEMENT, operations: { ...EC_OPERATIONS, deriveBits: { public: key } } },
  Ed25519: { kind: 'okp', usages: SIGNING, operations: { ...KEY_OPERATIONS, sign: {}, verify: {} } },
  X25519: { kind: 'okp', usages: AGREEMENT, operations: { ...KEY_OPERATIONS, deriveBits: { public: key } } },
  'AES-CTR': aes({ counter: bytes, length: unsigned(8) }),
  'AES-CBC': aes({ iv: bytes }),
  'AES-GCM': aes({ additionalData: optional(bytes), iv: bytes, tagLength: optional(unsigned(8)) }),
  'AES-KW': {
    kind: 'aes',
    usages: { secret: ['wrapKey', 'unwrapKey'] },
    operations: { ...AES_OPERATIONS, wrapKey: {}, unwrapKey: {} },
  },
  HMAC: {
    kind: 'hmac',
    usages: { secret: ['sign', 'verify'] },
    operations: {
      ...KEY_OPERATIONS,
      generateKey: HMAC_MEMBERS,
      importKey: HMAC_MEMBERS,
      getKeyLength: HMAC_MEMBERS,
      sign: {},
      verify: {},
    },
  },
  HKDF: kdf({ hash, info: bytes, salt: bytes }),
  PBKDF2: kdf({ hash, iterations: unsigned(32), salt: bytes }),
  'SHA-1': DIGEST,
  'SHA-256': DIGEST,
  'SHA-384': DIGEST,
  'SHA-512': DIGEST,
};

const NAMES: ReadonlyMap<string, AlgorithmName> = new Map(
  (Object.keys(ALGORITHMS) as AlgorithmName[]).map((name) => [name.toLowerCase(), name]),
);

export function factsOf(name: AlgorithmName): AlgorithmFacts {
  return ALGORITHMS[name];
}

/**
 * Normalizes an algorithm for an operation. Web Cryptography API, 18.4.4.
 * @throws DOMException NotSupportedError for an unknown algorithm, or one without this operation.
 * @throws TypeError for members that are missing or of a wrong type.
 */
export function normalizeAlgorithm(operation: Operation, algorithm: unknown): NormalizedAlgorithm {
  const dictionary = isObject(algorithm) ? algorithm : { name: toDomString(algorithm) };
  const givenName = memberOf(dictionary, 'name');
  if (givenName === undefined) throw new TypeError('the algorithm has no name');
  const name = NAMES.get(toDomString(givenName).toLowerCase());
  const members = name && ALGORITHMS[name].operations[operation];
  if (name === undefined || members === undefined) {
    throw domError('NotSupportedError', `${operation} is not supported with the algorithm ${givenName}`);
  }
  const normalized: { name: AlgorithmName; [member: string]: unknown } = { name };
  for (const [member, { convert, isOptional }] of Object.entries(members)) {
    const value = memberOf(dictionary, member);
    if (value !== undefined) normalized[member] = convert(value, `${name}: ${member}`);
    else if (!isOptional) throw new TypeError(`${name}: ${member} is missing`);
  }
  return normalized;
}
