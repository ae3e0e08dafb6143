import '../cheap-scrypt.mjs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toBase64 } from '../../src/bytes.ts';
import { ServiceError } from '../../src/errors/service-error.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { listRuns } from '../../src/provisioning/run-journal.ts';
import type { OpenKeyRegistrarOptions } from '../../src/registration/open-key-registrar.ts';
import type { RequestFault } from '../../src/testing/index.ts';
import { type IdentityWorld, startIdentityWorld } from './support/identity-world.ts';

let world: IdentityWorld;
let store: KeyStore;
let users = 0;
beforeAll(async () => {
  world = await startIdentityWorld({ attestation: 'ignore' });
});
afterAll(() => world?.[Symbol.asyncDispose]());
beforeEach(async () => {
  store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-faults-')));
});
afterEach(() => rm(store.directory, { recursive: true }));

/** A run with a software key, which is the quickest, that begins as if nothing had been before. */
async function run(user: string, lookup?: OpenKeyRegistrarOptions['lookup']): Promise<string> {
  const waits: number[] = [];
  const sleep = async (ms: number) => {
    waits.push(ms);
  };
  try {
    const outcome = await provision({
      ...{ user, deviceId: world.device.deviceId, store, prerequisites: 'skip', pin: 'none' },
      registrar: await world.registrar({ sleep, lookup }),
      policy: definePolicy({ hardware: 'discouraged', algorithm: 'p-256' }),
      sources: { software: async () => openSoftwareKeyProvider({ wrappingSecret: new Uint8Array(32).fill(1) }) },
      mfa: async () => ({ status: 'passed', token: await world.token(user) }),
    });
    const { status } = outcome;
    return status === 'pending' ? `pending ${outcome.problem.code}, ${waits.length} repetitions` : status;
  } catch (error) {
    return `${Object(error).code}, ${waits.length} repetitions`;
  }
}

/** Lets each request to register a key end like that. */
const intercept = (fault: RequestFault) =>
  world.service.setIntercept(({ method, path }) =>
    method === 'POST' && path.startsWith('/EnrollmentServer/key') ? fault : 'continue',
  );

const keysOf = (user: string) => world.service.keys().filter(({ upn }) => upn === user);

const DETAILS = { code: 'X', message: 'no', response: 'ERROR_FAIL', target: 'key', time: '2026-01-01T00:00:00Z' };
/** Every form in which services write errors. */
const BODIES: Readonly<Record<string, unknown>> = {
  'flat ErrorDetails': DETAILS,
  'ErrorDetails under error': { error: DETAILS },
  'DVRJ form': { ErrorType: 'DirectoryError', Message: 'no', TraceId: 'x', Time: '02-24-2016 17:37:01Z' },
  HTML: '<html>no</html>',
  nothing: '',
};
const answer = (status: number, body: unknown, headers: Record<string, string> = {}): RequestFault => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: typeof body === 'string' ? body : JSON.stringify(body),
});

/** The outcome of a run with that fault, and what is left of the run: a journal or nothing. */
const FAULTS: readonly (readonly [name: string, fault: RequestFault, outcome: string, left: 'journal' | 'nothing'])[] =
  [
    ...[400, 403, 404, 409, 410].flatMap((status) =>
      Object.entries(BODIES).map(
        ([form, body]) =>
          [`status ${status}, ${form}`, answer(status, body), 'service-refused, 0 repetitions', 'nothing'] as const,
      ),
    ),
    ...[429, 500, 502, 503].flatMap((status) =>
      Object.entries(BODIES).map(
        ([form, body]) =>
          [
            `status ${status}, ${form}`,
            answer(status, body),
            'pending service-unreachable, 3 repetitions',
            'journal',
          ] as const,
      ),
    ),
    ['status 401', answer(401, DETAILS), 'service-refused, 0 repetitions', 'nothing'],
    [
      'throttled in a 400',
      answer(400, { ErrorType: 'DirectoryError', Message: 'request temporarily throttled' }),
      'pending service-unreachable, 3 repetitions',
      'journal',
    ],
    [
      'Retry-After of a day',
      answer(503, '', { 'retry-after': '86400' }),
      'pending service-unreachable, 0 repetitions',
      'journal',
    ],
    ['200 with garbage', answer(200, '<html>'), 'pending service-answer, 0 repetitions', 'journal'],
    ['200 with cut JSON', answer(200, '{"kid":"0ce67455'), 'pending service-answer, 0 repetitions', 'journal'],
    ['200 without a kid', answer(200, { upn: 'x' }), 'pending service-answer, 0 repetitions', 'journal'],
    ['a redirection', answer(302, '', { location: '/elsewhere' }), 'service-refused, 0 repetitions', 'nothing'],
    ['no answer', 'drop-before', 'pending service-unreachable, 3 repetitions', 'journal'],
    ['no answer after it was stored', 'drop-after', 'pending service-unreachable, 3 repetitions', 'journal'],
  ];

describe('a run with a service that fails', () => {
  it.each(FAULTS)(
    'by %s, ends as documented, and with one key once the service is well',
    async (_, fault, said, left) => {
      users += 1;
      const user = `f${users}@contoso.test`;
      world.addUser(user);
      intercept(fault);
      expect(await run(user)).toBe(said);
      expect((await listRuns(store)).length).toBe(left === 'journal' ? 1 : 0);
      expect(keysOf(user)).toHaveLength(fault === 'drop-after' ? 1 : 0);
      world.service.setIntercept();
      expect(await run(user)).toBe('registered');
      expect(keysOf(user)).toHaveLength(1);
      expect((await store.list()).records).toHaveLength(1);
      expect(await listRuns(store)).toEqual([]);
    },
  );

  it('looks for the key before it sends the request of an earlier call again', async () => {
    const user = 'looked-up@contoso.test';
    world.addUser(user);
    const asked: unknown[] = [];
    const lookup: OpenKeyRegistrarOptions['lookup'] = async ({ body, clientRequestId }) => {
      asked.push(JSON.parse(body).kngc);
      const [key] = keysOf(user);
      return key === undefined ? 'absent' : { kid: key.kid, upn: user, clientRequestId, further: {} };
    };
    const posts = () =>
      world.service.requests.filter(
        ({ method, path }) => method === 'POST' && path.startsWith('/EnrollmentServer/key'),
      );
    const before = posts().length;
    intercept('drop-after');
    expect(await run(user)).toBe('pending service-unreachable, 3 repetitions');
    world.service.setIntercept();
    expect(posts().length - before).toBe(4);
    expect(await run(user, lookup)).toBe('registered');
    expect([posts().length - before, asked]).toEqual([4, keysOf(user).map(({ keyMaterial }) => toBase64(keyMaterial))]);
  });

  it('keeps a key that the service may have if the lookup is refused', async () => {
    const user = 'not-looked-up@contoso.test';
    world.addUser(user);
    intercept('drop-after');
    const lookup = () => Promise.reject(new ServiceError('service-refused', 'no permission to look'));
    expect(await run(user, lookup)).toBe('service-refused, 1 repetitions');
    expect([keysOf(user).length, (await listRuns(store)).length]).toEqual([1, 1]);
    world.service.setIntercept();
    expect(await run(user)).toBe('registered');
    expect(keysOf(user)).toHaveLength(1);
  });

  it('ends with a refusal even if an earlier request may have registered the key, and keeps the run', async () => {
    const user = 'refused-later@contoso.test';
    world.addUser(user);
    intercept('drop-after');
    expect(await run(user)).toBe('pending service-unreachable, 3 repetitions');
    intercept(answer(403, DETAILS));
    expect(await run(user)).toBe('service-refused, 0 repetitions');
    expect(await listRuns(store)).toHaveLength(1);
    world.service.setIntercept();
    expect(await run(user)).toBe('registered');
    expect(keysOf(user)).toHaveLength(1);
  });
});
