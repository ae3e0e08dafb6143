import { randomUUID, type webcrypto } from 'node:crypto';
import { KeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { factsOf, normalizeAlgorithm } from './algorithms.ts';
import { slotsOf } from './crypto-key.ts';
import { domError } from './dom-error.ts';
import type { KeyPair } from './generate-key.ts';
import type { KeyHolder } from './key-holder.ts';
import { publicMaterial } from './key-material.ts';
import type { NormalizedAlgorithm, SoftwareKey } from './key-types.ts';
import { heldKey, softwareKey } from './new-keys.ts';
import { isObject, memberOf, toKeyUsages } from './webidl.ts';

/** The names of a key in the store. */
export interface StoreKeyOptions {
  /** Default: a random UUID. */
  readonly id?: string | undefined;
  /** For people. Default: the id. */
  readonly name?: string | undefined;
}

/** The intended use of a stored key. Default: the use that it was made for; signing for a key made elsewhere. */
export interface LoadKeyOptions {
  /** As for `importKey`; the curve may be omitted. */
  readonly algorithm?: webcrypto.AlgorithmIdentifier | webcrypto.RsaHashedImportParams | undefined;
  /** The usages of both keys in one list. */
  readonly usages?: readonly webcrypto.KeyUsage[] | undefined;
}

/** The member of a record's annotations with the intended use of the key. */
const ANNOTATION = 'webcrypto';

/** The default use of a key made elsewhere. */
const SIGNING = { RSA: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, EC: { name: 'ECDSA' } } as const;

/** Makes the record of a new key. @throws TypeError for a key that no provider holds */
export function recordOfKey(key: webcrypto.CryptoKey, { id = randomUUID(), name = id }: StoreKeyOptions): KeyRecord {
  const { handle, algorithm, usages } = slotsOf(key);
  if (handle.kind !== 'held') throw new TypeError('only a private key that its provider holds can be stored');
  const hash = algorithm.hash && { hash: algorithm.hash.name };
  return {
    ...handle.key,
    id,
    name,
    assurance: handle.assurance,
    created: new Date().toISOString(),
    attempts: [],
    annotations: { [ANNOTATION]: { name: algorithm.name, ...hash, usages: [...usages] } },
  };
}

/**
 * Returns the keys of a record, which `holder` uses.
 * @throws KeyprovError `key-invalid` for a key of another backend; the errors of `importKey` for unsuitable options.
 */
export function keysOfRecord(record: KeyRecord, holder: KeyHolder, options: LoadKeyOptions): KeyPair {
  const { backend, publicKey, assurance, annotations } = record;
  if (backend !== holder.provider.backend) {
    throw new KeyprovError('key-invalid', `the key ${record.id} is a ${backend} key`, {
      remedy: `load it with a crypto object whose provider is for ${backend} keys`,
    });
  }
  const made = options.algorithm === undefined ? annotations[ANNOTATION] : undefined;
  const given: unknown = options.algorithm ?? made ?? SIGNING[publicKey.kty];
  const curve = publicKey.kty === 'EC' ? { namedCurve: publicKey.crv } : {};
  const algorithm = normalizeAlgorithm(
    'importKey',
    isObject(given) ? { ...given, ...curve } : { name: given, ...curve },
  );
  const material = materialOf(record, algorithm);
  const possible = factsOf(algorithm.name).usages;
  const [ofPublic, ofPrivate] = [possible.public ?? [], possible.private ?? []];
  const usages = toKeyUsages(
    options.usages ?? [...ofPublic, ...toKeyUsages(isObject(made) ? memberOf(made, 'usages') : ofPrivate)],
  );
  if (!usages.every((usage) => ofPublic.includes(usage) || ofPrivate.includes(usage))) {
    throw domError('SyntaxError', `${algorithm.name} keys do not allow these usages`);
  }
  return {
    publicKey: softwareKey(material, { extractable: true, usages }),
    privateKey: heldKey({ kind: 'held', key: record, assurance, holder }, material.algorithm, usages),
  };
}

function materialOf({ id, publicKey }: KeyRecord, algorithm: NormalizedAlgorithm): SoftwareKey {
  try {
    return publicMaterial(publicKey, algorithm);
  } catch (error) {
    throw domError('DataError', `the key ${id} is not for ${algorithm.name}`, error);
  }
}
