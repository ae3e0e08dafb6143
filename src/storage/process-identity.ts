import { readFile, readlink } from 'node:fs/promises';
import { errorCode, ignoring } from './atomic-file.ts';

/** Which process it is, also after its number was given to another one. What the platform does not tell is ''. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it started, in ticks since boot. */
  readonly start: string;
  readonly boot: string;
  /** The pid namespace: a container cannot see the processes of another one. */
  readonly namespace: string;
}

/** The identity of this process. Start, boot and namespace are known on Linux only. */
export async function thisProcess(): Promise<ProcessIdentity> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(ignoring('ENOENT', ''));
  const namespace = await readlink('/proc/self/ns/pid').catch(ignoring('ENOENT', ''));
  return { pid: process.pid, start: (await startOf(process.pid)) ?? '', boot: boot.trim(), namespace };
}

/**
 * Whether that process is certainly gone, seen from `self`. On Linux the answer is exact for processes of the same pid
 * namespace. Elsewhere another process may have got the number, and the answer is no although it is gone.
 */
export async function isGone(other: ProcessIdentity, self: ProcessIdentity): Promise<boolean> {
  if (other.boot !== self.boot) return true;
  if (other.namespace !== self.namespace) return false;
  if (self.start !== '') return (await startOf(other.pid)) !== other.start;
  try {
    process.kill(other.pid, 0);
    return false;
  } catch (error) {
    return errorCode(error) === 'ESRCH';
  }
}

/** When a process started; undefined if there is none, or only its remains (a zombie). proc(5), /proc/pid/stat. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ESRCH') return ''; // it ended between opening and reading
    return ignoring('ENOENT', '')(error);
  });
  // The second field, the name in brackets, may hold spaces and brackets itself.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : rest[18];
}
