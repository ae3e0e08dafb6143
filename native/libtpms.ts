import { fstatSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { callAsync } from './call-async.ts';
import { type FoundLibrary, findLibrary } from './find-library.ts';
import { type Libc, loadLibc } from './libc.ts';
import { Callbacks, LibtpmsError, type LibtpmsLibrary, loadLibrary } from './libtpms-library.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const TPM_VERSION_2 = 1;
const STATE_PERMANENT = 1;
const SUCCESS = 0;
const TPM_FAIL = 9;
const TPM_SIZE = 17;
const TPM_IOERROR = 31;
/** TPM_RETRY, "no such state": the only code that makes libtpms manufacture a new TPM. */
const NO_SUCH_STATE = 0x800;

/** Size of the answer buffer, which TPMLIB_Process allocates once and keeps (TPM2_MAX_COMMAND_SIZE). */
const BUFFER_SIZE = 4096;
const ANSWER_AT = 0;
const ANSWER_SIZE_AT = 8;
const CAPACITY_AT = 12;
const STATE_AT = 16;
const STATE_SIZE_AT = 24;
const COMMAND_AT = 32;
const MEMORY_SIZE = COMMAND_AT + BUFFER_SIZE;

const LoadData = koffi.proto('uint32_t', ['void *', 'void *', 'uint32_t', 'str']);
const StoreData = koffi.proto('uint32_t', ['void *', 'uint32_t', 'uint32_t', 'str']);

/** Looks for libtpms: `chosen`, else the path in `KEYPROV_LIBTPMS`, else the usual directories. */
export function findLibtpms(chosen: string | undefined): FoundLibrary {
  const name = process.platform === 'darwin' ? 'libtpms.0.dylib' : 'libtpms.so.0';
  return findLibrary(name, chosen ?? (process.env.KEYPROV_LIBTPMS || undefined));
}

/**
 * A TPM 2.0 in libtpms, off until `boot`. Only one call may run at a time, except `cancel`. Any other call during
 * `process`, or in the wrong state, throws a TypeError, because it would crash libtpms or corrupt its data.
 */
export class Libtpms {
  readonly #library: LibtpmsLibrary;
  readonly #libc: Libc;
  /** The file to which libtpms writes why it refuses a state; without it, libtpms writes to stderr. */
  readonly #log: number | undefined;
  readonly #memory: bigint;
  readonly #bytes: Bytes;
  /** The same memory as integers in this machine's byte order, as in C. */
  readonly #integers: Uint32Array<ArrayBuffer>;
  /** The arguments of the library's `process` that precede the command's size. */
  readonly #places: readonly bigint[];
  /** The answer buffer and its address. */
  #answers: { readonly at: bigint; readonly bytes: Bytes } | undefined;
  readonly #load: bigint;
  readonly #store: bigint;
  /** The data that the callbacks load and store while the TPM starts, by name. */
  readonly #stored: Map<string, Bytes> = new Map();
  #power: 'off' | 'on' | 'unloaded' = 'off';
  #running = false;
  /** The first exception in a callback. If a callback threw it, libtpms would take that for success. */
  #callbackError: unknown;

  /**
   * Loads the library at `path`; on Linux a private copy, so that every TPM is independent of the others.
   * @throws LibtpmsError `unsuitable`
   */
  constructor(path: string) {
    this.#library = loadLibrary(path);
    this.#libc = loadLibc();
    this.#log = this.#libc.createMemoryFile('libtpms log');
    this.#memory = koffi.alloc('uint8_t', MEMORY_SIZE);
    this.#bytes = bytesAt(this.#memory, MEMORY_SIZE).fill(0);
    this.#integers = new Uint32Array(this.#bytes.buffer);
    this.#places = [ANSWER_AT, ANSWER_SIZE_AT, CAPACITY_AT, COMMAND_AT].map((at) => this.#memory + BigInt(at));
    this.#load = koffi.register(this.#loadData, koffi.pointer(LoadData));
    this.#store = koffi.register(this.#storeData, koffi.pointer(StoreData));
  }

  /**
   * Switches the TPM on with the permanent state `state`, or as a new TPM if `state` is undefined.
   * @throws LibtpmsError `state-refused`; `in-use` if the process can have only one TPM and that one is on.
   */
  boot(state: Uint8Array | undefined): void {
    this.#require('off');
    const { chooseTPMVersion, registerCallbacks, mainInit, terminate, setDebugFD } = this.#library;
    const chosen = chooseTPMVersion(TPM_VERSION_2);
    if (chosen === TPM_FAIL) throw new LibtpmsError('in-use', 'the TPM of this libtpms is already on');
    if (chosen !== SUCCESS) throw new LibtpmsError('unsuitable', `libtpms does not support TPM 2.0 (code ${chosen})`);
    if (this.#log !== undefined) setDebugFD(this.#log);
    this.#stored.clear();
    if (state !== undefined) this.#stored.set('permall', new Uint8Array(state));
    this.#callbackError = undefined;
    registerCallbacks(this.#callbacks(this.#store));
    const code = mainInit();
    this.#stored.clear();
    if (code !== SUCCESS || this.#callbackError !== undefined) {
      terminate();
      throw new LibtpmsError('state-refused', `libtpms does not start: ${this.#lastWords(code)}`, this.#callbackError);
    }
    // From now on libtpms must not call JavaScript. A call from another thread would wait for the main thread, while
    // process.exit() on the main thread waits for the other thread. `state` fetches the data to store.
    registerCallbacks(this.#callbacks(this.#libc.doNothing));
    this.#power = 'on';
  }

  /** Runs one command on a thread of libuv's pool and returns the answer. */
  async process(command: Uint8Array): Promise<Bytes> {
    this.#begin(command);
    this.#running = true;
    try {
      const code = await callAsync(this.#library.process, ...this.#places, command.length);
      return this.#answer(code);
    } finally {
      this.#running = false;
    }
  }

  /** Runs one command on this thread and returns the answer. */
  processSync(command: Uint8Array): Bytes {
    this.#begin(command);
    return this.#answer(this.#library.process(...this.#places, command.length));
  }

  /** Asks the running command to end early. A command that supports it answers TPM_RC_CANCELED. */
  cancel(): void {
    if (this.#running) this.#library.cancelCommand();
  }

  /** The permanent state, which a TPM keeps without power. */
  state(): Bytes {
    this.#require('on');
    const [at, sizeAt] = [this.#memory + BigInt(STATE_AT), this.#memory + BigInt(STATE_SIZE_AT)];
    const code = this.#library.getState(STATE_PERMANENT, at, sizeAt);
    if (code !== SUCCESS) throw new Error(`libtpms did not return its state (code ${code})`);
    const buffer: bigint = koffi.decode(at, 'void *');
    const state = bytesAt(buffer, this.#uint32(STATE_SIZE_AT)).slice();
    this.#library.free(buffer);
    return state;
  }

  /** Cuts the power: everything but the permanent state is lost. */
  powerOff(): void {
    this.#require('on');
    this.#library.terminate();
    this.#power = 'off';
  }

  /** Ends the TPM and frees all memory, including the library's. Can be called again. */
  unload(): void {
    if (this.#power === 'unloaded') return;
    if (this.#power === 'on') this.powerOff();
    this.#require('off');
    this.#power = 'unloaded';
    const answer: bigint | null = koffi.decode(this.#memory, 'void *');
    if (answer !== null) this.#library.free(answer);
    koffi.free(this.#memory);
    koffi.unregister(this.#load);
    koffi.unregister(this.#store);
    this.#library.unload();
    if (this.#log !== undefined) this.#libc.close(this.#log);
  }

  #require(power: 'off' | 'on'): void {
    if (this.#power !== power) throw new TypeError(`the TPM is ${this.#power}`);
    if (this.#running) throw new TypeError('a command is running');
  }

  #lastWords(code: number): string {
    const said = this.#log === undefined ? '' : textOf(this.#log).trim().split('\n').at(-1);
    return said || `code ${code}`;
  }

  #begin(command: Uint8Array): void {
    this.#require('on');
    if (command.length > BUFFER_SIZE) throw new RangeError(`command too long: ${command.length} bytes`);
    this.#bytes.set(command, COMMAND_AT);
  }

  #answer(code: number): Bytes {
    // Commands and answers may carry authorization values.
    this.#bytes.fill(0, COMMAND_AT);
    if (code !== SUCCESS) throw new Error(`TPMLIB_Process failed (code ${code})`);
    const at: bigint = koffi.decode(this.#memory, 'void *');
    // libtpms allocates the buffer once, so one view suffices. That saves a tenth of a command's time.
    if (this.#answers?.at !== at) this.#answers = { at, bytes: bytesAt(at, this.#uint32(CAPACITY_AT)) };
    const buffer = this.#answers.bytes.subarray(0, this.#uint32(ANSWER_SIZE_AT));
    const answer = buffer.slice();
    buffer.fill(0);
    return answer;
  }

  #uint32(at: number): number {
    return this.#integers[at / 4] as number;
  }

  #callbacks(storedata: bigint): object {
    const nothing = this.#libc.doNothing;
    return {
      sizeOfStruct: koffi.sizeof(Callbacks),
      init: nothing,
      loaddata: this.#load,
      storedata,
      deletename: nothing,
      ioInit: nothing,
      // Absent: locality 0, no physical presence.
      getlocality: null,
      getphysicalpresence: null,
    };
  }

  // Both callbacks must really load and store while the TPM starts, because libtpms stores a new TPM and loads it again. If
  // the state is lost in between, the TPM starts with the same seeds as every other such TPM (0.9.2).

  readonly #loadData = (data: bigint, length: bigint, _tpm: number, name: string): number =>
    this.#guard(() => {
      const stored = this.#stored.get(name);
      if (stored === undefined) return NO_SUCH_STATE;
      if (this.#library.malloc(data, stored.length) !== SUCCESS) return TPM_SIZE;
      bytesAt(koffi.decode(data, 'void *'), stored.length).set(stored);
      koffi.encode(length, 'uint32_t', stored.length);
      return SUCCESS;
    });

  readonly #storeData = (data: bigint, length: number, _tpm: number, name: string): number =>
    this.#guard(() => {
      this.#stored.set(name, bytesAt(data, length).slice());
      return SUCCESS;
    });

  #guard(work: () => number): number {
    try {
      return work();
    } catch (error) {
      this.#callbackError ??= error;
      return TPM_IOERROR;
    }
  }
}

/** The bytes in C's memory, not a copy of them. */
function bytesAt(pointer: bigint, length: number): Bytes {
  return new Uint8Array(koffi.view(pointer, length));
}

function textOf(fd: number): string {
  const bytes = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, bytes, 0, bytes.length, 0);
  return bytes.toString();
}
