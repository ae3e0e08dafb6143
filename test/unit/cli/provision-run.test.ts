import { createHook } from 'node:async_hooks';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { type RunArguments, type RunContext, runWith } from '../../../src/cli/provision-run.ts';
import type { ServiceConnection } from '../../../src/cli/service-connection.ts';
import { Report } from '../../../src/cli/terminal/report.ts';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import { policyInForce } from '../../../src/policy/index.ts';

/** How long a code is valid, at most. */
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

const directory = mkdtempSync(join(tmpdir(), 'keyprov-provision-run-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('a run of the command line', () => {
  it('waits for the sign-in as long as a code is valid', async () => {
    const mfa: ServiceConnection['mfa'] = async () => ({ status: 'failed', reason: 'the user declined' });
    const wish = {
      ...{ user: 'ada@contoso.test', deviceId: '5f0b4a3c-8a51-4f5c-9a2e-0c8f1d2e3b4a', tpm: { address: 'none' } },
      ...{
        merged: await policyInForce({ environment: {} }),
        hasPin: false,
        prerequisites: 'skip',
        allowDowngrade: false,
      },
    } as RunArguments;
    const context = {
      prompter: { isTerminal: false },
      ...{ store: await openKeyStore(directory), report: new Report({ json: true, verbose: false }) },
      ...{ signal: new AbortController().signal, environment: {} },
    } as unknown as RunContext;
    const registrar = {
      address: 'https://x.test/',
      resource: 'urn:x',
      tenant: '',
      challenge: vi.fn(),
      register: vi.fn(),
    };
    const connection = { registrar, mfa } as unknown as ServiceConnection;
    const waits: number[] = [];
    const init = (_id: number, type: string, _trigger: number, resource: object) =>
      void (type === 'Timeout' && waits.push(Number(Reflect.get(resource, '_idleTimeout'))));
    const hook = createHook({ init }).enable();
    try {
      await expect(runWith(connection, wish, context)).rejects.toMatchObject({ code: 'mfa-failed' });
    } finally {
      hook.disable();
    }
    expect(waits.filter((ms) => ms >= MINUTE_MS && ms <= HOUR_MS)).toEqual([]);
    expect(waits.filter((ms) => ms > HOUR_MS)).toHaveLength(1);
  });
});
