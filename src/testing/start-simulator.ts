import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isKeyprovError, KeyprovError, sayError, undoOnFailure, withCleanup } from '../errors.ts';
import { temporaryDirectory } from '../storage/temporary-directory.ts';
import { exportSwtpmState } from '../tpm/swtpm-state.ts';
import type { TpmTransport } from '../tpm/transport.ts';
import { openLibtpms } from '../tpm/transports/libtpms.ts';
import { startSwtpm } from '../tpm/transports/swtpm-process.ts';

/** Options for the TPM of a test. */
export interface SimulatorOptions {
  /** libtpms runs in this process, swtpm in its own. Default `auto`: libtpms, or swtpm if libtpms is missing. */
  readonly engine?: 'auto' | 'libtpms' | 'swtpm' | undefined;
  /** The permanent state to start from, from either engine; it is copied. Absent: a new TPM. */
  readonly state?: Uint8Array | undefined;
}

/** The members of {@link SimulatorOptions}, for `checkMembers`. */
export const SIMULATOR_MEMBERS = 'engine:=auto|libtpms|swtpm? state:bytes?';

/**
 * Starts a TPM that ends with its transport. Only this process can use it, and its state is not kept.
 * @throws KeyprovError `library-missing` if the engine is not installed, `state-invalid` for a wrong state.
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<TpmTransport> {
  try {
    return await startEngine(options);
  } catch (error) {
    if (!isKeyprovError(error, 'library-missing')) throw error;
    throw new KeyprovError('library-missing', sayError(error), { cause: error.cause }); // test runners show no `remedy`
  }
}

async function startEngine({ engine = 'auto', state }: SimulatorOptions): Promise<TpmTransport> {
  if (engine === 'swtpm') return await startTemporarySwtpm(state);
  try {
    return await openLibtpms(state && { state });
  } catch (error) {
    if (engine === 'libtpms' || process.platform === 'win32' || !isKeyprovError(error, 'library-missing')) throw error;
    return await startTemporarySwtpm(state).catch((cause: unknown) => {
      if (!isKeyprovError(cause, 'library-missing')) throw cause;
      throw new KeyprovError('library-missing', 'a TPM for tests needs libtpms or swtpm, and neither was found', {
        cause: error,
        remedy: 'install one of them (Debian: apt-get install libtpms0)',
      });
    });
  }
}

async function startTemporarySwtpm(state: Uint8Array | undefined): Promise<TpmTransport> {
  const stateDirectory = state && (await temporaryDirectory('keyprov-testing-'));
  const remove = async () => {
    if (stateDirectory !== undefined) await rm(stateDirectory, { recursive: true, force: true });
  };
  const start = async (): Promise<TpmTransport> => {
    if (state && stateDirectory) await writeFile(join(stateDirectory, 'tpm2-00.permall'), exportSwtpmState(state));
    const swtpm = await startSwtpm({ stateDirectory });
    const transport = await undoOnFailure(
      () => swtpm.open(),
      () => swtpm.stop(),
    );
    const { kind, address, emulator, managed } = transport;
    const stop = () => withCleanup(() => swtpm.stop(), remove);
    return {
      ...{ kind, address, emulator, managed },
      send: (command, options) => transport.send(command, options),
      close: () => withCleanup(() => transport.close(), stop),
    };
  };
  return await undoOnFailure(start, remove);
}
