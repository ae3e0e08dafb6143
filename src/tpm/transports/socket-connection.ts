import { connect as connectSocket, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bytes, byteCount, concat, copy, EMPTY, wipe } from '../../bytes.ts';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { AbortWatch, withTimeout } from '../../signal.ts';

/** Where a socket leads: a unix socket, or a TCP port. */
export type SocketTarget = { readonly path: string } | { readonly host: string; readonly port: number };

/** How to find the end of a response. */
export interface Framing {
  /** How many bytes of a response `lengthOf` needs. */
  readonly headSize: number;
  /** The length of the whole response in bytes. @throws KeyprovError if there is no such response. */
  readonly lengthOf: (head: Uint8Array) => number;
}

/** A response that always has `size` bytes. */
export const fixedSize = (size: number): Framing => ({ headSize: size, lengthOf: () => size });

export interface ConnectOptions {
  /** The name of the other side in messages. */
  readonly address: string;
  /** The remedy if nothing listens there. */
  readonly remedy: string;
  /** Ends the attempt; its reason is thrown. */
  readonly limit: AbortSignal;
}

interface Pending extends Framing {
  readonly resolve: (answer: Bytes) => void;
  readonly reject: (error: unknown) => void;
}

// More than one whole response of any protocol here, so that excess bytes are seen together with the response.
const READ_BUFFER_SIZE = 8192;
/** Longest pause within a response, in milliseconds: a TPM takes its time before it answers, but not in the middle. */
const STALL_MS = 750;
/** Pause before the next attempt at a unix socket whose backlog is full, in milliseconds. */
const BACKLOG_POLL_MS = 100;

/**
 * A socket on which requests and responses take turns: one write per request, one response at a time. Unexpected bytes,
 * an unreadable response, or the end of the socket kill the connection for good, so left-over bytes can never be
 * mistaken for the response to a later request.
 */
export class SocketConnection {
  readonly #address: string;
  readonly #socket: Socket;
  readonly #watch = new AbortWatch();
  #pending: Pending | undefined;
  /** Beginning of a response whose rest has not come yet. */
  #part: Bytes = EMPTY;
  #stall: NodeJS.Timeout | undefined;
  #death: unknown;

  private constructor(target: SocketTarget, address: string) {
    this.#address = address;
    const onread = {
      buffer: new Uint8Array(READ_BUFFER_SIZE),
      callback: (count: number, buffer: Uint8Array) => this.#receive(buffer.subarray(0, count)),
    };
    this.#socket = connectSocket({ ...target, noDelay: true, onread });
  }

  /**
   * Connects, with TCP_NODELAY if that applies. Waits while so many clients wait there that the system takes no more.
   * @throws KeyprovError `transport-unreachable` or `transport-permission`; the reason of `limit` if it aborts.
   */
  static async connect(target: SocketTarget, options: ConnectOptions): Promise<SocketConnection> {
    if (!('host' in target) || target.host !== 'localhost') return await SocketConnection.#connect(target, options);
    // RFC 6761, 6.3: the name stands for both loopback addresses; the system often returns only one.
    try {
      return await SocketConnection.#connect({ ...target, host: '127.0.0.1' }, options);
    } catch (error) {
      if (!isKeyprovError(error, 'transport-unreachable')) throw error;
      return await SocketConnection.#connect({ ...target, host: '::1' }, options);
    }
  }

  static #connect(target: SocketTarget, options: ConnectOptions): Promise<SocketConnection> {
    const { address, remedy, limit } = options;
    return new Promise((resolve, reject) => {
      limit.throwIfAborted();
      const connection = new SocketConnection(target, address);
      const socket = connection.#socket;
      const abandon = () => {
        socket.destroy();
        reject(limit.reason);
      };
      const fail = (error: Error) => {
        limit.removeEventListener('abort', abandon);
        if (!('code' in error && error.code === 'EAGAIN')) return reject(connectError(address, error, remedy));
        resolve(delay(BACKLOG_POLL_MS).then(() => SocketConnection.#connect(target, options)));
      };
      limit.addEventListener('abort', abandon, { once: true });
      socket.once('error', fail);
      socket.once('connect', () => {
        limit.removeEventListener('abort', abandon);
        socket.off('error', fail);
        socket.on('error', (error) => connection.#lose(error));
        socket.on('close', () => connection.#lose(undefined));
        resolve(connection);
      });
    });
  }

  /**
   * Sends `request` in one write and waits for the whole response. If `limit` aborts before that, the connection is
   * dead and the promise is rejected with its reason.
   * @throws KeyprovError `transport-lost` or `transport-protocol`, and the same again for every later call; TypeError
   * while another exchange runs.
   */
  exchange(request: Uint8Array, framing: Framing, limit?: AbortSignal): Promise<Bytes> {
    return new Promise((resolve, reject) => {
      if (this.#death !== undefined) throw this.#death;
      if (this.#pending !== undefined) throw new TypeError(`${this.#address}: another exchange is running`);
      this.#pending = { ...framing, resolve, reject };
      this.#socket.write(request);
      this.#watch.watch(limit, (reason) => this.#pending && this.#die(reason));
    });
  }

  /** Sends `farewell`, if any, and closes the socket. Idempotent. */
  close(farewell: Uint8Array = EMPTY): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.closed) return resolve();
      this.#socket.once('close', () => resolve());
      if (this.#death === undefined && farewell.length > 0) this.#socket.write(farewell);
      this.#death ??= new KeyprovError('transport-closed', `${this.#address}: closed`);
      this.#socket.destroySoon();
    });
  }

  #receive(received: Uint8Array): boolean {
    const pending = this.#pending;
    clearTimeout(this.#stall);
    try {
      if (pending === undefined) throw this.#protocolError(`received ${byteCount(received.length)} without a command`);
      const bytes = this.#part.length === 0 ? received : concat(this.#part, received);
      const length = bytes.length < pending.headSize ? Number.POSITIVE_INFINITY : pending.lengthOf(bytes);
      if (bytes.length > length) throw this.#protocolError(`${bytes.length - length} extra bytes followed a response`);
      if (bytes.length < length) {
        this.#part = copy(bytes);
        this.#stall = setTimeout(() => this.#die(this.#stalled(bytes.length)), STALL_MS);
      } else {
        this.#part = EMPTY;
        this.#pending = undefined;
        pending.resolve(copy(bytes));
      }
    } catch (error) {
      this.#die(error);
    } finally {
      // Answers may hold secrets, and this memory lives as long as the connection.
      wipe(received);
    }
    return true;
  }

  #protocolError(what: string): KeyprovError {
    return new KeyprovError('transport-protocol', `${this.#address}: ${what}`, {
      remedy: 'check that a TPM 2.0 listens there and that the protocol (swtpm, mssim) is right',
    });
  }

  #stalled(received: number): KeyprovError {
    const what = `the response stalled for ${STALL_MS} ms after ${byteCount(received)}; the TPM may or may not have executed the command`;
    return new KeyprovError('transport-timeout', `${this.#address}: ${what}`, {
      remedy: "open a new connection and check the TPM's state before you repeat the command",
    });
  }

  #lose(cause: Error | undefined): void {
    const what = this.#pending === undefined ? '' : ' during a command, which the TPM may or may not have executed';
    this.#die(
      new KeyprovError('transport-lost', `${this.#address}: the connection was lost${what}`, {
        cause,
        remedy: "open a new connection and check the TPM's state before you repeat the command",
      }),
    );
  }

  /** Keeps the first reason. */
  #die(reason: unknown): void {
    this.#death ??= reason;
    clearTimeout(this.#stall);
    this.#socket.destroy();
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.reject(this.#death);
  }
}

function connectError(address: string, cause: Error, remedy: string): KeyprovError {
  const code = 'code' in cause ? cause.code : undefined;
  if (code === 'EACCES' || code === 'EPERM') {
    return new KeyprovError('transport-permission', `${address}: access denied`, {
      cause,
      remedy: 'run as a user who may write to the socket, or change its file mode',
    });
  }
  return new KeyprovError('transport-unreachable', `${address}: cannot connect (${String(code ?? cause.message)})`, {
    cause,
    remedy,
  });
}

/** Writes a target as in addresses of `openTpm`: `unix:/run/tpm.sock`, `127.0.0.1:2321`, `[::1]:2321`. */
export function formatTarget(target: SocketTarget): string {
  if ('path' in target) return `unix:${target.path}`;
  return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
}

/**
 * Runs `open` with a signal that aborts when `signal` does, with the same reason, or after `timeoutMs` with
 * `transport-timeout`.
 */
export async function withinLimit<T>(
  options: {
    readonly address: string;
    readonly remedy: string;
    readonly timeoutMs: number;
    readonly signal?: AbortSignal | undefined;
  },
  open: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const { address, remedy, timeoutMs, signal } = options;
  const late = () =>
    new KeyprovError('transport-timeout', `${address}: no response within ${timeoutMs} ms`, { remedy });
  return await withTimeout({ signal, timeoutMs, late }, open);
}
