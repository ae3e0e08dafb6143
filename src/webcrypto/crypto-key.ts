import type { webcrypto } from 'node:crypto';
import type { KeySlots, WebKeyAlgorithm } from './key-types.ts';

interface Entry {
  readonly slots: KeySlots;
  /** The parts of the slots that scripts see: always the same objects. */
  readonly algorithm: WebKeyAlgorithm;
  readonly usages: webcrypto.KeyUsage[];
}

const entries = new WeakMap<object, Entry>();

/**
 * A key as the Web Cryptography API shows it. `subtle` of a {@link KeyprovCrypto} makes it, never `new`. Its properties
 * cannot be changed, and none of them contains the private key.
 */
export class CryptoKey implements webcrypto.CryptoKey {
  /** @throws TypeError always. */
  constructor() {
    throw new TypeError('Illegal constructor');
  }

  get type(): webcrypto.KeyType {
    return slotsOf(this).type;
  }

  get extractable(): boolean {
    return slotsOf(this).extractable;
  }

  get algorithm(): webcrypto.KeyAlgorithm {
    return entryOf(this).algorithm;
  }

  get usages(): webcrypto.KeyUsage[] {
    return entryOf(this).usages;
  }

  get [Symbol.toStringTag](): string {
    return 'CryptoKey';
  }
}

export function makeCryptoKey(slots: KeySlots): CryptoKey {
  const key: CryptoKey = Object.create(CryptoKey.prototype);
  entries.set(key, { slots, algorithm: structuredClone(slots.algorithm), usages: [...slots.usages] });
  return key;
}

/** The slots of a key. @throws TypeError for anything that {@link makeCryptoKey} did not make. */
export function slotsOf(key: unknown): KeySlots {
  return entryOf(key).slots;
}

function entryOf(key: unknown): Entry {
  const entry = typeof key === 'object' && key !== null ? entries.get(key) : undefined;
  if (entry === undefined) throw new TypeError('not a keyprov CryptoKey');
  return entry;
}
