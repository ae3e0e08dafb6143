import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Debian's user with the fewest rights. */
export const ORDINARY_USER = { uid: 65_534, gid: 65_534 } as const;

/** Whether this process runs as root, which may start processes as any user. */
export const isRoot: boolean = process.getuid?.() === 0;

/** The reason why root cannot start keyprov as an ordinary user: the checkout is in a directory that others may not enter. */
export function checkoutIsClosed(): boolean {
  if (!isRoot) return false;
  const look = `fs.accessSync(${JSON.stringify(join(process.cwd(), 'package.json'))})`;
  const closed = spawnSync(process.execPath, ['-e', look], { ...ORDINARY_USER, cwd: '/' }).status !== 0;
  if (closed) console.warn(`skipped: an ordinary user may not read ${process.cwd()}`);
  return closed;
}
