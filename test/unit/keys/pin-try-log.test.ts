import { generateKeyPairSync } from 'node:crypto';
import { chmod, link, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeSpki, type PublicKey } from '../../../src/crypto/public-key.ts';
import { PinError } from '../../../src/errors/pin-error.ts';
import { openPinTryLog, type PinTryLog, peekPinTries } from '../../../src/keys/pin-try-log.ts';
import { withStoreLock } from '../../../src/storage/hold-lock.ts';
import { asyncRefusal } from '../../refusal.ts';

const START = Date.UTC(2026, 0, 1);
const key = newKey();
const otherKey = newKey();

let directory: string;
let now: number;
let log: PinTryLog;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-attempts-'));
  now = START;
  log = await openPinTryLog(directory, { now: () => now });
});
afterEach(() => rm(directory, { recursive: true }));

function newKey(): PublicKey {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return decodeSpki(publicKey.export({ type: 'spki', format: 'der' }));
}

const right = async () => true;
const wrong = async () => false;

/** The result of a try: its error code with the tries and seconds left, or 'right'. */
async function outcome(tryPin: () => Promise<boolean>, of = key): Promise<unknown> {
  try {
    await log.attempt(of, tryPin);
    return 'right';
  } catch (error) {
    if (!(error instanceof PinError)) throw error;
    return [error.code, error.triesLeft, error.retryAfterSeconds];
  }
}

async function wrongTries(times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    now += 3_600_000;
    await expect(log.attempt(key, wrong)).rejects.toMatchObject({ code: 'pin-wrong' });
  }
}

/** The folder with the files of the one key that was tried. */
async function keyFolder(): Promise<string> {
  const [name = ''] = await readdir(log.directory);
  return join(log.directory, name);
}

describe('the PIN tries of a key', () => {
  it('are free five times, then wait 30 s, and twice as long each time up to an hour', async () => {
    const seen: unknown[] = [];
    for (let i = 0; i < 14; i++) {
      seen.push(await outcome(wrong));
      now += (await log.read(key)).retryAfterSeconds * 1000;
    }
    expect(seen).toEqual([
      ...[4, 3, 2, 1].map((left) => ['pin-wrong', left, undefined]),
      ...[30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600].map((seconds) => ['pin-wrong', 0, seconds]),
    ]);
  });

  it('are refused during the wait without being made or counted, the right PIN too', async () => {
    await wrongTries(5);
    let tried = false;
    const attempt = async () => {
      tried = true;
      return true;
    };
    expect(await outcome(attempt)).toEqual(['key-locked', 0, 30]);
    now += 29_001;
    expect(await outcome(attempt)).toEqual(['key-locked', 0, 1]);
    expect(tried).toBe(false);
    expect(await log.read(key)).toEqual({ failures: 5, triesLeft: 0, retryAfterSeconds: 1 });
    now += 999;
    expect(await outcome(attempt)).toBe('right');
    expect(tried).toBe(true);
  });

  it('start again after the right PIN', async () => {
    await wrongTries(4);
    expect(await outcome(right)).toBe('right');
    expect(await log.read(key)).toEqual({ failures: 0, triesLeft: 5, retryAfterSeconds: 0 });
    expect(await outcome(wrong)).toEqual(['pin-wrong', 4, undefined]);
  });

  it('are counted before they are made', async () => {
    const counted: number[] = [];
    await outcome(async () => {
      const { failures } = JSON.parse(await readFile(join(await keyFolder(), 'count.json'), 'utf8'));
      counted.push(failures);
      return true;
    });
    expect(counted).toEqual([1]);
  });

  it('stay counted when they end with an error', async () => {
    const failing = () => Promise.reject(new Error('no memory'));
    await expect(log.attempt(key, failing)).rejects.toThrow('no memory');
    expect((await log.read(key)).failures).toBe(1);
  });

  it('are not counted when they were aborted before', async () => {
    const signal = AbortSignal.abort(new Error('changed my mind'));
    await expect(log.attempt(key, right, { signal })).rejects.toThrow('changed my mind');
    expect((await log.read(key)).failures).toBe(0);
  });

  it('run one after the other, so that right ones do not lock each other out', async () => {
    let running = 0;
    let most = 0;
    const attempt = async () => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      return true;
    };
    await Promise.all(Array.from({ length: 20 }, () => log.attempt(key, attempt)));
    expect(most).toBe(1);
    expect((await log.read(key)).failures).toBe(0);
  });

  it('stop waiting for another one when they are aborted, and are not counted', async () => {
    let finish: (isRight: boolean) => void = () => undefined;
    let first: Promise<void> | undefined;
    await new Promise<void>((begun) => {
      first = log.attempt(key, () => {
        begun();
        return new Promise((resolve) => {
          finish = resolve;
        });
      });
    });
    const ended = new AbortController();
    const waiting = log.attempt(key, wrong, { signal: ended.signal });
    await new Promise(setImmediate);
    ended.abort(new Error('changed my mind'));
    await expect(waiting).rejects.toThrow('changed my mind');
    finish(true);
    await first;
    expect((await log.read(key)).failures).toBe(0);
  });

  it('of another key change nothing', async () => {
    await wrongTries(1);
    const folder = await keyFolder();
    const files = async () =>
      await Promise.all(
        ['count.json', 'ledger.json'].map(async (name) => [
          await readFile(join(folder, name), 'utf8'),
          (await stat(join(folder, name))).mtimeMs,
        ]),
      );
    const before = await files();
    for (let i = 0; i < 5; i++) await outcome(wrong, otherKey);
    expect(await outcome(right, otherKey)).toEqual(['key-locked', 0, 30]);
    expect(await files()).toEqual(before);
    expect((await log.read(key)).failures).toBe(1);
  });

  it('are remembered when the directory is opened again', async () => {
    await wrongTries(7);
    log = await openPinTryLog(directory, { now: () => now });
    expect(await log.read(key)).toEqual({ failures: 7, triesLeft: 0, retryAfterSeconds: 120 });
    expect(await outcome(right)).toEqual(['key-locked', 0, 120]);
  });
});

describe('peeking at the PIN tries', () => {
  const peek = () => peekPinTries(directory, key);

  it('finds no count before the first try, and makes no folder', async () => {
    expect(await peek()).toBeUndefined();
    expect(await readdir(log.directory)).toEqual([]);
  });

  it('needs no lock, and does not finish what a dead process began', async () => {
    await wrongTries(1);
    const ledger = join(await keyFolder(), 'ledger.json');
    await link(ledger, `${ledger}.before`);
    await wrongTries(1);
    await rename(`${ledger}.before`, ledger);
    const before = await readFile(ledger, 'utf8');
    await withStoreLock(await keyFolder(), async () =>
      expect(await peek()).toMatchObject({ failures: 2, triesLeft: 3 }),
    );
    expect(await readFile(ledger, 'utf8')).toBe(before);
  });

  it('sees no old count while tries are written, but reports one that stays', async () => {
    await wrongTries(1);
    let done = false;
    const trying = wrongTries(40).finally(() => {
      done = true;
    });
    let looks = 0;
    for (; !done; looks++) {
      expect((await peek())?.failures).toBeGreaterThan(0);
      await turn(); // reading alone would leave the tries no time
    }
    await trying;
    expect(looks).toBeGreaterThan(10);
    await rm(join(await keyFolder(), 'ledger.json'));
    expect(await asyncRefusal(peek)).toMatch(/^key-locked: .*ledger\.json is missing/);
  });
});

describe('a clock that was set back', () => {
  it('gives no try, and restarts the wait', async () => {
    await wrongTries(6);
    now = START - 10 * 365 * 86_400_000;
    expect(await log.read(key)).toMatchObject({ retryAfterSeconds: 60 });
    expect(await outcome(right)).toEqual(['key-locked', 0, 60]);
    now += 59_999;
    expect(await outcome(right)).toEqual(['key-locked', 0, 1]);
    now += 1;
    expect(await outcome(right)).toBe('right');
  });
});

describe('the files of a count', () => {
  it('are in a folder for their owner only, by the SHA-256 of the public key', async () => {
    await wrongTries(1);
    const folder = await keyFolder();
    expect(folder).toMatch(/pin-attempts\/[0-9a-f]{64}$/);
    for (const [path, mode] of [
      [folder, 0o700],
      [join(folder, 'count.json'), 0o600],
      [join(folder, 'ledger.json'), 0o600],
    ] as const) {
      expect((await stat(path)).mode & 0o777).toBe(mode);
    }
  });

  it('are not used if others may write to them', async () => {
    await chmod(log.directory, 0o770);
    expect(await asyncRefusal(() => openPinTryLog(directory))).toMatch(/^not-private: .* is writable by other users/);
  });

  it.each(['count.json', 'ledger.json'])('are damaged if %s is, in any way, until reset', async (name) => {
    await wrongTries(2);
    const path = join(await keyFolder(), name);
    const intact = await readFile(path, 'utf8');
    const damages = [
      '',
      'null',
      '{}',
      intact.slice(0, -1),
      intact.slice(0, 40),
      `${intact} `,
      intact.replace('"failures":2', '"failures":0'),
      intact.replace('"version":1', '"version":2'),
      intact.replace(/"key":"[0-9a-f]{8}/, '"key":"00000000'),
    ];
    for (const damaged of damages) {
      expect(damaged).not.toBe(intact);
      await writeFile(path, damaged);
      const refusal = `store-invalid: the PIN try counter ${path} is damaged`;
      expect(await asyncRefusal(() => log.attempt(key, right))).toContain(refusal);
      expect(await asyncRefusal(() => log.read(key))).toContain(refusal);
    }
    await log.reset(key);
    expect(await log.read(key)).toEqual({ failures: 0, triesLeft: 5, retryAfterSeconds: 0 });
    expect(await outcome(right)).toBe('right');
  });

  it('count right when the process died between the two writes, several times', async () => {
    await wrongTries(1);
    const ledger = join(await keyFolder(), 'ledger.json');
    for (let death = 1; death <= 3; death++) {
      await link(ledger, `${ledger}.before`);
      await wrongTries(1);
      await rename(`${ledger}.before`, ledger);
      expect((await log.read(key)).failures).toBe(1 + death);
    }
    expect(await outcome(right)).toBe('right');
  });
});
