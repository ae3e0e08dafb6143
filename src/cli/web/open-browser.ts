import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { temporaryDirectory } from '../../storage/temporary-directory.ts';
import { windowsProgram } from '../../storage/windows.ts';

/** What opens an address in the user's browser. */
const OPENERS: Partial<Record<NodeJS.Platform, readonly [command: string, ...args: string[]]>> = {
  win32: [windowsProgram('rundll32.exe'), 'url.dll,FileProtocolHandler'],
  darwin: ['open'],
};

/**
 * Tries to open an address in the user's browser. The address contains a token, and other users can see the arguments
 * of processes. So the browser gets the name of a file that only its owner can read, and that leads to the address.
 * @returns a function that removes the file.
 */
export async function openBrowser(address: string, onFailure: () => void): Promise<() => Promise<void>> {
  const directory = await temporaryDirectory('keyprov-page-');
  const file = join(directory, 'open.html');
  await writeFile(file, `<!doctype html><meta http-equiv="refresh" content="0;url=${address}"><title>keyprov</title>`, {
    mode: 0o600,
  });
  const [command, ...args] = OPENERS[process.platform] ?? ['xdg-open'];
  const child = spawn(command, [...args, pathToFileURL(file).href], { stdio: 'ignore', detached: true });
  child.once('error', onFailure).once('exit', (code) => {
    if (code !== 0) onFailure();
  });
  child.unref();
  return async () => await rm(directory, { recursive: true, force: true });
}
