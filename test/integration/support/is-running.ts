import { readFileSync } from 'node:fs';

/** Whether a process of this id runs; one that has ended and waits to be fetched by its parent does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
