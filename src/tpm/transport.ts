import type { Bytes } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';

/** How bytes reach a TPM. */
export type TransportKind = 'libtpms' | 'swtpm' | 'mssim' | 'device' | 'tcti' | 'tbs';

/** Requests to a transport while a command runs. */
export interface SendOptions {
  /**
   * When it aborts, the transport asks the TPM to cancel the running command, if it can. The promise of `send` still
   * settles only with the TPM's own answer (often TPM_RC_CANCELED) or with the transport's failure, so the answer to
   * one command can never be mistaken for the answer to the next.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * When it aborts, the transport is given up: `send` is rejected with its reason at once, the transport is dead, and
   * `close` does not wait for the answer.
   */
  readonly limit?: AbortSignal | undefined;
}

/**
 * Moves the bytes of one command to a TPM and the bytes of its answer back, without knowing what they mean.
 *
 * One command at a time: callers wait for `send` to settle before they call it again (the `Tpm` class does). Once
 * `send` was rejected with a `transport-…` error, the outcome of the command is unknown and the transport is dead:
 * every later `send` is rejected at once, and only `close` is left to do.
 */
export interface TpmTransport {
  readonly kind: TransportKind;
  /** Where it leads, in the form that `openTpm` takes: `swtpm:127.0.0.1:2321`, `libtpms:/var/lib/x`. */
  readonly address: string;
  /** True if the caller named an emulator, or the operating system says that this is one. */
  readonly emulator: boolean;
  /**
   * True if someone else (kernel, TBS, resource manager daemon) started the TPM, maps handles and flushes what a closed
   * connection leaves behind. False: we send TPM2_Startup if the TPM says so, and TPM2_Shutdown after the use of a PIN.
   */
  readonly managed: boolean;
  /**
   * Sends one whole command (10 to 4096 bytes, header included) and resolves with one whole answer. The caller owns the
   * returned bytes; the memory of `command` is free again when the promise settles.
   * @throws KeyprovError with `transport-lost`, `transport-protocol`, `transport-timeout` or `transport-closed`.
   */
  send(command: Uint8Array, options?: SendOptions): Promise<Bytes>;
  /** Waits for a running command that was not given up, then frees everything. Idempotent. Sends no TPM command. */
  close(): Promise<void>;
}

/** A transport whose TPM can be switched off and on again: a platform that this library runs itself. */
export interface PowerCycling {
  /** Power off and on, without TPM2_Shutdown: transient state is lost and TPM2_Startup is needed. */
  powerCycle(): Promise<void>;
}

/** Largest command or answer that any TPM 2.0 transport here moves, in bytes. TPM2_MAX_COMMAND_SIZE of the PC Client profile. */
export const MAX_COMMAND_SIZE = 4096;

/** How long `close` waits for a transport that was given up, in milliseconds. */
export const GIVEN_UP_MS = 100;

/** Longest wait for a first sign of life when a transport is opened, in milliseconds. */
export const OPEN_TIMEOUT_MS = 750;

/**
 * The same for a simulator that serves one client after the other, and lets the next one wait silently. A client that
 * gives up kills the simulator: it ends by SIGPIPE when it answers a client that is gone.
 */
export const SIMULATOR_OPEN_TIMEOUT_MS = 30_000;

/** Tells whether an error says that a transport, and with it the way to the TPM, failed. */
export function isTransportError(error: unknown): error is KeyprovError {
  return error instanceof KeyprovError && error.code.startsWith('transport-');
}
