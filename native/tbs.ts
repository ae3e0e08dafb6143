import { win32 } from 'node:path';
import koffi from 'koffi';
import { callAsync } from './call-async.ts';

/** Maximum size of a command or answer, in bytes. */
const BUFFER_SIZE = 4096;
const HANDLE_AT = 0n;
/** Contains TBS_CONTEXT_PARAMS2 at first, later the size of the answer. */
const PARAMS_AT = 8n;
/** TPM_DEVICE_INFO: four UINT32. */
const INFO_AT = 16n;
const INFO_SIZE = 16;
const COMMAND_AT = 32n;
const ANSWER_AT = COMMAND_AT + BigInt(BUFFER_SIZE);
const MEMORY_SIZE = 32 + 2 * BUFFER_SIZE;

const CONTEXT_VERSION_2 = 2;
/** Flags of TBS_CONTEXT_PARAMS2: bit 0 requestRaw, bit 1 includeTpm12, bit 2 includeTpm20. */
const INCLUDE_TPM20 = 4;
/** The only locality that TBS accepts. */
const LOCALITY_ZERO = 0;
const PRIORITY_NORMAL = 200;

/** Result of a command: an HRESULT (unsigned, 0 is success) and the answer that TBS wrote. */
interface TbsAnswer {
  readonly result: number;
  readonly answer: Uint8Array<ArrayBuffer>;
}

/** TPM_DEVICE_INFO. */
interface TbsDeviceInfo {
  /** 1: TPM 1.2, 2: TPM 2.0. */
  readonly tpmVersion: number;
  /** 0 unknown, 1 the interface of TPM 1.2, 2 TrustZone, 3 hardware, 4 emulator, 5 SPB. */
  readonly interfaceType: number;
}

/** A TBS context and the memory that its calls share. One command at a time. */
export interface Tbs {
  /** Tbsi_Context_Create for a TPM 2.0. Returns the HRESULT. */
  createContext(): Promise<number>;
  /** Tbsi_GetDeviceInfo. */
  deviceInfo(): Promise<{ readonly result: number; readonly info: TbsDeviceInfo }>;
  /** Tbsip_Submit_Command. */
  submit(command: Uint8Array): Promise<TbsAnswer>;
  /** Tbsip_Cancel_Commands. Returns the HRESULT. */
  cancel(): Promise<number>;
  /** Tbsip_Context_Close. Returns the HRESULT. */
  closeContext(): Promise<number>;
  /** Frees the memory. Call nothing else afterwards. */
  free(): void;
}

/** The full path of Windows' own library, so that no other file with this name is loaded. */
export function tbsPath(): string {
  return win32.join(process.env.SystemRoot || 'C:\\Windows', 'System32', 'tbs.dll');
}

/** Loads TBS from `path`. @throws koffi's error if this is not a library, or not TBS. */
export function loadTbs(path: string): Tbs {
  const library = koffi.load(path);
  const declare = (name: string, args: string[]) => library.func('__stdcall', name, 'uint32_t', args);
  const contextCreate = declare('Tbsi_Context_Create', ['void *', 'void *']);
  const getDeviceInfo = declare('Tbsi_GetDeviceInfo', ['uint32_t', 'void *']);
  const submitCommand = declare('Tbsip_Submit_Command', [
    'void *',
    'uint32_t',
    'uint32_t',
    'void *',
    'uint32_t',
    'void *',
    'void *',
  ]);
  const cancelCommands = declare('Tbsip_Cancel_Commands', ['void *']);
  const contextClose = declare('Tbsip_Context_Close', ['void *']);

  const memory: bigint = koffi.alloc('uint8_t', MEMORY_SIZE);
  const bytes = new Uint8Array(koffi.view(memory, MEMORY_SIZE));
  const commandAt = Number(COMMAND_AT);
  const answerAt = Number(ANSWER_AT);
  const uint32 = (at: bigint): number => koffi.decode(memory + at, 'uint32_t');
  const setUint32 = (at: bigint, value: number) => koffi.encode(memory + at, 'uint32_t', value);
  const handle = (): bigint => koffi.decode(memory + HANDLE_AT, 'void *');

  return {
    createContext() {
      setUint32(PARAMS_AT, CONTEXT_VERSION_2);
      setUint32(PARAMS_AT + 4n, INCLUDE_TPM20);
      return callAsync(contextCreate, memory + PARAMS_AT, memory + HANDLE_AT);
    },
    async deviceInfo() {
      const result = await callAsync(getDeviceInfo, INFO_SIZE, memory + INFO_AT);
      return { result, info: { tpmVersion: uint32(INFO_AT + 4n), interfaceType: uint32(INFO_AT + 8n) } };
    },
    async submit(command) {
      bytes.set(command, commandAt);
      setUint32(PARAMS_AT, BUFFER_SIZE);
      const result = await callAsync(
        submitCommand,
        handle(),
        LOCALITY_ZERO,
        PRIORITY_NORMAL,
        memory + COMMAND_AT,
        command.length,
        memory + ANSWER_AT,
        memory + PARAMS_AT,
      );
      const answer = bytes.slice(answerAt, answerAt + uint32(PARAMS_AT));
      // Commands and answers may contain authorization values. And after a call that fails without an answer, the previous
      // answer must not be read.
      bytes.fill(0, commandAt);
      return { result, answer };
    },
    cancel: () => callAsync(cancelCommands, handle()),
    closeContext: () => callAsync(contextClose, handle()),
    free: () => koffi.free(memory),
  };
}
