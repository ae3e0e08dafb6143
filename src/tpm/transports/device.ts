import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type Bytes, byteCount, wipe } from '../../bytes.ts';
import { TpmError } from '../../errors/tpm-error.ts';
import { KeyprovError, type PlainErrorCode } from '../../errors.ts';
import { answerLength, HEADER_SIZE } from '../frame.ts';
import { MAX_COMMAND_SIZE, type TpmTransport } from '../transport.ts';
import { TransportLife } from './life.ts';

export interface DeviceOptions {
  /** The device file. Default: `/dev/tpmrm0`, Linux's resource manager. `/dev/tpm0` is used only if given here. */
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
 * A running command cannot be canceled. If the kernel itself refuses a command, usually because of a handle from
 * another connection, the command is rejected with `tpm-command-blocked`: it never reached the TPM, and the transport
 * stays usable. (Linux 6.1: three transient objects per open `/dev/tpmrm0`.)
 * @throws KeyprovError `no-tpm` (no such device), `transport-unreachable`, `transport-permission`, `transport-busy`
 * (another program uses `/dev/tpm0`), `address-invalid` (the path is not a device).
 */
export async function openDevice({ path = DEFAULT_PATH }: DeviceOptions = {}): Promise<DeviceTransport> {
  const address = `device:${path}`;
  let handle: FileHandle;
  try {
    // Opening some files (a watchdog, a pipe) has effects, so look first.
    if (!(await stat(path)).isCharacterDevice()) {
      throw new KeyprovError('address-invalid', `${address}: not a device`, {
        remedy: `use a TPM device, such as ${DEFAULT_PATH}`,
      });
    }
    handle = await open(path, constants.O_RDWR | constants.O_NOCTTY);
  } catch (error) {
    throw error instanceof KeyprovError ? error : openError(address, error);
  }
  return transportTo(address, handle, /\/tpmrm\d+$/.test(path));
}

const NO_DEVICE = [
  'no-tpm',
  'there is no such device',
  'enable the TPM in the firmware setup, or use another device',
] as const;

/** Meaning of the kernel's error numbers when the device is opened. */
const OPEN_ERRORS: Readonly<Record<string, readonly [code: PlainErrorCode, what: string, remedy: string]>> = {
  ENOENT: NO_DEVICE,
  ENODEV: NO_DEVICE,
  ENXIO: NO_DEVICE,
  EACCES: ['transport-permission', 'access denied', 'join the group that owns the device (usually tss)'],
  EPERM: ['transport-permission', 'access denied', 'allow the container or service to access the device'],
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

function transportTo(address: string, handle: FileHandle, managed: boolean): DeviceTransport {
  const life = new TransportLife(address);
  const buffer = new Uint8Array(MAX_COMMAND_SIZE);
  const close = (): Promise<void> => life.close(() => handle.close());
  return {
    ...{ kind: 'device', address, emulator: false, managed },
    send: (command, options = {}) =>
      life.send(command, options, async () => {
        await write(handle, command, address);
        return await read(handle, buffer, address);
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function write(handle: FileHandle, command: Uint8Array, address: string): Promise<void> {
  // The device has no file position: null, or Linux refuses with ESPIPE.
  const { bytesWritten } = await handle.write(command, 0, command.length, null).catch((cause: unknown) => {
    throw writeError(address, cause);
  });
  if (bytesWritten !== command.length) {
    throw new KeyprovError(
      'transport-protocol',
      `${address}: the device accepted only ${bytesWritten} of ${byteCount(command.length)}`,
    );
  }
}

function writeError(address: string, cause: unknown): KeyprovError {
  const errno = errnoOf(cause);
  if (errno === 'EINVAL' || errno === 'E2BIG') {
    return new TpmError('tpm-command-blocked', `${address}: the kernel refused the command (${errno})`, {
      cause,
      remedy: 'use only handles of objects and sessions that were made over this connection',
    });
  }
  if (errno === 'EBUSY') {
    return new KeyprovError('transport-busy', `${address}: an earlier response was not read`, {
      cause,
      remedy: 'open the device again',
    });
  }
  return new KeyprovError('transport-lost', `${address}: writing failed (${errno}); the outcome is unknown`, {
    cause,
    remedy: 'check the TPM driver in the kernel log, then open the device again',
  });
}

/** Reads a response into `buffer`, which is wiped, and returns a copy. */
async function read(handle: FileHandle, buffer: Bytes, address: string): Promise<Bytes> {
  let length = buffer.length;
  let have = 0;
  try {
    while (have < length) {
      const { bytesRead } = await handle.read(buffer, have, length - have, null);
      if (bytesRead === 0) break;
      have += bytesRead;
      if (have >= HEADER_SIZE) length = answerLength(buffer, address);
    }
    if (have !== length) {
      throw new KeyprovError('transport-protocol', `${address}: the response has only ${byteCount(have)}`, {
        remedy: 'check that this device is a TPM 2.0',
      });
    }
    return buffer.slice(0, have);
  } finally {
    wipe(buffer);
  }
}
