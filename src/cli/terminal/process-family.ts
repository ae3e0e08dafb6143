import type { ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { errorCode } from '../../storage/file-error.ts';

/**
 * Whether a command can have its own process group, which can be ended as one. Not if there is a terminal: outside the
 * session of the terminal a command cannot ask the user.
 */
export function mayHaveOwnGroup(): boolean {
  if (process.platform === 'win32') return false;
  try {
    closeSync(openSync('/dev/tty', constants.O_RDWR | constants.O_NOCTTY));
    return false;
  } catch (error) {
    return errorCode(error) === 'ENXIO'; // this process has no terminal
  }
}

/**
 * Returns a function that sends a signal to a command and to the processes that it has started so far: to its group if it
 * has its own, else to its descendants, which only Linux lists.
 */
export function familyOf(child: ChildProcess, ownGroup: boolean): (name: NodeJS.Signals) => void {
  const { pid, exitCode, signalCode } = child;
  const members = (): number[] => {
    if (pid === undefined) return [];
    if (ownGroup) return [-pid];
    return exitCode === null && signalCode === null ? [pid, ...descendants(pid)] : [];
  };
  const all = members();
  return (name) => {
    for (const member of all) {
      try {
        process.kill(member, name);
      } catch (error) {
        // It has ended, or has become a process of another user.
        if (errorCode(error) !== 'ESRCH' && errorCode(error) !== 'EPERM') throw error;
      }
    }
  };
}

function descendants(pid: number): number[] {
  if (process.platform !== 'linux') return []; // a /proc elsewhere cannot be trusted
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').match(/\d+/g) ?? [])
      .map(Number)
      .flatMap((child) => [child, ...descendants(child)]);
  } catch {
    return []; // it has ended, or /proc is not there
  }
}
