import fs, { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadLibc } from '../../../native/libc.ts';
import { holdLock, isLocked, withStoreLock } from '../../../src/storage/hold-lock.ts';
import { patchBuiltin } from '../../patch-builtin.ts';
import { asyncRefusal } from '../../refusal.ts';

/** What another process does right after a file was made. */
let afterMaking = (_path: string): void => {};
const { openSync, writeFileSync: write } = fs;
patchBuiltin(fs, {
  openSync(path, ...rest) {
    const fd = openSync(path, ...rest);
    if (rest[0] === 'wx') afterMaking(`${path}`);
    return fd;
  },
  writeFileSync(path, data, options) {
    write(path, data, options);
    if (typeof path === 'string') afterMaking(path);
  },
});

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-lock-'));
  path = join(directory, 'a.lock');
});
afterEach(() => {
  afterMaking = () => {};
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
});

/** The file system has no flock(2), as some network file systems. */
function withoutFlock(code: string): void {
  vi.spyOn(loadLibc(), 'tryLock').mockImplementation(() => {
    throw Object.assign(new Error(`flock failed: ${code}`), { code });
  });
}

const now = { timeout: 0 };

describe.each([
  ['the lock of the kernel', () => undefined, 'flock(2), released when the process ends'],
  ['the lease', () => withoutFlock('ENOLCK'), 'a lease, which expires ten seconds after the process ends'],
])('%s', (_, prepare, kind) => {
  beforeEach(prepare);

  it('is held until it is released, and then can be taken again', async () => {
    for (let turn = 0; turn < 3; turn++) {
      const lock = await holdLock(path, now);
      const said = await asyncRefusal(() => holdLock(path, now));
      expect(said).toContain(`store-busy: ${path} is locked by process ${process.pid} (${kind})`);
      await lock.release();
      await lock.release();
    }
  });

  it('admits forty calls in one process one after the other, and loses none', async () => {
    let inside = 0;
    let counter = 0;
    const work = async () => {
      expect(++inside).toBe(1);
      const read = counter;
      await new Promise((resolve) => setTimeout(resolve, 1));
      counter = read + 1;
      inside--;
    };
    // Each waits longer than its time-out in all, but sees the lock change hands meanwhile.
    await Promise.all(Array.from({ length: 40 }, () => withStoreLock(directory, work, { timeout: 60_000 })));
    expect(counter).toBe(40);
  });

  it("is released if the work fails, and the work's error is thrown", async () => {
    await expect(withStoreLock(directory, () => Promise.reject(new Error('first')))).rejects.toThrow('first');
    expect(await withStoreLock(directory, async () => 'ran', now)).toBe('ran');
  });

  it('stops waiting when it is aborted', async () => {
    const lock = await holdLock(path);
    const aborter = new AbortController();
    const waiting = holdLock(path, { signal: aborter.signal, timeout: 60_000 });
    aborter.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await lock.release();
  });

  it('starts its time-out again whenever it changes hands', async () => {
    let clock = 0;
    let looks = 0;
    using _ = vi.spyOn(performance, 'now').mockImplementation(() => {
      looks++;
      return clock;
    });
    let lock = await holdLock(path);
    const waiting = asyncRefusal(() => holdLock(path, { timeout: 400 }));
    for (let hands = 0; hands < 5; hands++) {
      const before = looks;
      while (looks < before + 4) await new Promise((resolve) => setTimeout(resolve, 1)); // until it has looked twice
      clock += 300;
      // No moment between both in which the waiting one could look.
      const given = lock.release();
      const taken = holdLock(path, now);
      await given;
      lock = await taken;
    }
    await lock.release();
    expect(await waiting).toBe('nothing thrown');
  });

  it('can be asked for', async () => {
    expect(await isLocked(path)).toBe(false);
    const lock = await holdLock(path);
    expect(await isLocked(path)).toBe(true);
    await lock.release();
    expect(await isLocked(path)).toBe(false);
  });
});

describe('the lock of the kernel', () => {
  it('can go with its file, also while others wait for it', async () => {
    const lock = await holdLock(path);
    const waiting = holdLock(path);
    await lock.release({ remove: true });
    const second = await waiting;
    expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-busy: /);
    await second.release({ remove: true });
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each(['', '\0\0\0\0', '{"pid":', 'null', '{"pid":{"toString":1}}'])(
    'does not mind a file with %j',
    async (text) => {
      writeFileSync(path, text);
      const lock = await holdLock(path, now);
      expect(JSON.parse(readFileSync(path, 'utf8')).pid).toBe(process.pid);
      await lock.release();
      expect(readFileSync(path, 'utf8')).toBe('');
    },
  );

  it('can go when its file has gone, and leaves the file of another holder', async () => {
    const first = await holdLock(path);
    rmSync(path);
    const second = await holdLock(path);
    await first.release({ remove: true });
    expect(readdirSync(directory)).toEqual(['a.lock']);
    rmSync(path);
    await second.release({ remove: true });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('reports errors other than missing locks', async () => {
    withoutFlock('EBADF');
    expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-io: .*flock failed: EBADF/);
  });
});

describe('the lease', () => {
  beforeEach(() => withoutFlock('EOPNOTSUPP'));
  const files = () => readdirSync(directory).filter((name) => name.startsWith('a.lock.'));

  it('leaves one file behind, whose number only grows', async () => {
    for (const expected of ['a.lock.1', 'a.lock.2', 'a.lock.3']) {
      const lock = await holdLock(path, now);
      expect(files()).toEqual([expected]);
      await lock.release();
      expect(files()).toEqual([expected]);
    }
  });

  it.each(['{"pid":1,"token":"t"}', '', '\0\0'])(
    'is taken over ten seconds after its last renewal, and not sooner: %j',
    async (text) => {
      const file = join(directory, 'a.lock.7');
      writeFileSync(file, text);
      const ago = (seconds: number) => utimesSync(file, new Date(), new Date(Date.now() - seconds * 1000));
      ago(5);
      expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-busy: /);
      ago(11);
      const lock = await holdLock(path, now);
      expect(files()).toEqual(['a.lock.8']);
      await lock.release();
    },
  );

  it('is renewed while it is held', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const lock = await holdLock(path, now);
      utimesSync(join(directory, 'a.lock.1'), new Date(), new Date(Date.now() - 60_000));
      vi.advanceTimersByTime(2000);
      expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-busy: /);
      await lock.release();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is not given back by one that has lost it', async () => {
    const first = await holdLock(path, now);
    utimesSync(join(directory, 'a.lock.1'), new Date(), new Date(Date.now() - 60_000));
    const second = await holdLock(path, now);
    await first.release();
    expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-busy: /);
    expect(files()).toEqual(['a.lock.2']);
    await second.release();
  });

  it('steps back from a later one, even if that has removed its file', async () => {
    afterMaking = (file) => {
      if (!file.endsWith('.1')) return;
      write(join(directory, 'a.lock.2'), '{"pid":1,"token":"t"}', { mode: 0o600 });
      rmSync(file, { force: true });
    };
    expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-busy: /);
    expect(files()).toEqual(['a.lock.2']);
  });

  it('is looked at even if its holder removes temporary files', async () => {
    write(join(directory, 'a.lock.1'), '{"pid":1,"token":"t"}', { mode: 0o600 });
    afterMaking = (file) => {
      if (file.endsWith('.tmp')) rmSync(file, { force: true });
    };
    expect(await asyncRefusal(() => holdLock(path, now))).toMatch(/^store-busy: /);
  });
});
