import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The user of least rights on Debian. */
export const ORDINARY_USER = { uid: 65_534, gid: 65_534 } as const;

/** Whether this process is root's, which may start processes of any user. */
export const isRoot: boolean = process.getuid?.() === 0;

/** Why root cannot start our programs as an ordinary user: the checkout is in a directory that nobody else may enter. */
export function checkoutIsClosed(): boolean {
  if (!isRoot) return false;
  const look = `fs.accessSync(${JSON.stringify(join(process.cwd(), 'package.json'))})`;
  const closed = spawnSync(process.execPath, ['-e', look], { ...ORDINARY_USER, cwd: '/' }).status !== 0;
  if (closed) console.warn(`skipped: an ordinary user may not read ${process.cwd()}`);
  return closed;
}
