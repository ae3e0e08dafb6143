import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadLibc } from '../../native/libc.ts';
import { findLibtpms, Libtpms } from '../../native/libtpms.ts';
import { toHex } from '../../src/bytes.ts';
import { encodeStateFile } from '../../src/tpm/state-file.ts';
import { importSwtpmState } from '../../src/tpm/swtpm-state.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { libtpmsMissing, libtpmsPath, openStarted, primaryKey, publicOf } from './support/libtpms.ts';
import {
  CREATE_ECC,
  codeOf,
  createRsa,
  FLUSH,
  GET_RANDOM,
  NV_DEFINE,
  NV_READ,
  nvValue,
  nvWrite,
  SHUTDOWN_CLEAR,
  STARTUP_CLEAR,
} from './support/raw-commands.ts';
import { socketOf } from './support/swtpm-address.ts';

const SUCCESS = 0;
const TPM_RC_INITIALIZE = 0x100;
const TPM_RC_CANCELED = 0x909;
/** TPM_RC_HANDLE for parameter 1. */
const TPM_RC_HANDLE_P1 = 0x1cb;

const missing = await libtpmsMissing();

let parent: string;
/** A state directory that does not exist yet. */
let directory: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'keyprov-libtpms-'));
  directory = join(parent, 'tpm');
});

afterEach(() => rmSync(parent, { recursive: true }));

describe('finding libtpms', () => {
  it('names what it tried and the package to install', async () => {
    const library = join(parent, 'libtpms.so.0');
    const error = await failureOf(openLibtpms({ library, directory }));
    expect(error.code).toBe('library-missing');
    expect(error.message).toContain(`tried ${library}`);
    expect(error.remedy).toContain('apt-get install libtpms0');
    expect(existsSync(directory)).toBe(false);
  });

  it('uses KEYPROV_LIBTPMS unless an option is given', async () => {
    vi.stubEnv('KEYPROV_LIBTPMS', '/from/the/environment');
    try {
      expect((await failureOf(openLibtpms())).message).toContain('tried /from/the/environment)');
      expect((await failureOf(openLibtpms({ library: '/from/an/option' }))).message).toContain(
        'tried /from/an/option)',
      );
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("looks in the distributions' directories, always with full paths", () => {
    vi.stubEnv('KEYPROV_LIBTPMS', '');
    const { tried } = findLibtpms(undefined);
    vi.unstubAllEnvs();
    expect(tried.length).toBeGreaterThan(3);
    expect(tried.filter((path) => !path.startsWith('/'))).toEqual([]);
  });

  it('refuses a file that is not a library', async () => {
    const library = join(parent, 'libtpms.so.0');
    writeFileSync(library, 'not an ELF file');
    const error = await failureOf(openLibtpms({ library }));
    expect(error.code).toBe('library-unsuitable');
    expect(error.message).toContain(library);
  });

  it('says so when koffi is not installed', async () => {
    vi.doMock('../../native/libc.ts', () => {
      throw new Error('Cannot find the native Koffi module');
    });
    try {
      const error = await failureOf(openLibtpms());
      expect(error.code).toBe('library-missing');
      expect(error.remedy).toContain('--omit=optional');
      expect(error.remedy).toContain('mark koffi as external');
    } finally {
      vi.doUnmock('../../native/libc.ts');
    }
  });

  const noCompiler = missingPrograms('cc');

  it.skipIf(noCompiler)('refuses a version that is too old', async () => {
    const library = join(parent, 'libtpms.so.0');
    const source = join(import.meta.dirname, '../native/old-libtpms.c');
    expect(spawnSync('cc', ['-shared', '-fPIC', '-o', library, source]).status).toBe(0);
    const error = await failureOf(openLibtpms({ library }));
    expect(error.code).toBe('library-unsuitable');
    expect(error.message).toContain('is libtpms 0.8.3; 0.9.0 or newer is needed');
  });

  it.skipIf(noCompiler)('refuses another library', async () => {
    const library = join(parent, 'libtpms.so.0');
    const source = join(parent, 'empty.c');
    writeFileSync(source, 'int something_else;');
    expect(spawnSync('cc', ['-shared', '-fPIC', '-o', library, source]).status).toBe(0);
    const error = await failureOf(openLibtpms({ library }));
    expect(error.code).toBe('library-unsuitable');
    expect(error.message).toContain(library);
  });
});

describe.skipIf(missing)('a TPM in process', () => {
  it('moves commands and answers', async () => {
    await using tpm = await openStarted();
    expect(tpm).toMatchObject({ kind: 'libtpms', address: 'libtpms::memory:', emulator: true, managed: false });
    const answers = new Set<string>();
    for (let n = 0; n < 100; n++) answers.add(toHex(await tpm.send(GET_RANDOM)));
    expect(answers.size).toBe(100);
    for (const answer of answers) expect(answer).toMatch(/^800100000014000000000008[0-9a-f]{16}$/);
  });

  it('answers an unknown command with its code', async () => {
    await using tpm = await openStarted();
    expect(toHex(await tpm.send(Uint8Array.of(0x80, 1, 0, 0, 0, 10, 0, 0, 0x0f, 0xff)))).toBe('80010000000a00000143');
    await expect(tpm.send(new Uint8Array(9))).rejects.toThrow(RangeError);
    await expect(tpm.send(new Uint8Array(5000))).rejects.toThrow(RangeError);
    expect(codeOf(await tpm.send(GET_RANDOM))).toBe(SUCCESS);
  });

  it('has new seeds each time it is made', async () => {
    const keys = new Set<string>();
    for (let n = 0; n < 10; n++) {
      await using tpm = await openStarted();
      keys.add(await primaryKey(tpm));
    }
    expect(keys.size).toBe(10);
  });

  it('is independent of others that run at the same time', async () => {
    const tpms = await Promise.all(Array.from({ length: 4 }, () => openStarted()));
    const keys = await Promise.all(tpms.map((tpm) => primaryKey(tpm)));
    expect(new Set(keys).size).toBe(4);
    await tpms[0]?.close();
    expect(await Promise.all(tpms.slice(1).map((tpm) => primaryKey(tpm)))).toEqual(keys.slice(1));
    await Promise.all(tpms.map((tpm) => tpm.close()));
  });

  it('is the only one in its process if the library cannot be copied', async () => {
    const createMemoryFile = vi.spyOn(loadLibc(), 'createMemoryFile').mockReturnValue(undefined);
    try {
      const first = await openStarted();
      const error = await failureOf(openLibtpms());
      expect(error.code).toBe('transport-busy');
      const key = await primaryKey(first);
      await first.close();
      await using second = await openStarted();
      expect(await primaryKey(second)).not.toBe(key);
      expect(createMemoryFile).toHaveBeenCalled();
    } finally {
      createMemoryFile.mockRestore();
    }
  });

  it('loses transient data in a power cycle, and nothing else', async () => {
    await using tpm = await openStarted();
    const key = await primaryKey(tpm);
    await tpm.send(NV_DEFINE);
    await tpm.send(nvWrite(42));
    await tpm.send(CREATE_ECC);
    await tpm.powerCycle();
    expect(codeOf(await tpm.send(GET_RANDOM))).toBe(TPM_RC_INITIALIZE);
    expect(codeOf(await tpm.send(STARTUP_CLEAR))).toBe(SUCCESS);
    expect(codeOf(await tpm.send(FLUSH))).toBe(TPM_RC_HANDLE_P1);
    expect(nvValue(await tpm.send(NV_READ))).toBe(42);
    expect(await primaryKey(tpm)).toBe(key);
  });

  it('starts from a state that another one gave', async () => {
    await using first = await openStarted();
    await first.send(NV_DEFINE);
    await first.send(nvWrite(7));
    await using second = await openStarted({ state: first.exportState() });
    expect(await primaryKey(second)).toBe(await primaryKey(first));
    expect(nvValue(await second.send(NV_READ))).toBe(7);
  });

  it('refuses a state together with a directory', async () => {
    await expect(openLibtpms({ directory, state: new Uint8Array(1) })).rejects.toThrow(TypeError);
  });

  it.each([0, 1000, 100_000, 200_000])("refuses a state of %i zeros, with libtpms' reason", async (length) => {
    const error = await failureOf(openLibtpms({ state: new Uint8Array(length) }));
    expect(error.code).toBe('state-invalid');
    expect(error.message).toMatch(/libtpms does not start: libtpms\/tpm2: Entering failure mode; code: 8/);
    await using tpm = await openStarted();
    expect(codeOf(await tpm.send(GET_RANDOM))).toBe(SUCCESS);
  });

  it('accepts one command at a time', async () => {
    await using tpm = await openStarted();
    const running = tpm.send(createRsa(1));
    await expect(tpm.send(GET_RANDOM)).rejects.toThrow(TypeError);
    await expect(tpm.powerCycle()).rejects.toThrow(TypeError);
    expect(() => tpm.exportState()).toThrow(TypeError);
    expect(tpm.sendSync(GET_RANDOM)).toBeUndefined();
    expect(codeOf(await running)).toBe(SUCCESS);
    expect(codeOf(await tpm.send(GET_RANDOM))).toBe(SUCCESS);
  });

  it('finishes the running command when it is closed, then accepts no more', async () => {
    const tpm = await openStarted();
    const running = tpm.send(createRsa(1));
    const closing = tpm.close();
    expect((await failureOf(tpm.send(GET_RANDOM))).code).toBe('transport-closed');
    expect(codeOf(await running)).toBe(SUCCESS);
    await closing;
    await tpm.close();
    expect((await failureOf(tpm.send(GET_RANDOM))).code).toBe('transport-closed');
    expect((await failureOf(tpm.powerCycle())).code).toBe('transport-closed');
    expect(tpm.sendSync(SHUTDOWN_CLEAR)).toBeUndefined();
  });

  it('cancels the making of an RSA key when the signal aborts', async () => {
    await using tpm = await openStarted();
    const codes: number[] = [];
    for (let unique = 0; unique < 20; unique++) {
      const controller = new AbortController();
      if (unique % 4 === 0) controller.abort();
      else setTimeout(() => controller.abort(), unique % 4);
      const answer = await tpm.send(createRsa(unique), { signal: controller.signal });
      codes.push(codeOf(answer));
      if (codeOf(answer) === SUCCESS) await tpm.send(FLUSH);
      expect(codeOf(await tpm.send(GET_RANDOM))).toBe(SUCCESS);
    }
    expect(codes.filter((code) => code !== SUCCESS && code !== TPM_RC_CANCELED)).toEqual([]);
    expect(codes.filter((code) => code === TPM_RC_CANCELED).length).toBeGreaterThan(5);
  });

  it('does not cancel the next command with a cancellation that came too late', async () => {
    const tpm = new Libtpms(libtpmsPath ?? '');
    tpm.boot(undefined);
    expect(codeOf(tpm.processSync(STARTUP_CLEAR))).toBe(SUCCESS);
    for (let unique = 0; unique < 3; unique++) {
      const running = tpm.process(GET_RANDOM);
      // The command ends on its thread, and this one does not know it yet.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
      tpm.cancel();
      expect(codeOf(await running)).toBe(SUCCESS);
      expect(codeOf(await tpm.process(createRsa(unique)))).toBe(SUCCESS);
      expect(codeOf(tpm.processSync(FLUSH))).toBe(SUCCESS);
    }
    tpm.unload();
  });

  it('survives callbacks that throw, and tells their error', () => {
    const tpm = new Libtpms(libtpmsPath ?? '');
    const boom = new Error('boom');
    tpm.boot(undefined);
    const state = tpm.state();
    tpm.powerOff();
    for (const given of [undefined, state]) {
      const view = vi.spyOn(koffi, 'view').mockImplementation(() => {
        throw boom;
      });
      let thrown: unknown;
      try {
        tpm.boot(given);
      } catch (error) {
        thrown = error;
      } finally {
        view.mockRestore();
      }
      expect(thrown).toMatchObject({ name: 'LibtpmsError', reason: 'state-refused', cause: boom });
    }
    tpm.boot(state);
    expect(codeOf(tpm.processSync(STARTUP_CLEAR))).toBe(SUCCESS);
    tpm.unload();
  });

  it('cannot be used in a state in which libtpms would crash', async () => {
    const tpm = new Libtpms(libtpmsPath ?? '');
    expect(() => tpm.processSync(GET_RANDOM)).toThrow('the TPM is off');
    await expect(tpm.process(GET_RANDOM)).rejects.toThrow('the TPM is off');
    expect(() => tpm.state()).toThrow('the TPM is off');
    tpm.cancel();
    tpm.boot(undefined);
    expect(() => tpm.boot(undefined)).toThrow('the TPM is on');
    const running = tpm.process(GET_RANDOM);
    expect(() => tpm.processSync(GET_RANDOM)).toThrow('a command is running');
    expect(() => tpm.powerOff()).toThrow('a command is running');
    expect(() => tpm.unload()).toThrow('a command is running');
    await running;
    tpm.unload();
    tpm.unload();
    expect(() => tpm.boot(undefined)).toThrow('the TPM is unloaded');
    expect(() => tpm.processSync(GET_RANDOM)).toThrow('the TPM is unloaded');
  });

  it.skipIf(missingPrograms('swtpm'))("loads a TPM's state from swtpm", async () => {
    let state: Uint8Array;
    let key: string;
    {
      await using swtpm = await startSwtpm();
      const socket = createConnection(socketOf(swtpm));
      socket.write(CREATE_ECC);
      const [answer] = await once(socket, 'data');
      socket.destroy();
      key = publicOf(answer);
      state = importSwtpmState(readFileSync(join(dirname(socketOf(swtpm)), 'state/tpm2-00.permall')));
    }
    await using tpm = await openStarted({ state });
    expect(await primaryKey(tpm)).toBe(key);
  });
});

describe.skipIf(missing)('a TPM with a state directory', () => {
  it('is the same one when it is opened again', async () => {
    let key: string;
    {
      await using tpm = await openStarted({ directory });
      expect(tpm.address).toBe(`libtpms:${directory}`);
      key = await primaryKey(tpm);
      await tpm.send(NV_DEFINE);
      await tpm.send(nvWrite(3));
    }
    expect(readdirSync(directory).sort()).toEqual(['.lock', 'tpm2.state']);
    await using tpm = await openStarted({ directory });
    expect(await primaryKey(tpm)).toBe(key);
    expect(nvValue(await tpm.send(NV_READ))).toBe(3);
  });

  it('writes its state to disk before it answers, also in sendSync', async () => {
    await using tpm = await openStarted({ directory });
    await tpm.send(NV_DEFINE);
    const onDisk = () => toHex(readFileSync(join(directory, 'tpm2.state')));
    expect(onDisk()).toBe(toHex(encodeStateFile(tpm.exportState())));
    const before = onDisk();
    tpm.sendSync(nvWrite(9));
    expect(onDisk()).not.toBe(before);
    expect(onDisk()).toBe(toHex(encodeStateFile(tpm.exportState())));
  });

  it('has its state on disk already when it is new', async () => {
    const tpm = await openLibtpms({ directory });
    const state = tpm.exportState();
    await tpm.close();
    expect(toHex(readFileSync(join(directory, 'tpm2.state')))).toBe(toHex(encodeStateFile(state)));
  });

  it('refuses a state in which one byte is another, and leaves the file', async () => {
    await (await openStarted({ directory })).close();
    const path = join(directory, 'tpm2.state');
    const file = readFileSync(path);
    file[1000] = (file[1000] ?? 0) ^ 1;
    writeFileSync(path, file);
    const error = await failureOf(openLibtpms({ directory, lockTimeoutMs: 0 }));
    expect(error.code).toBe('state-invalid');
    expect(error.message).toContain('SHA-256');
    expect(toHex(readFileSync(path))).toBe(toHex(file));
  });

  it('refuses a state that libtpms refuses, and leaves the file', async () => {
    mkdirSync(directory);
    const path = join(directory, 'tpm2.state');
    const file = encodeStateFile(new Uint8Array(1299).fill(1));
    writeFileSync(path, file);
    expect((await failureOf(openLibtpms({ directory, lockTimeoutMs: 0 }))).code).toBe('state-invalid');
    expect(toHex(readFileSync(path))).toBe(toHex(file));
  });

  it.each(['send', 'sendSync'] as const)('is dead when %s cannot save the state', async (method) => {
    {
      await using tpm = await openStarted({ directory });
      await tpm.send(NV_DEFINE);
      await tpm.send(nvWrite(1));
      const path = join(directory, 'tpm2.state');
      renameSync(path, `${path}.kept`);
      mkdirSync(path); // a file cannot replace a directory
      const error = await failureOf((async () => tpm[method](nvWrite(2)))());
      expect(error.code).toBe('state-io');
      rmdirSync(path);
      renameSync(`${path}.kept`, path);
      const second = await failureOf(tpm.send(GET_RANDOM));
      expect(second).toMatchObject({ code: 'transport-lost', cause: error });
      expect((await failureOf(tpm.powerCycle())).code).toBe('transport-lost');
      expect(tpm.sendSync(SHUTDOWN_CLEAR)).toBeUndefined();
    }
    await using tpm = await openStarted({ directory });
    expect(nvValue(await tpm.send(NV_READ))).toBe(1);
  });

  it('is waited for while another TPM has it', async () => {
    const first = await openStarted({ directory });
    const opening = openStarted({ directory });
    const aborted = new AbortController();
    const abandoned = openLibtpms({ directory, signal: aborted.signal });
    aborted.abort(new Error('enough'));
    await expect(abandoned).rejects.toThrow('enough');
    await first.close();
    await (await opening).close();
  });

  it('is not opened twice in one thread', async () => {
    await using first = await openStarted({ directory });
    const error = await failureOf(openLibtpms({ directory, lockTimeoutMs: 0 }));
    expect(error.code).toBe('state-in-use');
    expect(error.message).toContain(directory);
    expect(codeOf(await first.send(GET_RANDOM))).toBe(SUCCESS);
    await first.close();
    await (await openStarted({ directory })).close();
  });
});
