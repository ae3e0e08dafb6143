import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { checkTpmIdentity, readTpmIdentity, type TpmIdentity } from '../../src/keys/tpm-identity.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { Clear } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'keyprov-identity-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Runs `work` on a swtpm with that state, from power on to an orderly shutdown. */
async function boot<T>(state: string, work: (tpm: Tpm) => Promise<T>): Promise<T> {
  await using swtpm = await startSwtpm({ stateDirectory: join(root, state) });
  await using tpm = await Tpm.open(await swtpm.open());
  return await work(tpm);
}

const identityOf = (state: string): Promise<TpmIdentity> => boot(state, (tpm) => readTpmIdentity(tpm));
const codeOf = (recorded: TpmIdentity, now: TpmIdentity): string => {
  try {
    checkTpmIdentity(recorded, now);
    return 'same';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('the identity of a TPM', () => {
  test('stays the same over restarts, and moves forward', async () => {
    const first = await identityOf('a');
    const second = await identityOf('a');
    expect(codeOf(first, second)).toBe('same');
    expect(second.resetCount).toBe(first.resetCount + 1);
  });

  test('tells a TPM that was cleared', async () => {
    const before = await identityOf('a');
    await boot('a', (tpm) => tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT }));
    expect(codeOf(before, await identityOf('a'))).toBe('tpm-cleared');
  });

  test('tells a TPM that was exchanged for another one', async () => {
    expect(codeOf(await identityOf('a'), await identityOf('b'))).toBe('tpm-replaced');
  });

  test('tells a TPM whose state was restored from an older copy', async () => {
    await identityOf('a');
    cpSync(join(root, 'a'), join(root, 'copy'), { recursive: true });
    await identityOf('a');
    const recorded = await identityOf('a');
    expect(codeOf(recorded, await identityOf('copy'))).toBe('tpm-rolled-back');
  });

  test('tells a clock that went back although the count of resets did not', async () => {
    const recorded = await identityOf('a');
    expect(codeOf({ ...recorded, clock: recorded.clock + 1n }, recorded)).toBe('tpm-rolled-back');
  });

  test('a key of a cleared TPM is refused with the reason, not with an error of the TPM', async () => {
    const key = await boot('a', async (tpm) => (await openTpmKeyProvider(tpm)).create({ algorithm: 'p-256' }));
    await boot('a', (tpm) => tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT }));
    const signing = boot('a', async (tpm) => (await openTpmKeyProvider(tpm)).sign(key, { data: utf8('x') }));
    await expect(signing).rejects.toMatchObject({ code: 'tpm-identity-changed' });
  });
});
