import type { Bytes } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';

/** How bytes reach a TPM. */
export type TransportKind = 'libtpms' | 'swtpm' | 'mssim' | 'device' | 'tcti' | 'tbs';

/** Options for sending one command. */
export interface SendOptions {
  /**
   * When it aborts, the transport asks the TPM to cancel the running command, if it can. `send` still settles only with
   * the TPM's response (often TPM_RC_CANCELED) or the transport's failure, so the response to one command is never
   * mistaken for the response to the next.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * When it aborts, the transport is given up: `send` is rejected at once with the signal's reason, the transport is
   * dead, and `close` does not wait for the response.
   */
  readonly limit?: AbortSignal | undefined;
}

/**
 * Sends the bytes of one command to a TPM and returns the bytes of its response, without interpreting them.
 *
 * One command at a time: callers wait for `send` to settle before they call it again (the `Tpm` class does). If `send`
 * is rejected with a `transport-…` error, the outcome of the command is unknown and the transport is dead: every later
 * `send` is rejected at once, and the caller can only `close` it.
 */
export interface TpmTransport {
  readonly kind: TransportKind;
  /** The TPM's address, in the form that `openTpm` takes: `swtpm:127.0.0.1:2321`, `libtpms:/var/lib/x`. */
  readonly address: string;
  /** True if the address is an emulator's, or if the operating system reports one. */
  readonly emulator: boolean;
  /**
   * True if a resource manager (kernel, TBS, daemon) starts the TPM, maps handles, and flushes what a closed connection
   * leaves behind. If false, the `Tpm` sends TPM2_Startup if the TPM needs it, and TPM2_Shutdown after a PIN was used
   * (but not to a `device`, which the kernel shuts down).
   */
  readonly managed: boolean;
  /**
   * Sends one complete command (10 to 4096 bytes, including the header) and resolves with the complete response. The
   * caller owns the returned bytes, and may reuse `command` once the promise settles.
   * @throws KeyprovError with `transport-lost`, `transport-protocol`, `transport-timeout` or `transport-closed`.
   */
  send(command: Uint8Array, options?: SendOptions): Promise<Bytes>;
  /**
   * Does the work of `send` synchronously, for a process that is exiting: then a `Tpm` shuts down a TPM inside the
   * process. Only such a TPM has it; a transport that wraps another one passes it on. Returns undefined, and sends
   * nothing, while another command runs or if the transport is dead or closed.
   */
  sendSync?(command: Uint8Array): Bytes | undefined;
  /** Waits for a running command unless it was given up, then frees all resources. Idempotent. Sends no TPM command. */
  close(): Promise<void>;
}

/** A transport whose TPM can be switched off and on, because this library runs it. */
export interface PowerCycling {
  /**
   * Switches power off and on, without TPM2_Shutdown. Transient state is lost, and TPM2_Startup is needed.
   * @throws TypeError while a command or another power cycle runs; KeyprovError after a failure of the transport.
   */
  powerCycle(): Promise<void>;
}

/**
 * Largest command or answer that any TPM 2.0 transport here moves, in bytes. TPM2_MAX_COMMAND_SIZE of the PC Client
 * profile.
 */
export const MAX_COMMAND_SIZE = 4096;

/** How long `close` waits for a transport that was given up, in milliseconds. */
export const GIVEN_UP_MS = 100;

/** Maximum time to wait for a first response when a transport is opened, in milliseconds. */
export const OPEN_TIMEOUT_MS = 750;

/**
 * The same for an emulator that serves one client after another and lets the next one wait without a sign. A client
 * that gives up kills a reference simulator, which gets SIGPIPE when it responds to a client that is gone.
 */
export const TURN_TIMEOUT_MS = 30_000;

/** Tells whether an error says that a transport, and with it the way to the TPM, failed. */
export function isTransportError(error: unknown): error is KeyprovError {
  return error instanceof KeyprovError && error.code.startsWith('transport-');
}
