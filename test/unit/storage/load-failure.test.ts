import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { passingFailure } from '../../../src/storage/load-failure.ts';

const failure = (code: string): Error => Object.assign(new Error(`${code}: open koffi`), { code });
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-load-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
  vi.doUnmock('../../../native/libc.ts');
  vi.resetModules();
});

/** Simulates `import` of the modules in `native/` when the system refuses. */
function refuse(error: Error): void {
  vi.resetModules();
  vi.doMock('../../../native/libc.ts', () => ({
    get loadLibc(): never {
      throw error;
    },
  }));
}

it('distinguishes temporary failures from missing programs', () => {
  for (const code of ['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES']) expect(passingFailure(failure(code))).toBeDefined();
  for (const code of ['ENOENT', 'ERR_MODULE_NOT_FOUND', 'ERR_DLOPEN_FAILED']) {
    expect(passingFailure(failure(code))).toBeUndefined();
    expect(passingFailure(failure(code), process.execPath)).toBeUndefined();
    expect(passingFailure(failure(code), join(directory, 'missing'))).toBeUndefined();
  }
});

it('uses no lease if the kernel lock is temporarily unavailable', async () => {
  refuse(failure('EMFILE'));
  const { holdLock } = await import('../../../src/storage/hold-lock.ts');
  await expect(holdLock(join(directory, 'lock'))).rejects.toMatchObject({ code: 'store-io' });
});

it("makes no software key if the TPM's library temporarily cannot be loaded", async () => {
  refuse(failure('EMFILE'));
  const { openLibtpms } = await import('../../../src/tpm/transports/libtpms.ts');
  const { fallbackClassOf } = await import('../../../src/keys/fallback.ts');
  const error = await openLibtpms().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'transport-unreachable', message: expect.stringContaining('EMFILE') });
  expect(fallbackClassOf(error)).toBe('temporary');
});
