import '../cheap-scrypt.mjs';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { PinError } from '../../src/errors/pin-error.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openPinTryLog, type PinTryLog } from '../../src/keys/pin-try-log.ts';
import type { ProvidedKey } from '../../src/keys/provider.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { CHEAP_SCRYPT } from '../cheap-scrypt-option.ts';
import { keyRecord } from '../key-record.ts';
import { type Bundle, bundle } from './support/bundle.ts';

const PIN = utf8('271828');
const WRONG = utf8('000000');
const data = utf8('what is signed');

let script: Bundle;
let key: ProvidedKey;
let directory: string;
let now: number;
let log: PinTryLog;

beforeAll(async () => {
  script = await bundle('test/integration/children/pin-worker.ts');
  key = await openSoftwareKeyProvider().create({ algorithm: 'p-256', pin: PIN });
});
afterAll(() => script[Symbol.dispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-attempts-'));
  now = Date.now();
  log = await openPinTryLog(directory, { now: () => now });
});
afterEach(async () => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  await rm(directory, { recursive: true });
});

const failures = async () => (await log.read(key.publicKey)).failures;

/** One more wrong try, at a time when it is possible. */
async function wrongTry(): Promise<void> {
  now += 3_600_000;
  await expect(log.attempt(key.publicKey, async () => false)).rejects.toMatchObject({ code: 'pin-wrong' });
}

const started: ChildProcess[] = [];
const epoch = process.hrtime.bigint();

class Worker {
  readonly process: ChildProcess;
  said = '';

  constructor(mode: 'sign' | 'hang' | 'many') {
    this.process = spawn(process.execPath, [CHEAP_SCRYPT, script.path, mode, directory, String(epoch)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.said += text;
    });
    started.push(this.process);
  }

  /** Kills it when it has printed that many lines, and tells how many there were in the end. */
  async killAfter(lines: number): Promise<number> {
    const closed = once(this.process, 'close');
    while (this.process.exitCode === null && this.said.split('\n').length <= lines) {
      await Promise.race([once(this.process.stdout ?? this.process, 'data'), closed]);
    }
    this.process.kill('SIGKILL');
    expect(await closed).toEqual([null, 'SIGKILL']);
    return this.said.split('\n').length - 1;
  }
}

describe('the PIN tries of several processes', () => {
  beforeEach(async () => {
    const record = { ...keyRecord('user'), ...key, assurance: 'software' } as const;
    const { pinDerivation: _, parent: __, ...software } = record;
    await (await openKeyStore(directory)).save(software);
  });

  it('are all counted when twenty processes try at once', async () => {
    const workers = Array.from({ length: 20 }, () => new Worker('sign'));
    expect(await Promise.all(workers.map(({ process }) => once(process, 'close')))).toEqual(
      workers.map(() => [0, null]),
    );
    expect(workers.map(({ said }) => said)).toEqual(workers.map(() => 'pin-wrong'));
    expect(await failures()).toBe(20);
  });

  it('stay counted when the process is killed before it knows the result', async () => {
    for (let kill = 1; kill <= 3; kill++) {
      expect(await new Worker('hang').killAfter(1)).toBe(1);
      expect(await failures()).toBe(kill);
    }
  });

  it('stay counted, and never look like an old count, when processes are killed anywhere', async () => {
    let tried = 0;
    const KILLS = 20;
    for (let kill = 0; kill < KILLS; kill++) {
      tried += await new Worker('many').killAfter(1 + (kill % 4));
      const counted = await failures();
      expect(counted).toBeGreaterThanOrEqual(tried);
      expect(counted).toBeLessThanOrEqual(tried + kill + 1); // each may have counted one that it did not begin
    }
  });
});

describe('an old count', () => {
  const run = (command: string, ...args: string[]) => execFileSync(command, args);
  let folder: string;
  let count: string;
  let ledger: string;
  const saved = () => join(directory, 'saved');

  beforeEach(async () => {
    await wrongTry();
    const [name = ''] = await readdir(log.directory);
    folder = join(log.directory, name);
    count = join(folder, 'count.json');
    ledger = join(folder, 'ledger.json');
  });

  async function expectLocked(seen: RegExp): Promise<void> {
    const error: unknown = await log.attempt(key.publicKey, async () => true).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PinError);
    expect(error).toMatchObject({ code: 'key-locked', message: expect.stringMatching(seen) });
    await log.reset(key.publicKey);
    expect(await failures()).toBe(0);
  }

  it.each(['count.json', 'ledger.json'])('is found out when cp puts %s back, every time', async (name) => {
    const path = join(folder, name);
    // Several times, since a file system may give the number of the old file to the new one now and then.
    for (let time = 0; time < 8; time++) {
      run('cp', path, saved());
      for (let tries = 0; tries < 1 + (time % 3); tries++) await wrongTry();
      run('cp', saved(), path);
      await expectLocked(new RegExp(`${name} is a copy: its file id is \\d+(-\\d+)?, not \\d+(-\\d+)?$`));
    }
  });

  it('is found out when cp puts both files back, with all their attributes', async () => {
    for (let time = 0; time < 8; time++) {
      run('cp', '-p', count, ledger, directory);
      await wrongTry();
      if (time % 2 === 0) run('rm', count, ledger);
      run('cp', '-p', join(directory, 'count.json'), join(directory, 'ledger.json'), folder);
      await expectLocked(/ledger\.json is a copy: its file id/);
    }
  });

  it('is detected if the entire folder is copied back', async () => {
    run('cp', '-a', log.directory, saved());
    await wrongTry();
    run('rm', '-r', log.directory);
    run('cp', '-a', saved(), log.directory);
    await expectLocked(/ledger\.json is a copy: its file id/);
  });

  it('is found out when the count itself, saved as a hard link, is moved back', async () => {
    run('ln', count, saved());
    await wrongTry();
    run('mv', saved(), count);
    await expectLocked(/count\.json has sequence number 1, ledger\.json has sequence number 2$/);
  });

  it('is found out when the ledger itself, saved as a hard link, is moved back', async () => {
    run('ln', ledger, saved());
    await wrongTry();
    await wrongTry();
    run('mv', saved(), ledger);
    await expectLocked(/count\.json has sequence number 3, ledger\.json has sequence number 1$/);
  });

  it('is found out when one of the files is deleted', async () => {
    await wrongTry();
    run('rm', count);
    await expectLocked(/count\.json is missing, ledger\.json has sequence number 2$/);
    await wrongTry();
    run('rm', ledger);
    await expectLocked(/count\.json has sequence number \d+, ledger\.json is missing$/);
  });

  it('is not found out, as documented, when both files themselves are moved back', async () => {
    run('ln', count, `${count}.saved`);
    run('ln', ledger, `${ledger}.saved`);
    await wrongTry();
    run('mv', `${count}.saved`, count);
    run('mv', `${ledger}.saved`, ledger);
    expect(await failures()).toBe(1);
  });

  it('is not found out, as documented, when the folder itself is moved away and back', async () => {
    run('mv', log.directory, saved());
    run('cp', '-a', saved(), log.directory);
    await log.reset(key.publicKey);
    await wrongTry();
    await wrongTry();
    run('rm', '-r', log.directory);
    run('mv', saved(), log.directory);
    expect(await failures()).toBe(1);
  });

  it('is not found out, as documented, when both files are deleted', async () => {
    run('rm', '-r', folder);
    expect(await failures()).toBe(0);
  });
});

describe('a software key with a log of its tries', () => {
  const open = () => openSoftwareKeyProvider({ pinTries: log });
  const signs = async (of: ProvidedKey, pin: Uint8Array) =>
    verifySignature(of.publicKey, 'sha256', data, await open().sign(of, { data, pin }), 'der');

  it('reports how many tries are left, then how long to wait, and then accepts the right PIN', async () => {
    for (const triesLeft of [4, 3, 2, 1]) {
      await expect(open().sign(key, { data, pin: WRONG })).rejects.toMatchObject({
        code: 'pin-wrong',
        triesLeft,
        retryAfterSeconds: undefined,
        message: expect.stringMatching(`is wrong; ${triesLeft} (try is|tries are) left before a wait$`),
        remedy: 'try again with the right PIN',
      });
    }
    await expect(open().sign(key, { data, pin: WRONG })).rejects.toMatchObject({
      code: 'pin-wrong',
      triesLeft: 0,
      retryAfterSeconds: 30,
      message: "the software key's PIN is wrong",
      remedy: 'wait 30 s, then try again with the right PIN',
    });
    log = await openPinTryLog(directory, { now: () => now });
    await expect(open().sign(key, { data, pin: PIN })).rejects.toMatchObject({
      code: 'key-locked',
      triesLeft: 0,
      retryAfterSeconds: 30,
      message: 'the PIN was not tried: the key is locked after 5 wrong PINs',
      remedy: 'wait 30 s',
    });
    now += 30_000;
    expect(await signs(key, PIN)).toBe(true);
    expect(await failures()).toBe(0);
  });

  it('counts the tries of a PIN change too, and keeps counting after it', async () => {
    const newPin = utf8('161803');
    await expect(open().changePin(key, { pin: WRONG, newPin })).rejects.toMatchObject({
      code: 'pin-wrong',
      triesLeft: 4,
    });
    const changed = await open().changePin(key, { pin: PIN, newPin });
    expect(await failures()).toBe(0);
    await expect(open().sign(changed, { data, pin: PIN })).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: 4 });
    expect(await signs(changed, newPin)).toBe(true);
  });

  it('counts no tries of a key without a PIN', async () => {
    const provider = openSoftwareKeyProvider({ pinTries: log, wrappingSecret: new Uint8Array(32) });
    const open = await provider.create({ algorithm: 'p-256' });
    await provider.sign(open, { data });
    expect(await readdir(log.directory)).toEqual([]);
  });
});
