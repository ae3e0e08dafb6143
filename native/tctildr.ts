import koffi from 'koffi';
import { callAsync } from './call-async.ts';
import { type FoundLibrary, findLibrary } from './find-library.ts';
import { uniqueTypeName } from './type-name.ts';

/** Maximum size of a command or answer, in bytes. */
const BUFFER_SIZE = 4096;
const SIZE_AT = 0n;
const COMMAND_AT = 8n;
const ANSWER_AT = COMMAND_AT + BigInt(BUFFER_SIZE);
const MEMORY_SIZE = 8 + 2 * BUFFER_SIZE;

/** Start of TSS2_TCTI_CONTEXT, the same in every version. TCG TSS 2.0 TCTI API. */
const ContextHeader = koffi.struct(uniqueTypeName('TSS2_TCTI_CONTEXT'), {
  magic: 'uint64_t',
  version: 'uint32_t',
  transmit: 'void *',
  receive: 'void *',
});
const Transmit = koffi.proto('uint32_t', ['void *', 'size_t', 'void *']);
const Receive = koffi.proto('uint32_t', ['void *', 'void *', 'void *', 'int32_t']);
const WAIT_FOR_EVER = -1;

/** Result of a command: a TSS 2.0 code (0 is success) and the answer. */
interface TctiAnswer {
  readonly code: number;
  readonly answer: Uint8Array<ArrayBuffer>;
}

/**
 * A tpm2-tss connection. A context is not thread-safe, so only one call may run at a time. Any other call is rejected with
 * a TypeError, as is any call after `finalize`. Call `receive` after each successful `transmit`.
 *
 * The library's `cancel` is missing here. While `receive` waits on its thread, a call on another thread would race with it.
 * Called before `receive`, it makes the TCTI mssim of tpm2-tss 3.2 expect a new command: then `receive` fails with
 * TSS2_TCTI_RC_BAD_SEQUENCE, and the next command gets the response to this one.
 */
export interface TctiContext {
  transmit(command: Uint8Array): Promise<number>;
  receive(): Promise<TctiAnswer>;
  finalize(): Promise<void>;
}

/** Result of opening: a TSS 2.0 code, and a connection if the code is 0. */
interface TctiOpening {
  readonly code: number;
  readonly context: TctiContext | undefined;
}

/** The TCTI loader of tpm2-tss, loaded into this process. */
export interface TctiLoader {
  /** @throws Error if the library returned an unusable context. */
  initialize(conf: string): Promise<TctiOpening>;
}

/** Looks for the loader: `chosen`, else the path in `KEYPROV_TCTILDR`, else the usual directories. */
export function findTctiLoader(chosen: string | undefined): FoundLibrary {
  return findLibrary('libtss2-tctildr.so.0', chosen ?? (process.env.KEYPROV_TCTILDR || undefined));
}

/** Loads the loader at `path`. @throws koffi's error if this is not a library, or not the TCTI loader. */
export function loadTctiLoader(path: string): TctiLoader {
  silence();
  const library = koffi.load(path);
  const initialize = library.func('Tss2_TctiLdr_Initialize', 'uint32_t', ['str', koffi.out(koffi.pointer('void *'))]);
  const finalize = library.func('Tss2_TctiLdr_Finalize', 'void', [koffi.inout(koffi.pointer('void *'))]);
  return {
    async initialize(conf) {
      const out: [bigint | null] = [null];
      const code = await callAsync(initialize, conf, out);
      if (code !== 0) return { code, context: undefined };
      return { code, context: openContext(out[0], async (context) => void (await callAsync(finalize, [context]))) };
    },
  };
}

/**
 * Silences tpm2-tss, which by default logs to stderr. Must run before its first message. Keeps the user's setting.
 */
function silence(): void {
  // Uses libc, because C code does not see a change of process.env in a worker thread.
  const setenv = koffi.load(null).func('int setenv(str name, str value, int overwrite)');
  setenv('TSS2_LOG', 'all+none', 0);
}

function openContext(pointer: bigint | null, finalize: (pointer: bigint) => Promise<void>): TctiContext {
  if (pointer === null) throw new Error('Tss2_TctiLdr_Initialize returned no context');
  const header: Record<string, bigint | number | null> = koffi.decode(pointer, ContextHeader);
  const version = Number(header.version);
  if (version < 1) throw new Error(`the TCTI context has version ${version}`);
  if (!header.transmit || !header.receive) throw new Error('the TCTI context has no function to transmit or receive');
  const transmit = koffi.decode(header.transmit, Transmit);
  const receive = koffi.decode(header.receive, Receive);
  const memory: bigint = koffi.alloc('uint8_t', MEMORY_SIZE);
  const bytes = new Uint8Array(koffi.view(memory, MEMORY_SIZE));
  const commandAt = Number(COMMAND_AT);
  const answerAt = Number(ANSWER_AT);
  let state: 'idle' | 'busy' | 'final' = 'idle';
  const alone = async <T>(call: () => Promise<T>, then: typeof state = 'idle'): Promise<T> => {
    if (state !== 'idle') throw new TypeError(`the TCTI context is ${state}`);
    state = 'busy';
    try {
      return await call();
    } finally {
      // Commands and answers may contain authorization values.
      bytes.fill(0);
      state = then;
    }
  };
  return {
    transmit: (command) =>
      alone(() => {
        bytes.set(command, commandAt);
        return callAsync(transmit, pointer, command.length, memory + COMMAND_AT);
      }),
    receive: () =>
      alone(async () => {
        koffi.encode(memory + SIZE_AT, 'size_t', BUFFER_SIZE);
        const code = await callAsync(receive, pointer, memory + SIZE_AT, memory + ANSWER_AT, WAIT_FOR_EVER);
        const length = code === 0 ? Number(koffi.decode(memory + SIZE_AT, 'size_t')) : 0;
        return { code, answer: bytes.slice(answerAt, answerAt + length) };
      }),
    async finalize() {
      await alone(() => finalize(pointer), 'final');
      koffi.free(memory);
    },
  };
}
