import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { encodeKeyRecord, type KeyRecord } from '../../src/keys/key-record.ts';
import { keySources, withTpmOf } from '../../src/keys/key-sources.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { makeKey } from '../../src/provisioning/provision-key.ts';
import { faultyTransport } from '../../src/testing/faulty-transport.ts';
import { ContextLoad, ContextSave, FlushContext } from '../../src/tpm/commands/context.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { TPM_CC, TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { openSwtpm } from '../../src/tpm/transports/swtpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms, toolEnvironment } from '../programs.ts';
import { type Bundle, bundle } from './support/bundle.ts';
import { leftovers } from './support/new-tpm.ts';
import { socketOf, tctiOf } from './support/swtpm-address.ts';

const PIN = utf8('591834');
const DATA = utf8('data');
const EMPTY = new Uint8Array(0);
const OPERATIONS = ['sign', 'attest', 'change-pin', 'create'] as const;

describe.skipIf(missingPrograms('swtpm') !== undefined)('what a dead process has left in a TPM', () => {
  let script: Bundle;
  let swtpm: SwtpmProcess;
  let address: string;
  let root: string;
  let record: KeyRecord;

  const open = (): Promise<Tpm> => openTpm(address, { marksDirectory: root });
  const marks = () => readdirSync(root);

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'keyprov-marks-'));
    script = await bundle('test/integration/children/killed-at-command.ts');
    swtpm = await startSwtpm();
    address = swtpm.address;
    await using tpm = await open();
    const policy = definePolicy({ algorithm: 'p-256' });
    const tpmOptions = { pinDerivation: 'pcp-sha256' } as const;
    record = (await makeKey({ policy, sources: { tpm }, pin: PIN, tpmOptions })).record;
  });
  afterAll(async () => {
    await swtpm?.[Symbol.asyncDispose]();
    script?.[Symbol.dispose]();
    rmSync(root, { recursive: true });
  });

  /** Runs one operation in a separate process. Returns the number of its commands; undefined if it was killed. */
  async function run(operation: string, killAt: number, after: boolean, directory = root): Promise<number | undefined> {
    const given = { tpm: address, marks: directory, record: encodeKeyRecord(record), operation, killAt, after };
    const child = spawn(process.execPath, [script.path, JSON.stringify(given)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const [code, signal] = await once(child, 'close');
    expect(code === 0 || signal === 'SIGKILL').toBe(true);
    return code === 0 ? Number(said) : undefined;
  }

  /** The number, counted from 1, of the first command with that code in an operation. */
  async function commandAt(operation: 'sign', code: number): Promise<number> {
    const codes: number[] = [];
    const wrap = (inner: TpmTransport) =>
      faultyTransport(inner, (sent) => {
        codes.push(sent);
        return 'none';
      });
    const tpm = await openTpm(address, { marksDirectory: root, wrap });
    const provider = await openTpmKeyProvider(tpm);
    await provider[operation](record, { data: DATA, pin: PIN });
    await tpm.close();
    return codes.indexOf(code) + 1;
  }

  async function expectClean(): Promise<void> {
    const tpm = await open();
    const provider = await openTpmKeyProvider(tpm);
    const signature = await provider.sign(record, { data: DATA, pin: PIN });
    expect(verifySignature(record.publicKey, 'sha256', DATA, signature, 'der')).toBe(true);
    expect(await leftovers(tpm)).toEqual([]);
    await tpm.close();
    expect(marks()).toEqual([]);
  }

  it.each(OPERATIONS)('is taken out by the next one: %s, killed at each of its commands', async (operation) => {
    const commands = (await run(operation, 0, false)) ?? 0;
    expect(commands).toBeGreaterThan(5);
    expect(marks()).toEqual([]);
    let left = 0;
    for (let killAt = 1; killAt <= commands; killAt += 2) {
      expect(await run(operation, killAt, killAt % 4 === 1)).toBeUndefined();
      left += marks().length;
      await expectClean();
    }
    expect(left).toBeGreaterThan(2);
    console.log(`${operation}: killed at every other of ${commands} commands, ${left} times with something left`);
  });

  it('is flushed even if many processes died one after the other', async () => {
    for (let i = 0; i < 6; i++) await run(OPERATIONS[i % 4] ?? 'sign', 7 + i, i % 2 === 0);
    await expectClean();
  });

  it('is taken out after a connection that was lost, in the same process', async () => {
    for (const lostAt of [TPM_CC.CreatePrimary, TPM_CC.StartAuthSession, TPM_CC.Load, TPM_CC.Sign]) {
      const tpm = await openTpm(address, {
        marksDirectory: root,
        wrap: (inner) => faultyTransport(inner, (code) => (code === lostAt ? 'lost' : 'none')),
      });
      const provider = await openTpmKeyProvider(tpm);
      await expect(provider.sign(record, { data: DATA, pin: PIN })).rejects.toMatchObject({ code: 'transport-lost' });
      await tpm.close();
      expect(marks()).toHaveLength(1);
      await expectClean();
    }
  });

  it('makes room for a command that loads nothing but needs a slot while it runs', async () => {
    const dead = await open();
    for (let i = 0; i < 3; i++) {
      await dead.run(CreatePrimary, {
        ...{ primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256', 'empty') },
        ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
      });
    }
    await dead.transport.close();
    const tpm = await open();
    const nothing = tpm.run(ReadPublic, { objectHandle: 0x81000001 });
    await expect(nothing).rejects.toMatchObject({ responseCode: { name: 'TPM_RC_HANDLE' } });
    expect(await leftovers(tpm)).toEqual([]);
    await tpm.close();
    expect(marks()).toEqual([]);
  });

  it('is found beside the key store by a process that uses that', async () => {
    const store = await openKeyStore(join(root, 'store'));
    await run('sign', 8, true, store.directory);
    expect(readdirSync(store.directory)).toHaveLength(1);
    const { tpm: source } = keySources({ tpm: address, store });
    if (source === undefined) throw new Error('no TPM');
    await withTpmOf(source, {}, async (tpm) => {
      await (await openTpmKeyProvider(tpm)).sign(record, { data: DATA, pin: PIN });
      expect(await leftovers(tpm)).toEqual([]);
    });
    expect(readdirSync(store.directory)).toEqual([]);
    rmSync(store.directory, { recursive: true });
  });

  it('is not all that others have in it', async () => {
    // Somebody else has the same storage key loaded, and a session.
    const other = await openTpm(address, { marksDirectory: join(root, 'other') });
    const { objectHandle } = await other.run(CreatePrimary, {
      ...{ primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256', 'empty') },
      ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
    });
    const { context } = await other.run(ContextSave, { saveHandle: objectHandle });
    await objectHandle.flush();
    const { loadedHandle } = await other.run(ContextLoad, { context });
    const session = await startSession(other, { type: 'policy' });
    const foreign = [loadedHandle, session.sessionHandle].sort();
    await other.transport.close();
    rmSync(join(root, 'other'), { recursive: true });

    for (let i = 0; i < 4; i++) {
      await run(OPERATIONS[i] ?? 'sign', 8, true);
      const tpm = await open();
      await (await openTpmKeyProvider(tpm)).sign(record, { data: DATA, pin: PIN });
      expect([...(await leftovers(tpm))].sort()).toEqual(foreign);
      await tpm.close();
    }
    const tpm = await open();
    for (const flushHandle of foreign) await tpm.run(FlushContext, { flushHandle });
    await tpm.close();
    expect(marks()).toEqual([]);
  });

  describe("next to other programs' objects", () => {
    let foreign: string;
    const tool = (name: string, ...args: string[]): string => {
      const env = { ...toolEnvironment(), TPM2TOOLS_TCTI: tctiOf(swtpm) };
      const { status, stdout, stderr } = spawnSync(name, args, { env, encoding: 'utf8' });
      expect(status, stderr).toBe(0);
      return stdout;
    };
    const sign = async (directory = root): Promise<void> => {
      const tpm = await openTpm(address, { marksDirectory: directory });
      await (await openTpmKeyProvider(tpm)).sign(record, { data: DATA, pin: PIN });
      await tpm.close();
    };
    beforeEach(() => {
      foreign = join(root, 'other', 'foreign.ctx');
      mkdirSync(join(root, 'other'), { recursive: true });
    });
    afterEach(async () => {
      for (const kind of ['-t', '-l', '-s']) tool('tpm2_flushcontext', kind);
      for (const name of marks()) rmSync(join(root, name), { recursive: true });
    });

    it.skipIf(missingPrograms('tpm2_flushcontext') !== undefined)(
      'a session stays that got the handle of one which was flushed',
      async () => {
        const { StartAuthSession } = TPM_CC;
        await run('sign', (await commandAt('sign', StartAuthSession)) + 1, false);
        expect(marks()).toHaveLength(2);
        for (const kind of ['-t', '-l', '-s']) tool('tpm2_flushcontext', kind);
        tool('tpm2_startauthsession', '-S', foreign);
        await sign();
        tool('tpm2_flushcontext', foreign); // it is still there
        expect(marks()).toEqual(['other']);
      },
    );

    it.skipIf(missingPrograms('tpm2_flushcontext') !== undefined)(
      'a session stays that was loaded before one whose start was not answered',
      async () => {
        const other = await openTpm(address, { marksDirectory: join(root, 'other') });
        const session = await startSession(other, { type: 'policy' });
        await other.transport.close();
        rmSync(join(root, 'other'), { recursive: true });
        // Killed before the TPM got the command: nothing of it is there.
        await run('sign', await commandAt('sign', TPM_CC.StartAuthSession), false);
        await sign();
        expect(tool('tpm2_getcap', 'handles-loaded-session')).toContain(session.sessionHandle.toString(16));
      },
    );

    it('a storage key like ours stays that was loaded after the TPM was reset', async () => {
      await run('sign', 8, true);
      for (const name of marks().filter((entry) => entry.endsWith('.marks'))) {
        const text = readFileSync(join(root, name), 'latin1');
        const earlier = text.replace(/(?<=^want )\d+/gm, (at) => `${Number(at) - 10_000}`);
        writeFileSync(join(root, name), earlier, { mode: 0o600 });
      }
      const transport = await openSwtpm({ path: socketOf(swtpm), control: 'default' });
      await transport.powerCycle();
      const other = await Tpm.open(transport, { marksDirectory: join(root, 'other') });
      const { objectHandle } = await other.run(CreatePrimary, {
        ...{ primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256', 'empty') },
        ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
      });
      expect(objectHandle.handle).toBe(0x80000000);
      await transport.close();
      await sign();
      expect(tool('tpm2_getcap', 'handles-transient')).toContain('0x80000000');
    });

    it('damaged marks do not stop the work', async () => {
      await run('sign', 8, true);
      const [name = ''] = marks().filter((entry) => entry.endsWith('.marks'));
      const [head] = readFileSync(join(root, name), 'latin1').split(/(?<=\n)/, 1);
      await sign();
      for (const line of ['want 1 template 0011\n', 'want x name zz\n', 'have 5\n', 'want 1 session 01\n', '\0\n\n']) {
        writeFileSync(join(root, name), `${head}${line}`, { mode: 0o600 });
        await sign();
      }
    });

    it('a clock that was set forward hides nothing', async () => {
      await run('sign', 8, true);
      const now = Date.now;
      Date.now = () => now() + 3_600_000;
      try {
        const tpm = await open();
        await (await openTpmKeyProvider(tpm)).sign(record, { data: DATA, pin: PIN });
        expect(await leftovers(tpm)).toEqual([]);
        await tpm.close();
      } finally {
        Date.now = now;
      }
    });
  });

  it('is nothing after a command that could not be built', async () => {
    const tpm = await open();
    const wrong = { primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256', 'empty') };
    await expect(Promise.resolve().then(() => tpm.run(CreatePrimary, Object.assign(wrong)))).rejects.toThrow();
    await tpm.close();
    expect(marks()).toEqual([]);
  });

  it('stays if marks cannot be written, and the work continues', async () => {
    const tpm = await openTpm(address, { marksDirectory: '/proc/keyprov' });
    const signature = await (await openTpmKeyProvider(tpm)).sign(record, { data: DATA, pin: PIN });
    expect(signature.length).toBeGreaterThan(60);
    await tpm.close();
  });
});
