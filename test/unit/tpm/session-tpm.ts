import { type Bytes, copy, toHex, uint16, uint16At, uint32, uint32At } from '../../../src/bytes.ts';
import { handleType, TPM_CC, TPM_HT, TPM_SE, TPM_ST } from '../../../src/tpm/constants.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';
import { answer, FakeTpm, type Reply } from './fake-tpm.ts';

/** A fault in one command. `carryOut` passes a command to the TPM. */
type Fault = (command: Bytes, carryOut: (command: Bytes) => Reply) => Reply;

/** TPM_RC_HANDLE, for the first parameter. */
export const NO_SUCH_HANDLE = TPM_RC.HANDLE + 0x140;

/**
 * A TPM that contains only sessions: `slots` loaded ones, and as many sessions in total as it has `handles`. It counts saved
 * contexts, and a context may not be more than `gap` contexts old (Part 1, 30.5).
 */
export class SessionTpm {
  readonly wire: FakeTpm;
  readonly #slots: number;
  readonly #gap: number;
  /** Sessions by the number in their handles; `saved` is the saved context's count. */
  readonly #sessions: ({ readonly handle: number; saved: number | undefined } | undefined)[];
  readonly #faults: [code: number, fault: Fault][] = [];
  #count = 0;

  constructor({ slots = 3, handles = 64, gap = 0xffff } = {}) {
    this.#slots = slots;
    this.#gap = gap;
    this.#sessions = new Array(handles).fill(undefined);
    this.wire = new FakeTpm(
      (code, command) => {
        const at = this.#faults.findIndex(([of]) => of === code);
        const carryOut = (arrived: Bytes) => this.#answer(code, arrived);
        return at < 0 ? carryOut(command) : this.#faults.splice(at, 1)[0]?.[1](command, carryOut);
      },
      { kind: 'swtpm', managed: false },
    );
  }

  /** The next command with that code meets `fault`. */
  meet(code: number, fault: Fault): void {
    this.#faults.push([code, fault]);
  }

  /** Another program starts a session. */
  startAnother(type: number = TPM_HT.HMAC_SESSION): number {
    const handle = type * 2 ** 24 + this.#sessions.indexOf(undefined);
    this.#sessions[handle & 0xffffff] = { handle, saved: undefined };
    return handle;
  }

  /** Handles of all sessions, those that are saved in brackets. */
  get holds(): string[] {
    return this.#sessions.flatMap((session) => {
      if (session === undefined) return [];
      const name = toHex(uint32(session.handle));
      return [session.saved === undefined ? name : `(${name})`];
    });
  }

  /** All commands so far, with their handles. */
  get commands(): string[] {
    const names = new Map<number, string>(Object.entries(TPM_CC).map(([name, code]) => [code, name]));
    return this.wire.sent.map((command) => {
      const code = uint32At(command, 6);
      const hasHandle = code === TPM_CC.ContextSave || code === TPM_CC.FlushContext;
      const handle = hasHandle ? uint32At(command, 10) : code === TPM_CC.ContextLoad && uint32At(command, 18);
      return `${names.get(code)}${handle === false ? '' : ` ${toHex(uint32(handle))}`}`;
    });
  }

  get #free(): number {
    return (
      this.#slots - this.#sessions.filter((session) => session !== undefined && session.saved === undefined).length
    );
  }

  /** The count of the oldest saved context if no further context may be saved; else undefined. */
  get #tooOld(): number | undefined {
    const oldest = Math.min(...this.#sessions.map((session) => session?.saved ?? Infinity));
    return this.#count - oldest >= this.#gap ? oldest : undefined;
  }

  #find(handle: number) {
    const session = this.#sessions[handle & 0xffffff];
    return session?.handle === handle ? session : undefined;
  }

  #answer(code: number, command: Bytes): Reply {
    switch (code) {
      case TPM_CC.StartAuthSession:
        return this.#start(command);
      case TPM_CC.ContextSave:
        return this.#save(uint32At(command, 10));
      case TPM_CC.ContextLoad:
        return this.#load(uint32At(command, 18), uint32At(command, 14));
      case TPM_CC.FlushContext: {
        const handle = uint32At(command, 10);
        if (this.#find(handle) === undefined) return NO_SUCH_HANDLE;
        this.#sessions[handle & 0xffffff] = undefined;
        return 0;
      }
      case TPM_CC.GetCapability:
        return this.#list(handleType(uint32At(command, 14)));
      case TPM_CC.PolicyRestart: {
        const session = this.#find(uint32At(command, 10));
        return session !== undefined && session.saved === undefined ? 0 : TPM_RC.REFERENCE_H0;
      }
      case TPM_CC.GetRandom:
        return this.#random(command);
      default:
        return 0;
    }
  }

  #start(command: Bytes): Reply {
    if (this.#free === 0) return TPM_RC.SESSION_MEMORY;
    if (this.#free === 1 && this.#tooOld !== undefined) return TPM_RC.CONTEXT_GAP;
    if (!this.#sessions.includes(undefined)) return TPM_RC.SESSION_HANDLES;
    const saltAt = 20 + uint16At(command, 18);
    const isHmac = command[saltAt + 2 + uint16At(command, saltAt)] === TPM_SE.HMAC;
    const handle = this.startAnother(isHmac ? TPM_HT.HMAC_SESSION : TPM_HT.POLICY_SESSION);
    return answer(0, uint32(handle), new Uint8Array([0, 16]), new Uint8Array(16).fill(handle));
  }

  #save(handle: number): Reply {
    const session = this.#find(handle);
    if (session === undefined || session.saved !== undefined) return TPM_RC.REFERENCE_H0;
    if (this.#tooOld !== undefined) return TPM_RC.CONTEXT_GAP;
    session.saved = this.#count++;
    return answer(0, uint32(0), uint32(session.saved), uint32(handle), uint32(0x40000007), new Uint8Array([0, 1, 9]));
  }

  #load(handle: number, count: number): Reply {
    const session = this.#find(handle);
    if (session?.saved !== count) return NO_SUCH_HANDLE;
    if (this.#free === 0) return TPM_RC.SESSION_MEMORY;
    if (this.#free === 1 && this.#tooOld !== undefined && this.#tooOld !== count) return TPM_RC.CONTEXT_GAP;
    session.saved = undefined;
    return answer(0, uint32(handle));
  }

  /** Loaded sessions of both types: Part 3, 30.2. */
  #list(type: number): Bytes {
    const listed = type !== TPM_HT.HMAC_SESSION ? [] : this.#sessions.filter((session) => session?.saved === undefined);
    const handles = listed.flatMap((session) => (session === undefined ? [] : [uint32(session.handle)]));
    return answer(0, new Uint8Array(1), uint32(1), uint32(handles.length), ...handles);
  }

  /** One byte, for sessions that are neither salted nor bound. */
  #random(command: Bytes): Reply {
    const bytes = new Uint8Array([0, 1, 5]);
    if (uint16At(command, 0) === TPM_ST.NO_SESSIONS) return answer(0, bytes);
    const end = 14 + uint32At(command, 10);
    const auths: Uint8Array[] = [];
    for (let at = 14; at < end; ) {
      const session = this.#find(uint32At(command, at));
      if (session === undefined || session.saved !== undefined) return TPM_RC.REFERENCE_S0 + auths.length;
      at += 6 + uint16At(command, at + 4);
      const attributes = command[at] ?? 0;
      if ((attributes & 1) === 0) this.#sessions[session.handle & 0xffffff] = undefined;
      auths.push(new Uint8Array([0, 1, 7, attributes, 0, 0]));
      at += 3;
    }
    const said = answer(0, uint32(bytes.length), bytes, ...auths);
    said.set(uint16(TPM_ST.SESSIONS));
    return said;
  }
}

/** Replaces the first handle of a command or answer. */
function withHandle(bytes: Bytes, handle: number): Bytes {
  const changed = copy(bytes);
  changed.set(uint32(handle), 10);
  return changed;
}

/** The TPM receives a different handle than the one we sent. */
export const arrivesWith =
  (handle: number): Fault =>
  (command, carryOut) =>
    carryOut(withHandle(command, handle));

/** We receive a different handle than the one the TPM sent. */
export const answersWith =
  (handle: number): Fault =>
  (command, carryOut) => {
    const said = carryOut(command);
    return said instanceof Uint8Array ? withHandle(said, handle) : said;
  };

/** Does not run the command, and answers with that response code. */
export const refuses =
  (code: number): Fault =>
  () =>
    code;

/** Runs the command, and answers with that response code. */
export const doesAndRefuses =
  (code: number): Fault =>
  (command, carryOut) => {
    carryOut(command);
    return code;
  };
