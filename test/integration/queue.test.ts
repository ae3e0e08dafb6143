import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/bytes.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { Certify } from '../../src/tpm/commands/attestation.ts';
import { ContextLoad, ContextSave, FlushContext } from '../../src/tpm/commands/context.ts';
import { CreatePrimary, type CreatePrimaryResult } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { Hash } from '../../src/tpm/commands/symmetric.ts';
import { TPM_ALG, TPM_HT, TPM_RH } from '../../src/tpm/constants.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { akTemplate, srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { errorOf } from './support/failure.ts';
import { mixedOperations } from './support/mixed-operations.ts';
import { handlesOf, leftovers, newTpm, newTransport, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const NOTHING = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };

const sha256 = (data: Uint8Array) => new Uint8Array(createHash('sha256').update(data).digest());
const primary = (tpm: Tpm, signal?: AbortSignal): Promise<CreatePrimaryResult> =>
  tpm.run(CreatePrimary, { primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256'), ...NOTHING }, { signal });
const hash = (tpm: Tpm, data: Uint8Array) => tpm.run(Hash, { data, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.NULL });

const missing = await tpmMissing();

describe.skipIf(missing !== undefined)('a queue of commands', () => {
  let tpm: Tpm;
  beforeEach(async () => {
    tpm = await newTpm();
  });
  afterEach(() => tpm.close());

  it('gives 1,000 overlapping calls their own answers', async () => {
    const keys = await Promise.all([primary(tpm), ...keysOf(tpm, 4)]);
    await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        switch (i % 4) {
          case 0: {
            const data = utf8(`data ${i}`);
            expect(toHex((await hash(tpm, data)).outHash)).toBe(toHex(sha256(data)));
            break;
          }
          case 1: {
            const bytesRequested = 1 + ((i >> 2) % 32);
            expect((await tpm.run(GetRandom, { bytesRequested })).randomBytes.length).toBe(bytesRequested);
            break;
          }
          case 2: {
            const { objectHandle, name } = keys[(i >> 2) % keys.length] as CreatePrimaryResult;
            expect(toHex((await tpm.run(ReadPublic, { objectHandle })).name)).toBe(toHex(name));
            break;
          }
          default: {
            const error = await errorOf(tpm.run(ReadPublic, { objectHandle: 0x81000000 + i }));
            expect(error).toMatchObject({ command: 'ReadPublic', responseCode: { base: TPM_RC.HANDLE } });
          }
        }
      }),
    );
    await Promise.all(keys.map(({ objectHandle }) => objectHandle.flush()));
    expect(await leftovers(tpm)).toEqual([]);
  });

  it('lets more objects be used than the TPM has slots, each the right one', async () => {
    const keys = await Promise.all(keysOf(tpm, 7));
    expect((await handlesOf(tpm, TPM_HT.TRANSIENT)).length).toBe(3);
    for (const signer of keys) {
      for (const certified of keys) {
        const { certifyInfo } = await tpm.run(Certify, {
          objectHandle: certified.objectHandle,
          signHandle: signer.objectHandle,
          qualifyingData: EMPTY,
          inScheme: { scheme: TPM_ALG.NULL },
        });
        const { attested } = decode(TPMS_ATTEST, certifyInfo);
        expect('name' in attested && toHex(attested.name)).toBe(toHex(certified.name));
      }
    }
    for (const { objectHandle } of keys) await objectHandle.flush();
    expect(await leftovers(tpm)).toEqual([]);
  });

  it('never runs a command with the wrong object when slots are taken by others', async () => {
    const [a, b] = (await Promise.all(keysOf(tpm, 2))) as [CreatePrimaryResult, CreatePrimaryResult];
    const { context } = await tpm.run(ContextSave, { saveHandle: a.objectHandle });
    const foreign = [await tpm.run(ContextLoad, { context }), await tpm.run(ContextLoad, { context })];
    const args = { objectHandle: a.objectHandle, signHandle: b.objectHandle, qualifyingData: EMPTY };
    const error = await errorOf(tpm.run(Certify, { ...args, inScheme: { scheme: TPM_ALG.NULL } }));
    expect(isKeyprovError(error, 'tpm-out-of-memory'), String(error)).toBe(true);
    for (const { loadedHandle } of foreign) await tpm.run(FlushContext, { flushHandle: loadedHandle });
    const { certifyInfo } = await tpm.run(Certify, { ...args, inScheme: { scheme: TPM_ALG.NULL } });
    const { attested } = decode(TPMS_ATTEST, certifyInfo);
    expect('name' in attested && toHex(attested.name)).toBe(toHex(a.name));
  });

  it('reports the owner of the slots if there is no room and nothing of ours to swap out', async () => {
    const { objectHandle } = await primary(tpm);
    const { context } = await tpm.run(ContextSave, { saveHandle: objectHandle });
    await objectHandle.flush();
    for (let i = 0; i < 3; i++) await tpm.run(ContextLoad, { context });
    const error = await errorOf(primary(tpm));
    expect(isKeyprovError(error, 'tpm-out-of-memory')).toBe(true);
    expect(String(error)).toContain(
      "0x80000000 (another program's), 0x80000001 (another program's), 0x80000002 (another program's)",
    );
    for (let i = 0; i < 3; i++) await tpm.run(FlushContext, { flushHandle: 0x80000000 + i });
  });

  it('flushes what an aborted command has loaded, and gives the next one its own answer', async () => {
    let dropped = 0;
    for (let i = 0; i < 40; i++) {
      const controller = new AbortController();
      const creating = primary(tpm, controller.signal).catch((error: unknown) => error);
      const next = hash(tpm, utf8(`next ${i}`));
      // Some aborts come before the command is sent, some while it runs, some after its answer.
      for (let turn = 0; turn < i % 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error('enough'));
      const result = await creating;
      if (result instanceof Error) expect(result.message).toBe('enough');
      else await (result as CreatePrimaryResult).objectHandle.flush();
      if (result instanceof Error) dropped++;
      expect(toHex((await next).outHash)).toBe(toHex(sha256(utf8(`next ${i}`))));
      expect(await leftovers(tpm)).toEqual([]);
    }
    expect(dropped).toBeGreaterThanOrEqual(8);
  });

  it('leaves nothing in the TPM after 10,000 mixed operations, eight at a time', async () => {
    await mixedOperations(tpm, 10_000, 8);
    expect(await leftovers(tpm)).toEqual([]);
  });
});

describe.skipIf(missing !== undefined)('closing a TPM', () => {
  it("leaves only other programs' objects behind", async () => {
    const transport = await newTransport();
    const first = await Tpm.open(unclosed(transport));
    const { objectHandle } = await primary(first);
    const { context } = await first.run(ContextSave, { saveHandle: objectHandle });
    const { loadedHandle } = await first.run(ContextLoad, { context });
    await Promise.all(keysOf(first, 5));
    await startSession(first, {});
    await startSession(first, { type: 'policy' });
    await first.close();
    // TPM2_Shutdown alone removes nothing; losing power does.
    const second = await Tpm.open(unclosed(transport));
    expect(await leftovers(second)).toEqual([loadedHandle]);
    await second.close();
    await transport.close();
  });
});

/** A transport whose closing does nothing. */
const unclosed = (transport: TpmTransport): TpmTransport => ({
  kind: transport.kind,
  address: transport.address,
  emulator: true,
  managed: transport.managed,
  send: (command, options) => transport.send(command, options),
  close: async () => {},
});

/** Different signing keys of the NULL hierarchy. */
function keysOf(tpm: Tpm, count: number): Promise<CreatePrimaryResult>[] {
  return Array.from({ length: count }, (_, i) => {
    const template = akTemplate('p-256');
    const inPublic = { ...template, unique: { x: new Uint8Array([i + 1]), y: EMPTY } } as typeof template;
    return tpm.run(CreatePrimary, { primaryHandle: TPM_RH.NULL, inPublic, ...NOTHING });
  });
}
