import { randomUUID } from 'node:crypto';
import { closeSync, constants, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { temporaryName } from './atomic-file.ts';
import { ignoring } from './file-error.ts';
import type { FileLock } from './kernel-lock.ts';
import { type Holder, readHolder } from './lock-holder.ts';
import { openPrivateFile, readPrivateFile } from './private-files.ts';

/** How often a lease is renewed, in milliseconds. */
const BEAT = 2000;
/** Age in milliseconds, five beats, at which a lease has lost its holder. */
const STALE = 5 * BEAT;
const RELEASED = 'released';

/**
 * Takes a lease at once, or returns its holder: the lock for systems and file systems without flock(2). The holder
 * renews it every two seconds; ten seconds after the last renewal others may take it. So a dead holder's lease stays
 * taken for that long, and a holder that was suspended for longer has lost it without noticing.
 *
 * The lease is the file `PATH.N` with the highest N. Taking it means making file N + 1 once file N was released or is
 * stale; only one process can make it. The highest file is never removed, so numbers never come back: a process that
 * saw an old state fails to make its file, or finds a higher one right after and steps back.
 * @throws KeyprovError `not-private`; the error of Node.
 */
export function takeLease(path: string): FileLock | Holder {
  const highest = Math.max(0, ...numbersOf(path));
  if (highest > 0) {
    const file = readPrivateFile(`${path}.${highest}`);
    const text = file === undefined ? RELEASED : file.bytes.toString();
    if (text.trimEnd() !== RELEASED && !isStale(path, highest)) return readHolder(text);
  }
  const mine = highest + 1;
  const file = `${path}.${mine}`;
  const content = `${JSON.stringify({ pid: process.pid, token: randomUUID() })}\n`;
  try {
    writeFileSync(file, content, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    return ignoring('EEXIST', { token: `${mine}` })(error);
  }
  const others = numbersOf(path).filter((number) => number !== mine);
  if (others.some((number) => number > mine)) {
    rmSync(file, { force: true }); // the later one removes it too
    return { token: `${mine}` };
  }
  for (const number of others) rmSync(`${path}.${number}`, { force: true });
  return leaseOf(file, content);
}

function leaseOf(file: string, content: string): FileLock {
  /** Never creates the file: if it is gone, a later one has the lease. */
  const write = (text: string): void => {
    try {
      const fd = openPrivateFile(file, constants.O_RDWR);
      try {
        writeFileSync(fd, text);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      ignoring('ENOENT', undefined)(error);
    }
  };
  const timer = setInterval(() => {
    try {
      write(content);
    } catch {
      // The next beat may succeed, and the work under the lock notices a broken file system itself.
    }
  }, BEAT).unref();
  let held = true;
  return {
    // The file stays even with `remove`: its number must not come back.
    release() {
      if (!held) return;
      held = false;
      clearInterval(timer);
      write(RELEASED.padEnd(content.length)); // keeps the length of the file
    },
  };
}

/** Uses the clock of the file system, which may be on another machine. */
function isStale(path: string, number: number): boolean {
  const probe = join(dirname(path), temporaryName());
  writeFileSync(probe, '', { flag: 'wx', mode: 0o600 });
  // The holder of the lock may remove temporary files; then it is alive.
  const [now, renewed] = [probe, `${path}.${number}`].map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs);
  rmSync(probe, { force: true });
  return now !== undefined && renewed !== undefined && now - renewed > STALE;
}

function numbersOf(path: string): number[] {
  const start = `${basename(path)}.`;
  const digits = readdirSync(dirname(path)).flatMap((name) =>
    name.startsWith(start) ? [name.slice(start.length)] : [],
  );
  return digits.filter((text) => /^[1-9]\d{0,14}$/.test(text)).map(Number);
}
