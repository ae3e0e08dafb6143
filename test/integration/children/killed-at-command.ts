/**
 * Runs one operation with a key and kills itself at the TPM command `killAt` (counted from 1): before it is sent or, with
 * `after`, when its answer has arrived. Prints the number of commands if it completes.
 */
import { writeSync } from 'node:fs';
import { createAttestationKey } from '../../../src/attestation/attestation-key.ts';
import { attestKey } from '../../../src/attestation/certify.ts';
import { decodeKeyRecord } from '../../../src/keys/key-record.ts';
import { openTpmKeyProvider } from '../../../src/keys/tpm-provider.ts';
import { openTpm } from '../../../src/tpm/open-tpm.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';

const given: {
  tpm: string;
  marks: string;
  record: string;
  operation: 'sign' | 'attest' | 'change-pin' | 'create';
  killAt: number;
  after: boolean;
} = JSON.parse(process.argv[2] ?? '');

let commands = 0;
const kill = (): void => {
  process.kill(process.pid, 'SIGKILL');
};

function killing(inner: TpmTransport): TpmTransport {
  const { kind, address, emulator, managed } = inner;
  return {
    ...{ kind, address, emulator, managed },
    send: async (command, options) => {
      commands += 1;
      if (commands !== given.killAt) return await inner.send(command, options);
      if (given.after) await inner.send(command, options);
      kill();
      throw new Error('killed');
    },
    close: () => inner.close(),
  };
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const pin = utf8('591834');
const key = decodeKeyRecord(given.record, 'given');
const tpm = await openTpm(given.tpm, { wrap: killing, marksDirectory: given.marks });
const provider = await openTpmKeyProvider(tpm, { pinDerivation: 'pcp-sha256' });
const operations = {
  sign: () => provider.sign(key, { data: utf8('data'), pin }),
  'change-pin': () => provider.changePin(key, { pin, newPin: pin }),
  create: () => provider.create({ algorithm: 'p-256', pin }),
  attest: async () => {
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const wanted = { ak, challenge: utf8('challenge'), authorization: 'windows-hello-policy' } as const;
    return await provider.useWithoutPin(key, {}, ({ object }) => attestKey(tpm, { ...wanted, key: object }));
  },
};
await operations[given.operation]();
await tpm.close();
writeSync(1, `${commands}\n`);
