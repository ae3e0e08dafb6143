import { readFileSync } from 'node:fs';
import { fromBase64, fromHex } from '../src/bytes.ts';
import { decodeSpki } from '../src/crypto/public-key.ts';
import type { KeyRecord } from '../src/keys/key-record.ts';
import { definePolicy } from '../src/policy/index.ts';

const { ecc } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

/** A record of a P-256 key in a TPM with every possible member. */
export function keyRecord(id: string, change: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id,
    name: `key ${id}`,
    backend: 'tpm',
    assurance: 'virtual',
    algorithm: 'p-256',
    publicKey: decodeSpki(fromBase64(ecc.curves['P-256'].spkiB64)),
    privateKey: '-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n',
    hasPin: true,
    pinDerivation: { kdf: 'scrypt', salt: fromHex('00112233'), cost: 16384, blockSize: 8, parallelization: 1 },
    parent: { handle: 0x81000001, name: fromHex('000b1234') },
    created: '2026-01-02T03:04:05.678Z',
    user: 'ada@contoso.test',
    deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
    tpm: {
      address: 'libtpms:/var/lib/tpm',
      virtual: true,
      signs: ['its manufacturer is IBM'],
      vendor: {
        manufacturer: 'IBM',
        manufacturerId: 0x49424d00,
        vendorString: 'SW   TPM',
        firmwareVersion: 0x2019102300163636n,
        revision: '1.64',
      },
    },
    policy: definePolicy({ algorithm: 'p-256', pin: { minLength: 8 } }),
    attempts: [
      { backend: 'tpm', outcome: 'failed', code: 'transport-busy', reason: 'busy' },
      { backend: 'tpm', outcome: 'used', reason: 'made' },
    ],
    exports: ['key.pem'],
    annotations: { counter: 0 },
    ...change,
  };
}
