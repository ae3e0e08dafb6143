import { readFileSync } from 'node:fs';
import { fromBase64, fromHex } from '../src/bytes.ts';
import { decodeSpki } from '../src/crypto/public-key.ts';
import type { KeyRecord } from '../src/keys/key-record.ts';

const { ecc } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

/** A record of a P-256 key in a TPM, with everything in it that a record can have. */
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
    policy: { hardware: 'preferred', allowedAlgorithms: ['rsa-2048', 'p-256'] },
    attempts: [{ backend: 'tpm', outcome: 'used', reason: 'made' }],
    annotations: { counter: 0 },
    ...change,
  };
}
