import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Tpm, type TpmOptions } from '../../../src/tpm/tpm.ts';
import { type StartSwtpmOptions, startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';
import { toolEnvironment } from '../../programs.ts';
import { tctiOf } from './swtpm-address.ts';

const run = promisify(execFile);

/** A swtpm that tpm2-tools and keyprov use in turn, because it serves one client at a time. */
export interface ToolsTpm extends AsyncDisposable {
  /** Its address, for the command line. */
  readonly address: string;
  /** The directory of the tools' files. */
  readonly directory: string;
  /** Runs `tpm2_<name>` and flushes what it has loaded. @returns its output. */
  tool(name: string, ...args: readonly string[]): Promise<string>;
  /** Opens the TPM for keyprov. */
  ours<T>(work: (tpm: Tpm) => Promise<T>, options?: TpmOptions): Promise<T>;
}

/** Starts it. */
export async function startToolsTpm(options: StartSwtpmOptions = {}): Promise<ToolsTpm> {
  const swtpm = await startSwtpm(options);
  const directory = await mkdtemp(join(tmpdir(), 'keyprov-tools-'));
  const env = { ...toolEnvironment(), TPM2TOOLS_TCTI: tctiOf(swtpm), TSS2_LOG: 'all+none' };
  return {
    address: swtpm.address,
    directory,
    async tool(name, ...args) {
      try {
        return (await run(`tpm2_${name}`, args, { cwd: directory, env })).stdout;
      } finally {
        await run('tpm2_flushcontext', ['-t'], { cwd: directory, env });
      }
    },
    async ours(work, opening) {
      const tpm = await Tpm.open(await swtpm.open(), opening);
      try {
        return await work(tpm);
      } finally {
        await tpm.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await swtpm.stop();
      await rm(directory, { recursive: true });
    },
  };
}
