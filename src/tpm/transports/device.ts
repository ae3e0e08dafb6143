import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type Bytes, wipe } from '../../bytes.ts';
import { TpmError } from '../../errors/tpm-error.ts';
import { KeyprovError, type PlainErrorCode } from '../../errors.ts';
import { answerLength, HEADER_SIZE } from '../frame.ts';
import { MAX_COMMAND_SIZE, type SendOptions, type TpmTransport } from '../transport.ts';
import { TransportLife } from './life.ts';

/** How {@link openDevice} finds the TPM. */
export interface DeviceOptions {
  /** The device file. Default: `/dev/tpmrm0`, Linux' resource manager. `/dev/tpm0` is used only if it is named here. */
  readonly path?: string | undefined;
}

/** The machine's own TPM, through the Linux kernel. */
export interface DeviceTransport extends TpmTransport, AsyncDisposable {
  readonly kind: 'device';
  readonly emulator: false;
  /**
   * True for `/dev/tpmrm…`: the kernel maps handles and flushes leftovers when the device is closed. False for
   * `/dev/tpm…`, where objects stay until somebody flushes them. There too the kernel has started the TPM: TPM2_Startup
   * gets TPM_RC_INITIALIZE, and a TPM2_Shutdown followed by commands of others does no harm.
   */
  readonly managed: boolean;
}

const DEFAULT_PATH = '/dev/tpmrm0';

/**
 * Opens the TPM device of a Linux machine.
 *
 * A running command cannot be canceled; its answer is awaited. A command that the kernel itself refuses, mostly for
 * a handle that another connection made, is rejected with `tpm-command-blocked`: it never reached the TPM, and the
 * transport stays usable. (Linux 6.1: three transient objects per open `/dev/tpmrm0`.)
 * @throws KeyprovError `no-tpm` (no such device), `transport-unreachable`, `transport-permission`, `transport-busy`
 * (another program uses `/dev/tpm0`), `address-invalid` (the path is not a device).
 */
export async function openDevice({ path = DEFAULT_PATH }: DeviceOptions = {}): Promise<DeviceTransport> {
  const address = `device:${path}`;
  let handle: FileHandle;
  try {
    // Opening some files (a watchdog, a pipe) has effects, so look first.
    if (!(await stat(path)).isCharacterDevice()) {
      throw new KeyprovError('address-invalid', `${address}: this is not a device`, {
        remedy: `name a TPM device, such as ${DEFAULT_PATH}`,
      });
    }
    handle = await open(path, constants.O_RDWR | constants.O_NOCTTY);
  } catch (error) {
    throw error instanceof KeyprovError ? error : openError(address, error);
  }
  return new Transport(address, handle, /\/tpmrm\d+$/.test(path));
}

const NO_DEVICE = ['no-tpm', 'there is no such device', 'switch the TPM on in the firmware, or use another'] as const;

/** Meaning of the kernel's error numbers when the device is opened. */
const OPEN_ERRORS: Readonly<Record<string, readonly [code: PlainErrorCode, what: string, remedy: string]>> = {
  ENOENT: NO_DEVICE,
  ENODEV: NO_DEVICE,
  ENXIO: NO_DEVICE,
  EACCES: ['transport-permission', 'access denied', 'join the group that owns the device (usually tss)'],
  EPERM: ['transport-permission', 'access denied', 'give the container or service access to the device'],
  EBUSY: ['transport-busy', 'another program is using it', `end that program, or use ${DEFAULT_PATH}`],
};

function openError(address: string, cause: unknown): KeyprovError {
  const errno = errnoOf(cause);
  const [code, what, remedy] = OPEN_ERRORS[errno] ?? [
    'transport-unreachable',
    `cannot be opened (${errno})`,
    'check the TPM driver in the kernel log',
  ];
  return new KeyprovError(code, `${address}: ${what}`, { cause, remedy });
}

const errnoOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown error';

class Transport implements DeviceTransport {
  readonly kind = 'device';
  readonly address: string;
  readonly emulator = false;
  readonly managed: boolean;
  readonly #handle: FileHandle;
  readonly #life: TransportLife;
  readonly #answer = new Uint8Array(MAX_COMMAND_SIZE);

  constructor(address: string, handle: FileHandle, managed: boolean) {
    this.address = address;
    this.#handle = handle;
    this.managed = managed;
    this.#life = new TransportLife(address);
  }

  send(command: Uint8Array, options: SendOptions = {}): Promise<Bytes> {
    return this.#life.send(command, options, async () => {
      await this.#write(command);
      return this.#read();
    });
  }

  async #write(command: Uint8Array): Promise<void> {
    let written: number;
    try {
      // The device has no file position: null, or Linux refuses with ESPIPE.
      ({ bytesWritten: written } = await this.#handle.write(command, 0, command.length, null));
    } catch (cause) {
      throw this.#writeError(cause);
    }
    if (written !== command.length) {
      throw new KeyprovError('transport-protocol', `${this.address}: took ${written} of ${command.length} bytes`);
    }
  }

  #writeError(cause: unknown): KeyprovError {
    const errno = errnoOf(cause);
    if (errno === 'EINVAL' || errno === 'E2BIG') {
      return new TpmError('tpm-command-blocked', `${this.address}: the kernel refused the command (${errno})`, {
        cause,
        remedy: 'use only handles of objects and sessions that were made over this connection',
      });
    }
    if (errno === 'EBUSY') {
      return new KeyprovError('transport-busy', `${this.address}: an earlier answer was not fetched`, {
        cause,
        remedy: 'open the device again',
      });
    }
    return new KeyprovError('transport-lost', `${this.address}: writing failed (${errno}); the outcome is unknown`, {
      cause,
      remedy: 'check the TPM driver in the kernel log, then open the device again',
    });
  }

  async #read(): Promise<Bytes> {
    const answer = this.#answer;
    let length = answer.length;
    let have = 0;
    try {
      while (have < length) {
        const { bytesRead } = await this.#handle.read(answer, have, length - have, null);
        if (bytesRead === 0) break;
        have += bytesRead;
        if (have >= HEADER_SIZE) length = answerLength(answer, this.address);
      }
      if (have !== length) {
        throw new KeyprovError('transport-protocol', `${this.address}: the answer has ${have} bytes`, {
          remedy: 'check that this device is a TPM 2.0',
        });
      }
      return answer.slice(0, have);
    } finally {
      wipe(answer);
    }
  }

  close(): Promise<void> {
    return this.#life.close(() => this.#handle.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
