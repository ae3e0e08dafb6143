import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmObject } from '../../src/tpm/tpm-object.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { leftovers, newTpm, tpmMissing } from './support/new-tpm.ts';

describe.skipIf(await tpmMissing())('keys that are made and used at the same time', () => {
  test('share three slots for objects and three for sessions', async () => {
    await using tpm = await newTpm();
    const provider = await openTpmKeyProvider(tpm);
    const pin = utf8('1357902468');
    const data = utf8('data');
    const keys = await Promise.all(Array.from({ length: 20 }, () => provider.create({ algorithm: 'p-256', pin })));
    const signatures = await Promise.all(keys.map((key) => provider.sign(key, { data, pin })));
    const verified = keys.map(({ publicKey }, i) =>
      verifySignature(publicKey, 'sha256', data, signatures[i] ?? data, 'der'),
    );
    expect(verified).toEqual(keys.map(() => true));
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('leave room for sessions that someone keeps', async () => {
    await using tpm = await newTpm();
    const kept = await Promise.all(Array.from({ length: 6 }, () => startSession(tpm)));
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256' });
    await provider.sign(key, { data: utf8('data') });
    for (const session of kept) await session.close();
    expect(await leftovers(tpm)).toEqual([]);
  });
});

async function openStorage(tpm: Tpm): Promise<TpmObject> {
  const none = new Uint8Array(0);
  const { objectHandle } = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inSensitive: { userAuth: none, data: none },
    inPublic: srkTemplate('p-256'),
    outsideInfo: none,
    creationPCR: [],
  });
  return objectHandle;
}

describe.skipIf(await tpmMissing())('Tpm.flushStale', () => {
  test('removes what an earlier client has left, and nothing of ours', async () => {
    await using swtpm = await startSwtpm();
    const first = await swtpm.open();
    const abandoned = await Tpm.open(first);
    await openStorage(abandoned);
    await openStorage(abandoned);
    await first.close(); // without flushing anything, as a client that dies
    await using tpm = await Tpm.open(await swtpm.open());
    const own = await openStorage(tpm);
    expect(await tpm.flushStale()).toBe(2);
    expect(await tpm.flushStale()).toBe(0);
    expect((await tpm.run(ReadPublic, { objectHandle: own })).name).toEqual(own.name);
  });
});
