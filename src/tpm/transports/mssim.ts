import { type Bytes, byteCount, uint32At, uint32s } from '../../bytes.ts';
import { KeyprovError, undoOnFailure, withCleanup } from '../../errors.ts';
import { checkAnswerFrame, HEADER_SIZE } from '../frame.ts';
import { MAX_COMMAND_SIZE, type PowerCycling, type TpmTransport, TURN_TIMEOUT_MS } from '../transport.ts';
import { cancelOnAbort } from './cancel-on-abort.ts';
import { TransportLife } from './life.ts';
import {
  type Framing,
  fixedSize,
  formatTarget,
  SocketConnection,
  type SocketTarget,
  withinLimit,
} from './socket-connection.ts';

export interface MssimOptions {
  /** Name or address of the machine, `127.0.0.1` by default. */
  readonly host?: string | undefined;
  /** TCP port for commands, 2321 by default. */
  readonly port?: number | undefined;
  /** TCP port of the platform (power, cancel), `port` + 1 by default. */
  readonly platformPort?: number | undefined;
  /** Whether opening switches the TPM and its non-volatile memory on; default true. Harmless if they are on. */
  readonly power?: boolean | undefined;
  /** Ends the opening; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Maximum time for opening, in milliseconds. Default: 30,000. */
  readonly openTimeoutMs?: number | undefined;
}

/** A simulator that speaks the protocol of the reference implementation (Microsoft, IBM). */
export interface MssimTransport extends TpmTransport, PowerCycling, AsyncDisposable {
  readonly kind: 'mssim';
}

// Messages of the reference implementation, Simulator/include/TpmTcpProtocol.h.
const SEND_COMMAND = 8;
const HANDSHAKE = 15;
const SESSION_END = 20;
const PLATFORM = { POWER_ON: 1, POWER_OFF: 2, CANCEL_ON: 9, CANCEL_OFF: 10, NV_ON: 11 } as const;

const CLIENT_VERSION = 1;
/** Message number (4 bytes), locality (1), length of the command (4). */
const SEND_HEADER_SIZE = 9;

/**
 * Connects to both ports of a simulator, shakes hands, and switches the TPM on. Waits up to 30 seconds for its turn: a
 * reference simulator serves one client after another, and dies when it responds to a client that has given up.
 *
 * The reference simulators write a response in three pieces with Nagle's algorithm on, so each command takes about 44
 * ms over Linux's loopback.
 * @throws KeyprovError `transport-unreachable` (nobody listens at one of the ports), `transport-timeout` (another
 * client holds the simulator, or something else is there), `transport-protocol` (it speaks another protocol).
 */
export function openMssim(options: MssimOptions = {}): Promise<MssimTransport> {
  const { host = '127.0.0.1', port = 2321, power = true, signal } = options;
  const { platformPort = port + 1, openTimeoutMs: timeoutMs = TURN_TIMEOUT_MS } = options;
  const address = `mssim:${formatTarget({ host, port })}`;
  const limits = {
    address,
    timeoutMs,
    signal,
    remedy:
      'if another client uses the simulator, stop that client (a simulator serves one at a time); if the ' +
      'simulator is not running, restart it: the reference simulator exits if a client disconnects before the response',
  };
  return withinLimit(limits, async (limit) => {
    const platform = await connectPlatform({ host, port: platformPort }, limit);
    const open = async (): Promise<MssimTransport> => {
      const remedy = 'start the simulator there, or correct the address';
      const connection = await SocketConnection.connect({ host, port }, { address, remedy, limit });
      const begin = async (): Promise<void> => {
        await shakeHands(connection, address, limit);
        if (!power) return;
        await platform.tell('POWER_ON', limit);
        await platform.tell('NV_ON', limit);
      };
      await undoOnFailure(begin, () => connection.close());
      return transportOver(address, connection, platform);
    };
    return await undoOnFailure(open, platform.close);
  });
}

async function shakeHands(connection: SocketConnection, address: string, limit: AbortSignal): Promise<void> {
  // Version of the server, its capabilities, and the closing zero of every response.
  const answer = await connection.exchange(uint32s(HANDSHAKE, CLIENT_VERSION), fixedSize(12), limit);
  const version = uint32At(answer, 0);
  if (version !== CLIENT_VERSION || uint32At(answer, 8) !== 0) {
    throw new KeyprovError('transport-protocol', `${address}: the handshake failed (server version ${version})`, {
      remedy: 'check that the IBM, Microsoft or TCG simulator listens there, not swtpm',
    });
  }
}

/** Connects to the platform port: the machine around the TPM. */
async function connectPlatform(target: SocketTarget, limit: AbortSignal) {
  const address = `platform port of mssim at ${formatTarget(target)}`;
  const remedy = 'start the simulator there, or give the port of its platform channel';
  const connection = await SocketConnection.connect(target, { address, remedy, limit });
  return {
    async tell(signal: keyof typeof PLATFORM, within?: AbortSignal): Promise<void> {
      const result = uint32At(await connection.exchange(uint32s(PLATFORM[signal]), fixedSize(4), within), 0);
      if (result !== 0) {
        throw new KeyprovError('transport-protocol', `${address}: ${signal} failed with result ${result}`);
      }
    },
    close: () => connection.close(uint32s(SESSION_END)),
  };
}

type Platform = Awaited<ReturnType<typeof connectPlatform>>;

function transportOver(address: string, connection: SocketConnection, platform: Platform): MssimTransport {
  const framing: Framing = { headSize: 4, lengthOf: (head) => messageLength(head, address) };
  const life = new TransportLife(address);
  const buffer = new Uint8Array(SEND_HEADER_SIZE + MAX_COMMAND_SIZE);
  const exchange = async (command: Uint8Array, limit: AbortSignal | undefined): Promise<Bytes> => {
    const message = buffer.subarray(0, SEND_HEADER_SIZE + command.length);
    message.set(uint32s(SEND_COMMAND));
    // message[4] is the locality: always 0.
    message.set(uint32s(command.length), 5);
    message.set(command, SEND_HEADER_SIZE);
    try {
      const answer = await connection.exchange(message, framing, limit);
      if (uint32At(answer, answer.length - 4) !== 0) {
        throw new KeyprovError('transport-protocol', `${address}: the zero after the response is missing`);
      }
      const response = answer.subarray(4, answer.length - 4);
      checkAnswerFrame(response, address);
      return response;
    } finally {
      // It may hold an authorization value.
      message.fill(0);
    }
  };
  const cancel = async (answer: Promise<unknown>, limit: AbortSignal | undefined): Promise<void> => {
    await platform.tell('CANCEL_ON', limit);
    // The sender of the command sees whether it succeeded.
    await Promise.allSettled([answer]);
    // The switch would cancel the next commands too.
    await platform.tell('CANCEL_OFF', limit);
  };
  const close = (): Promise<void> =>
    life.close(() => withCleanup(() => connection.close(uint32s(SESSION_END)), platform.close));
  return {
    ...{ kind: 'mssim', address, emulator: true, managed: false },
    send: (command, options = {}) =>
      life.send(command, options, () => {
        const answer = exchange(command, options.limit);
        return cancelOnAbort(answer, options.signal, () => cancel(answer, options.limit));
      }),
    powerCycle: () =>
      life.alone(async () => {
        await platform.tell('POWER_OFF');
        await platform.tell('POWER_ON');
        await platform.tell('NV_ON');
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Length of the whole message: the response, the UINT32 length before it, and the UINT32 zero after it. */
function messageLength(head: Uint8Array, address: string): number {
  const length = uint32At(head, 0);
  if (length === 0) {
    throw new KeyprovError('transport-protocol', `${address}: the simulator is switched off`, {
      remedy: 'open the TPM again, which switches it on',
    });
  }
  if (length < HEADER_SIZE || length > MAX_COMMAND_SIZE) {
    throw new KeyprovError(
      'transport-protocol',
      `${address}: the response announces an impossible ${byteCount(length)}`,
      {
        remedy: 'check that a TPM simulator listens there',
      },
    );
  }
  return 4 + length + 4;
}
