import { randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoOnFailure, withCleanup } from '../../errors.ts';
import { fileError } from '../../storage/file-error.ts';
import { openPrivateDirectory } from '../../storage/private-files.ts';
import { temporaryDirectory } from '../../storage/temporary-directory.ts';
import { refuseOnWindows } from '../../storage/windows.ts';
import { SHUTDOWN_CLEAR } from '../frame.ts';
import { OPEN_TIMEOUT_MS } from '../transport.ts';
import { formatTarget, type SocketTarget } from './socket-connection.ts';
import { openSwtpm, type SwtpmTransport } from './swtpm.ts';
import { SwtpmChild, type SwtpmSockets } from './swtpm-child.ts';

export interface StartSwtpmOptions {
  /** Where the TPM keeps its state; made if missing. Absent: the TPM is new, and is removed with the process. */
  readonly stateDirectory?: string | undefined;
  /** A unix socket in a private directory (default), or a free TCP port of 127.0.0.1, below 32768. */
  readonly listen?: 'unix' | 'tcp' | undefined;
  /** Name or path of the program, `swtpm` by default. */
  readonly executable?: string | undefined;
  /** Aborts the start; its reason is thrown. It has no effect later. */
  readonly signal?: AbortSignal | undefined;
}

/** A swtpm that this process started and will end. */
export interface SwtpmProcess extends AsyncDisposable {
  readonly pid: number;
  /** Its address, in the form that `openTpm` takes: `swtpm:unix:/tmp/x/tpm`, `swtpm:127.0.0.1:2400`. */
  readonly address: string;
  readonly data: SocketTarget;
  /** Where tpm2-tss expects it: port + 1, or the path followed by `.ctrl`. */
  readonly control: SocketTarget;
  /** Connects to it, including the control channel. One client at a time. */
  open(options?: { readonly signal?: AbortSignal }): Promise<SwtpmTransport>;
  /**
   * Ends the process (a TPM with a kept state first gets TPM2_Shutdown(CLEAR), if no client holds it) and removes
   * temporary files. Idempotent.
   */
  stop(): Promise<void>;
}

const MAX_PORT_TRIES = 20;

/**
 * Starts a swtpm and waits until it answers; it has then received TPM2_Startup(CLEAR). It ends with `stop`, or with
 * this process (even if that is killed), but not with Ctrl-C in the terminal, so it can be shut down cleanly.
 * @throws KeyprovError `library-missing` (swtpm is not installed), `state-in-use`, `state-invalid`, `state-io`,
 * `store-io`, `transport-unreachable` (it ended at once for another reason; the message quotes its output) or
 * `transport-timeout`.
 */
export async function startSwtpm(options: StartSwtpmOptions = {}): Promise<SwtpmProcess> {
  const { stateDirectory, listen = 'unix', executable = 'swtpm', signal } = options;
  signal?.throwIfAborted();
  refuseOnWindows('swtpm');
  // swtpm would read the text after a comma as another option.
  if (`${tmpdir()}${stateDirectory}`.includes(',')) throw new RangeError('swtpm cannot use a path with a comma');
  const directory = await temporaryDirectory('keyprov-swtpm-');
  const start = async (): Promise<SwtpmProcess> => {
    const state = stateDirectory ?? join(directory, 'state');
    try {
      openPrivateDirectory(state);
    } catch (cause) {
      throw fileError('state-io', state, cause, 'the state of swtpm in ');
    }
    for (let tries = 1; ; tries++) {
      const sockets = listen === 'unix' ? unixSockets(directory) : tcpSockets();
      const child = new SwtpmChild({ executable, state, sockets, directory });
      try {
        await child.ready(signal);
        return running(child, sockets, directory, stateDirectory !== undefined);
      } catch (error) {
        await child.kill();
        if (listen === 'unix' || tries === MAX_PORT_TRIES || !child.portTaken) throw error;
      }
    }
  };
  return await undoOnFailure(start, () => rm(directory, { recursive: true, force: true }));
}

function unixSockets(directory: string): SwtpmSockets {
  const path = join(directory, 'tpm');
  return { data: { path }, control: { path: `${path}.ctrl` } };
}

/** Finds free ports below 32768: Linux uses those from 32768 on for outgoing connections. */
function tcpSockets(): SwtpmSockets {
  const host = '127.0.0.1';
  const port = randomInt(10_000, 32_766);
  return { data: { host, port }, control: { host, port: port + 1 } };
}

function running(
  child: SwtpmChild,
  { data, control }: SwtpmSockets,
  directory: string,
  keepsState: boolean,
): SwtpmProcess {
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= withCleanup(
      async () => {
        if (keepsState) await shutDownTpm(data);
        await child.stop();
      },
      () => rm(directory, { recursive: true, force: true }),
    );
    return stopping;
  };
  return {
    ...{ pid: child.pid, address: `swtpm:${formatTarget(data)}`, data, control },
    open: (options = {}) => openSwtpm({ ...options, ...data, control }),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Shuts the TPM down: if it loses power without that, it may count a failed authorization try. */
async function shutDownTpm(data: SocketTarget): Promise<void> {
  try {
    const transport = await openSwtpm({ ...data, openTimeoutMs: OPEN_TIMEOUT_MS });
    await withCleanup(
      () => transport.send(SHUTDOWN_CLEAR),
      () => transport.close(),
    );
  } catch {
    // It has ended, or a client that was not closed holds it; it is ended anyway.
  }
}
