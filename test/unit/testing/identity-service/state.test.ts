import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PendingActivation } from '../../../../src/testing/identity-service/attestation-key-table.ts';
import type { ServiceKey } from '../../../../src/testing/identity-service/key-table.ts';
import { openState, type ServiceState } from '../../../../src/testing/identity-service/state.ts';
import { asyncRefusal } from '../../../refusal.ts';

describe('the state of the identity service', () => {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
  let state: ServiceState;
  beforeAll(async () => {
    state = await openState(directory);
  });
  afterAll(async () => {
    await state.close();
    rmSync(directory, { recursive: true });
  });

  const at = (ms: number) => new Date(1_700_000_000_000 + ms);
  const key = (byte: number, more: Partial<ServiceKey> = {}): ServiceKey => ({
    ...{ kid: randomUUID(), upn: 'ada@contoso.test', deviceId: 'D1', attestation: 'virtual', created: at(0) },
    ...{ keyId: new Uint8Array(32).fill(byte), keyMaterial: new Uint8Array(283), blob: new Uint8Array([byte]) },
    ...more,
  });

  it('issues nonces that can be used once, for their purpose, and in time', () => {
    const { nonces } = state;
    const value = nonces.give('registration', 'D1', at(0), 1000);
    expect(nonces.take('sign-in', value, at(0))).toBeUndefined();
    expect(nonces.take('registration', value, at(999))).toEqual({ deviceId: 'D1' });
    expect(nonces.take('registration', value, at(999))).toBeUndefined();
    const late = nonces.give('sign-in', undefined, at(0), 1000);
    expect(nonces.take('sign-in', late, at(1000))).toBeUndefined();
  });

  it('has a key of a user and device once, in any case', () => {
    const first = key(1);
    expect(state.keys.register(first, at(10))).toEqual(first);
    expect(state.keys.register(key(1, { upn: 'ADA@contoso.test', deviceId: 'd1' }), at(20))).toEqual(first);
    expect(state.keys.register(key(1, { deviceId: 'D2' }), at(20)).deviceId).toBe('D2');
    expect(state.keys.list('ADA@CONTOSO.TEST')).toHaveLength(2);
    expect(state.keys.outbox().map(({ due }) => due)).toEqual([at(10), at(20)]);
  });

  it('has waiting and failed entries due, and drops an unwritten one at a removal', () => {
    const { keys } = state;
    expect(keys.outbox(at(9))).toEqual([]);
    const [entry] = keys.outbox(at(10));
    if (entry === undefined) expect.fail('nothing is due');
    keys.setOutcome(entry.id, 'failed', 'no such user');
    expect(keys.outbox(at(10))).toMatchObject([{ id: entry.id, status: 'failed', reason: 'no such user' }]);
    const [first] = keys.list();
    expect(keys.remove('eve@contoso.test', first?.kid ?? '', at(30))).toBe(false);
    expect(keys.remove('ada@contoso.test', first?.kid ?? '', at(30))).toBe(true);
    expect(keys.remove('ada@contoso.test', first?.kid ?? '', at(30))).toBe(false);
    const done = keys.outbox().map(({ action, status }) => [action, status]);
    // Both devices have the key, and the blobs of this test are the same.
    expect(done).toEqual([
      ['add', 'absent'],
      ['add', 'absent'],
      ['remove', 'waiting'],
    ]);
  });

  it('keeps the first answer to a device code', () => {
    const { deviceCodes } = state;
    const record = {
      ...{ code: 'c', userCode: 'U', upn: 'ada@contoso.test', resource: 'r', clientId: 'i', methods: ['ngcmfa'] },
      ...{ created: at(0), answer: undefined, lastPoll: undefined },
    };
    deviceCodes.add(record);
    expect(deviceCodes.find('c')).toEqual(record);
    expect([deviceCodes.answer('U', false, at(5)), deviceCodes.answer('U', true, at(6))]).toEqual([true, false]);
    deviceCodes.setPolled('c', at(7));
    expect(deviceCodes.find('c')).toEqual({ ...record, answer: { approved: false, time: at(5) }, lastPoll: at(7) });
    deviceCodes.remove('c');
    expect(deviceCodes.find('c')).toBeUndefined();
  });

  it('accepts the secret of an activation once, in time, and does not keep it', () => {
    const secret = new Uint8Array(32).fill(9);
    const pending: PendingActivation = {
      ...{ pubArea: new Uint8Array([1, 2]), tier: 'activated', ekSha256: 'x' },
      tpm: { manufacturer: 0x53544d20, model: 'ST33', version: 0xffffffff },
    };
    const table = state.attestationKeys;
    table.challenge(secret, pending, at(10));
    expect(table.activate(new Uint8Array(32), at(9))).toBeUndefined();
    expect(table.activate(secret, at(9))).toEqual(pending);
    expect(table.activate(secret, at(9))).toBeUndefined();
    table.challenge(secret, pending, at(10));
    expect(table.activate(secret, at(10))).toBeUndefined();
    table.certified(new Uint8Array([7]), pending);
    expect(table.withCertificate(new Uint8Array([7]))).toEqual({ pubArea: pending.pubArea, tier: 'activated' });
    expect(table.withCertificate(new Uint8Array([8]))).toBeUndefined();
  });

  it('belongs to one service at a time', async () => {
    expect(await asyncRefusal(() => openState(directory))).toMatch(
      /^state-in-use: .* is locked by process \d+ .*; close that service,/,
    );
  });
});

it.each<[what: string, spoil: (path: string) => void]>([
  ['a directory in place of', (path) => mkdirSync(path)],
  [
    'something else than',
    (path) => writeFileSync(path, 'not a database, but long enough for the header of one'.repeat(9)),
  ],
])('finds %s its file, every time, and lets go of it', async (_, spoil) => {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
  try {
    const path = join(directory, 'service.db');
    spoil(path);
    const refusal = `state-invalid: ${path} is not a database of an identity service`;
    expect(await asyncRefusal(() => openState(directory))).toBe(refusal);
    expect(await asyncRefusal(() => openState(directory))).toBe(refusal);
    rmSync(path, { recursive: true });
    await (await openState(directory)).close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
