import { checkObject } from '../bytes.ts';
import { causedBy, KeyprovError, undoOnFailure } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { parseTpmAddress, type TpmAddress } from './address.ts';
import { defaultMarksDirectory } from './marks.ts';
import { checkTpmOptions, TPM_MEMBERS, Tpm, type TpmOptions } from './tpm.ts';
import type { TpmTransport } from './transport.ts';

/** Options of {@link openTpm}. */
export interface OpenTpmOptions extends TpmOptions {
  /** Wraps the transport before it is used, for example with a recorder. */
  readonly wrap?: ((transport: TpmTransport) => TpmTransport) | undefined;
  /** Makes the TPM of `libtpms:DIRECTORY` if there is none. Default true; with false the error is `no-tpm`. */
  readonly create?: boolean | undefined;
}

/**
 * Opens a TPM, and starts it if nothing else does. Without an address, tries only the platform's own TPM: `/dev/tpmrm0`
 * on Linux, TBS on Windows. Opens an emulator only if the address says so.
 *
 * @throws KeyprovError `no-tpm` if the platform has none that can be opened (`cause` says why), `address-invalid`,
 * `library-missing`, `library-unsuitable`, `not-private`, or a `transport-…` or `state-…` code. Each error comes within
 * a second (10 seconds for a directory that another TPM uses, 30 for an emulator's address where another client is
 * served or nothing responds) and has a remedy; TypeError for an unknown option.
 *
 * @example
 * ```ts
 * import { commands, openTpm } from 'keyprov/tpm';
 *
 * await using tpm = await openTpm('libtpms:./tpm'); // or 'auto': the TPM of this machine
 * const { randomBytes } = await tpm.run(commands.GetRandom, { bytesRequested: 16 });
 * ```
 */
export async function openTpm(address: string | TpmAddress = 'auto', options: OpenTpmOptions = {}): Promise<Tpm> {
  options = checkMembers('openTpm', options, TPM_MEMBERS, 'wrap:function? create:boolean?');
  checkTpmOptions(options);
  if (typeof address !== 'string') checkObject(address, 'the address, unless it is text,', 'kind');
  options.signal?.throwIfAborted();
  const transport = await openTransport(typeof address === 'string' ? parseTpmAddress(address) : address, options);
  const { wrap, create: _, marksDirectory = defaultMarksDirectory(), ...rest } = options;
  return await Tpm.open(await wrapTransport(transport, wrap), { ...rest, marksDirectory });
}

/** Wraps the transport, and closes it if that fails. @throws TypeError for the answer of a function without types. */
export async function wrapTransport(transport: TpmTransport, wrap: OpenTpmOptions['wrap']): Promise<TpmTransport> {
  if (wrap === undefined) return transport;
  const work = async () => checkObject(wrap(transport), 'the result of wrap', 'send', 'close');
  return await undoOnFailure(work, () => transport.close());
}

/** Opens the transport to a TPM; loads only now what it needs. */
async function openTransport(
  address: TpmAddress,
  options: Pick<OpenTpmOptions, 'signal' | 'create'>,
): Promise<TpmTransport> {
  const { signal, create } = options;
  switch (address.kind) {
    case 'auto':
      return await openPlatformTpm(options);
    case 'libtpms':
      return await (await import('./transports/libtpms.ts')).openLibtpms({ ...address, create, signal });
    case 'swtpm':
      return await (await import('./transports/swtpm.ts')).openSwtpm({ ...address, signal });
    case 'mssim':
      return await (await import('./transports/mssim.ts')).openMssim({ ...address, signal });
    case 'device':
      return await (await import('./transports/device.ts')).openDevice(address);
    case 'tbs':
      return await (await import('./transports/tbs.ts')).openTbs();
    case 'tcti':
      return await (await import('./transports/tcti.ts')).openTcti({ ...address, signal });
    default: // of a caller without types
      throw new TypeError(
        "openTpm: the address must be a string such as 'auto' or 'libtpms:./tpm', or an object whose kind is known",
      );
  }
}

async function openPlatformTpm(options: SignalOptions): Promise<TpmTransport> {
  const kind = process.platform === 'win32' ? 'tbs' : process.platform === 'linux' ? 'device' : undefined;
  if (kind === undefined) {
    throw new KeyprovError('no-tpm', `no TPM can be reached on ${process.platform}`, {
      remedy: 'use an emulator (libtpms, swtpm, mssim) or a TCTI',
    });
  }
  try {
    return await openTransport({ kind }, options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('no-tpm', `this machine has no TPM that can be opened: ${reason}`, causedBy(cause));
  }
}
