import { uint16At } from '../../bytes.ts';
import { KeyprovError, undoOnFailure } from '../../errors.ts';
import { TPM_ST } from '../constants.ts';
import { answerLength, SIGN_OF_LIFE } from '../frame.ts';
import { type PowerCycling, type TpmTransport, TURN_TIMEOUT_MS } from '../transport.ts';
import { cancelOnAbort } from './cancel-on-abort.ts';
import { TransportLife } from './life.ts';
import { type Framing, formatTarget, SocketConnection, type SocketTarget, withinLimit } from './socket-connection.ts';
import { controlSwtpm, SWTPM_CONTROL } from './swtpm-control.ts';

export interface SwtpmOptions {
  /** Name or address of the machine, `127.0.0.1` by default. Not together with `path`. */
  readonly host?: string | undefined;
  /** TCP port of the data channel, 2321 by default. Not together with `path`. */
  readonly port?: number | undefined;
  /** Unix socket of the data channel. */
  readonly path?: string | undefined;
  /**
   * The control channel, needed to cancel commands, power cycle and shut down. `'default'` is where tpm2-tss expects
   * it: port + 1, or the path followed by `.ctrl`. A port without a host is on `host`. Absent: not used, because
   * something else may listen there.
   */
  readonly control?:
    | 'default'
    | { readonly host?: string | undefined; readonly port: number }
    | { readonly path: string }
    | undefined;
  /** Aborts the opening; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Maximum time for opening, in milliseconds. Default: 30,000. */
  readonly openTimeoutMs?: number | undefined;
}

/** A swtpm, reached over its sockets. */
export interface SwtpmTransport extends TpmTransport, PowerCycling, AsyncDisposable {
  readonly kind: 'swtpm';
  /**
   * Switches power off and on over the control channel, not while a command or another power cycle runs.
   * @throws KeyprovError `transport-unreachable` if it was opened without a control channel.
   */
  powerCycle(): Promise<void>;
  /**
   * Closes this transport and ends the swtpm process over the control channel, without TPM2_Shutdown.
   * @throws KeyprovError `transport-unreachable` if it was opened without a control channel.
   */
  shutdown(): Promise<void>;
}

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 2321;

/**
 * Connects to a running swtpm over TCP or a unix socket. Waits up to 30 seconds for its turn.
 *
 * swtpm serves one client at a time and lets the next one wait without a sign, so opening sends one TPM2_GetCapability
 * and fails if no response comes in time. It also tries the control channel, if given. swtpm 0.7 accepts a cancellation
 * but continues the command.
 * @throws KeyprovError `transport-unreachable` (nobody listens), `transport-permission`, `transport-timeout` (another
 * client holds the swtpm, or no TPM is there), `transport-protocol` (it is not a TPM 2.0).
 */
export async function openSwtpm(options: SwtpmOptions = {}): Promise<SwtpmTransport> {
  const { signal, openTimeoutMs: timeoutMs = TURN_TIMEOUT_MS } = options;
  const target = dataTarget(options);
  const control = controlTarget(options.control, target);
  const address = `swtpm:${formatTarget(target)}`;
  const limits = {
    address,
    timeoutMs,
    signal,
    remedy:
      'if another client uses swtpm, stop that client (swtpm serves one at a time); otherwise check that swtpm listens there',
  };
  return withinLimit(limits, async (limit) => {
    const remedy = 'start swtpm there, or correct the address';
    const connection = await SocketConnection.connect(target, { address, remedy, limit });
    const open = async (): Promise<SwtpmTransport> => {
      const framing = { headSize: 6, lengthOf: (head: Uint8Array) => answerLength(head, address) };
      const answer = await connection.exchange(SIGN_OF_LIFE, framing, limit);
      if (uint16At(answer, 0) !== TPM_ST.NO_SESSIONS) {
        throw new KeyprovError('transport-protocol', `${address}: the server there is not a TPM 2.0`, {
          remedy: 'start swtpm with --tpm2, or correct the address',
        });
      }
      if (control !== undefined) await controlSwtpm(control, SWTPM_CONTROL.GET_CAPABILITY, { signal: limit });
      return transportOver(address, connection, framing, control);
    };
    return await undoOnFailure(open, () => connection.close());
  });
}

function dataTarget({ host, port, path }: SwtpmOptions): SocketTarget {
  if (path === undefined) return { host: host ?? DEFAULT_HOST, port: port ?? DEFAULT_PORT };
  if (host !== undefined || port !== undefined) throw new TypeError('give either path, or host and port');
  return { path };
}

function controlTarget(control: SwtpmOptions['control'], data: SocketTarget): SocketTarget | undefined {
  if (control === undefined) return undefined;
  if (control === 'default') {
    return 'path' in data ? { path: `${data.path}.ctrl` } : { host: data.host, port: data.port + 1 };
  }
  if ('path' in control) return control;
  return { host: control.host ?? ('host' in data ? data.host : DEFAULT_HOST), port: control.port };
}

function transportOver(
  address: string,
  connection: SocketConnection,
  framing: Framing,
  control: SocketTarget | undefined,
): SwtpmTransport {
  const life = new TransportLife(address);
  const needControl = (): SocketTarget => {
    if (control !== undefined) return control;
    throw new KeyprovError('transport-unreachable', `${address}: the TPM was opened without a control channel`, {
      remedy: "open it with `control`, for example 'default'",
    });
  };
  const close = (): Promise<void> => life.close(() => connection.close());
  return {
    ...{ kind: 'swtpm', address, emulator: true, managed: false },
    send: (command, options = {}) =>
      life.send(command, options, () => {
        const { signal, limit } = options;
        const answer = connection.exchange(command, framing, limit);
        if (control === undefined) return answer;
        return cancelOnAbort(answer, signal, async () => {
          // Best effort: if it fails, the response to the command still comes.
          await controlSwtpm(control, SWTPM_CONTROL.CANCEL_TPM_CMD, { signal: limit }).catch(() => undefined);
        });
      }),
    async powerCycle() {
      const channel = needControl();
      await life.alone(() => controlSwtpm(channel, SWTPM_CONTROL.INIT));
    },
    async shutdown() {
      const channel = needControl();
      await close();
      await controlSwtpm(channel, SWTPM_CONTROL.SHUTDOWN);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
