import { existsSync } from 'node:fs';
import type { Tbs } from '../../../native/tbs.ts';
import { type Bytes, uint32At } from '../../bytes.ts';
import { TpmError } from '../../errors/tpm-error.ts';
import { KeyprovError, type PlainErrorCode, sayError } from '../../errors.ts';
import { checkAnswerFrame, HEADER_SIZE } from '../frame.ts';
import { decodeResponseCode, describeResponseCode, isTpm2Code } from '../response-code.ts';
import { TPM_RC } from '../tpm-rc.ts';
import type { TpmTransport } from '../transport.ts';
import { cancelOnAbort } from './cancel-on-abort.ts';
import { TransportLife } from './life.ts';
import { loadNative } from './load-native.ts';

export interface TbsOptions {
  /** Path of another library with the functions of tbs.dll. Absent: Windows' tbs.dll. */
  readonly library?: string | undefined;
}

/** How the TPM is attached, according to Windows: the TPM_IFTYPE_… values of TPM_DEVICE_INFO. */
export type TbsInterfaceType = 'unknown' | 'tpm-1.2' | 'trustzone' | 'hardware' | 'emulator' | 'spb';

/** The TPM of a Windows machine. */
export interface TbsTransport extends TpmTransport, AsyncDisposable {
  readonly kind: 'tbs';
  readonly managed: true;
  /** According to Windows; a hint, not a proof. */
  readonly interfaceType: TbsInterfaceType;
}

const INTERFACE_TYPES: readonly TbsInterfaceType[] = ['unknown', 'tpm-1.2', 'trustzone', 'hardware', 'emulator', 'spb'];
const TPM_VERSION_20 = 2;
const ADDRESS = 'tbs';

/**
 * Opens the TPM of this Windows machine through TPM Base Services, which start it and manage its handles.
 *
 * Not yet run on Windows itself: the tests use a library with the same functions in front of an emulator, also on Wine.
 * @throws KeyprovError with `library-missing`, `library-unsuitable`, `no-tpm`, `transport-unreachable`,
 * `transport-permission` or `transport-busy`.
 */
export async function openTbs(options: TbsOptions = {}): Promise<TbsTransport> {
  const tbs = await load(options.library);
  try {
    throwIfFailed(await tbs.createContext());
  } catch (error) {
    tbs.free();
    throw error;
  }
  try {
    const { result, info } = await tbs.deviceInfo();
    throwIfFailed(result);
    if (info.tpmVersion !== TPM_VERSION_20) {
      throw new KeyprovError('no-tpm', `${ADDRESS}: Windows finds a TPM, but it is not a TPM 2.0`, {
        remedy: 'switch the TPM to version 2.0 in the firmware setup, if it supports that',
      });
    }
    return transportTo(tbs, INTERFACE_TYPES[info.interfaceType] ?? 'unknown');
  } catch (error) {
    await closeContext(tbs);
    throw error;
  }
}

async function load(chosen: string | undefined): Promise<Tbs> {
  if (chosen === undefined && process.platform !== 'win32') {
    throw new KeyprovError('library-missing', `${ADDRESS}: only Windows has TPM Base Services`, {
      remedy: "on Linux, use the address 'device'",
    });
  }
  const { loadTbs, tbsPath } = await loadNative(ADDRESS, () => import('../../../native/tbs.ts'));
  const path = chosen ?? tbsPath();
  if (!existsSync(path)) {
    throw new KeyprovError('library-missing', `${ADDRESS}: there is no ${path}`, {
      remedy: 'use Windows 8 or later',
    });
  }
  try {
    return loadTbs(path);
  } catch (error) {
    const problem = `TPM Base Services cannot be loaded from ${path}: ${sayError(error)}`;
    throw new KeyprovError('library-unsuitable', `${ADDRESS}: ${problem}`, { cause: error });
  }
}

async function closeContext(tbs: Tbs): Promise<void> {
  // Its HRESULT does not matter: Windows closes the contexts of ended processes.
  await tbs.closeContext();
  tbs.free();
}

const TBS_E_COMMAND_CANCELED = 0x8028400d;

/** Meaning of HRESULTs when the TPM is opened; any other is `transport-unreachable`. */
const OPENING_ERRORS: ReadonlyMap<number, PlainErrorCode> = new Map([
  [0x80284009, 'transport-busy'], // TBS_E_TOO_MANY_TBS_CONTEXTS
  [0x8028400b, 'transport-busy'], // TBS_E_SERVICE_START_PENDING
  [0x8028400f, 'no-tpm'], // TBS_E_TPM_NOT_FOUND
  [0x80284010, 'no-tpm'], // TBS_E_SERVICE_DISABLED
  [0x80284012, 'transport-permission'], // TBS_E_ACCESS_DENIED
]);

/**
 * HRESULTs with which TBS refuses one command without sending it to the TPM. The context stays usable, so these must
 * not be `transport-…` errors.
 */
const REFUSALS: ReadonlyMap<number, TpmError['code']> = new Map([
  [0x80280400, 'tpm-command-blocked'], // TPM_E_COMMAND_BLOCKED
  [0x80280401, 'tpm-command-blocked'], // TPM_E_INVALID_HANDLE
  [0x80280402, 'tpm-command-blocked'], // TPM_E_DUPLICATE_VHANDLE
  [0x80280403, 'tpm-command-blocked'], // TPM_E_EMBEDDED_COMMAND_BLOCKED
  [0x80280404, 'tpm-command-blocked'], // TPM_E_EMBEDDED_COMMAND_UNSUPPORTED
  [0x80284012, 'tpm-command-blocked'], // TBS_E_ACCESS_DENIED
  [0x8028400a, 'tpm-out-of-memory'], // TBS_E_TOO_MANY_RESOURCES
]);

function hresultError(code: PlainErrorCode, result: number): KeyprovError {
  const rc = decodeResponseCode(result);
  return new KeyprovError(code, `${ADDRESS}: ${describeResponseCode(rc)}`, { remedy: rc.advice });
}

function throwIfFailed(result: number): void {
  if (result !== 0) throw hresultError(OPENING_ERRORS.get(result) ?? 'transport-unreachable', result);
}

/**
 * The outcome of a command. If TBS wrote a response header, the response counts. If it returned only an HRESULT with a
 * TPM code (0x80280000 + code), builds the response that the TPM must have sent. Any other HRESULT is an error.
 */
function answerOf(result: number, answer: Bytes): Bytes {
  if (result === 0) {
    checkAnswerFrame(answer, ADDRESS);
    return answer;
  }
  if (result === TBS_E_COMMAND_CANCELED) return bareAnswer(TPM_RC.CANCELED);
  const code = result & 0xffff;
  if (result >>> 16 === 0x8028 && isTpm2Code(code)) {
    const isWhole = answer.length >= HEADER_SIZE && uint32At(answer, 2) === answer.length;
    // A header that says success contradicts the HRESULT, which is the safer of the two.
    return isWhole && uint32At(answer, 6) !== 0 ? answer : bareAnswer(code);
  }
  const refusal = REFUSALS.get(result);
  if (refusal === undefined) throw hresultError('transport-lost', result);
  const responseCode = decodeResponseCode(result);
  const { advice: remedy } = responseCode;
  throw new TpmError(refusal, `${ADDRESS}: ${describeResponseCode(responseCode)}`, { responseCode, remedy });
}

/** A response of ten bytes: TPM_ST_NO_SESSIONS, its size, `code`. */
function bareAnswer(code: number): Bytes {
  return Uint8Array.from([0x80, 0x01, 0, 0, 0, HEADER_SIZE, 0, 0, code >>> 8, code & 0xff]);
}

function transportTo(tbs: Tbs, interfaceType: TbsInterfaceType): TbsTransport {
  const life = new TransportLife(ADDRESS);
  const submit = async (command: Uint8Array, signal: AbortSignal | undefined): Promise<Bytes> => {
    const { result, answer } = await cancelOnAbort(tbs.submit(command), signal, async () => {
      // Best effort: if it comes too late, the response to the command still comes.
      await tbs.cancel();
    });
    return answerOf(result, answer);
  };
  const close = (): Promise<void> => life.close(() => closeContext(tbs));
  return {
    ...{ kind: 'tbs', address: ADDRESS, emulator: interfaceType === 'emulator', managed: true, interfaceType },
    send: (command, options = {}) => life.send(command, options, () => submit(command, options.signal)),
    close,
    [Symbol.asyncDispose]: close,
  };
}
