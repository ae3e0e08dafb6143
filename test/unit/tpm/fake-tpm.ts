import { createHash } from 'node:crypto';
import { type Bytes, concat, copy, uint16At, uint32At } from '../../../src/bytes.ts';
import { TPM_CC } from '../../../src/tpm/constants.ts';
import { handleName } from '../../../src/tpm/names.ts';
import type { TpmTransport, TransportKind } from '../../../src/tpm/transport.ts';

const u16 = (value: number): Bytes => new Uint8Array([value >>> 8, value & 255]);

/** An answer without sessions. */
export function answer(code: number, ...body: readonly Uint8Array[]): Bytes {
  const content = concat(...body);
  return concat(u16(0x8001), handleName(10 + content.length), handleName(code), content);
}

/** A fake TPM's reaction to a command: an answer, a response code, or `undefined` for success without parameters. */
export type Reply = Bytes | number | undefined;

/**
 * A transport that returns a test's answers, and otherwise behaves like a TPM with a few object slots. It implements LoadExternal,
 * ReadPublic, ContextSave, ContextLoad, FlushContext and GetCapability (handles of transient objects). Every other command
 * succeeds without parameters. The last byte of its Name identifies an object.
 */
export class FakeTpm implements TpmTransport {
  readonly kind: TransportKind;
  readonly address = 'fake';
  readonly emulator = false;
  readonly managed: boolean;
  /** Copies of all commands, in their order. */
  readonly sent: Bytes[] = [];
  /** The buffers that were passed to `send`. */
  readonly memory: Uint8Array[] = [];
  readonly slots: (number | undefined)[];
  closed = false;
  readonly #script: (code: number, command: Bytes) => Reply | Promise<Reply>;

  constructor(
    script: (code: number, command: Bytes) => Reply | Promise<Reply> = () => undefined,
    {
      slots = 3,
      kind = 'device',
      managed = kind === 'device',
    }: { readonly slots?: number; readonly managed?: boolean; readonly kind?: TransportKind } = {},
  ) {
    this.kind = kind;
    this.#script = script;
    this.slots = new Array(slots).fill(undefined);
    this.managed = managed;
  }

  /** The codes of all commands, in their order. */
  get codes(): number[] {
    return this.sent.map((command) => uint32At(command, 6));
  }

  async send(command: Uint8Array): Promise<Bytes> {
    const kept = copy(command);
    this.sent.push(kept);
    this.memory.push(command);
    const code = uint32At(kept, 6);
    const reply = (await this.#script(code, kept)) ?? this.#own(code, kept);
    return typeof reply === 'number' ? answer(reply) : reply;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #own(code: number, command: Bytes): Bytes | number {
    const at = (handle: number) => handle - 0x80000000;
    switch (code) {
      case TPM_CC.LoadExternal:
        return this.#loadExternal(command.subarray(14, 14 + uint16At(command, 12)));
      case TPM_CC.ContextLoad:
        return this.#load(command.at(-1) ?? 0, (handle) => answer(0, handle));
      case TPM_CC.ContextSave: {
        const id = this.slots[at(uint32At(command, 10))];
        if (id === undefined) return 0x910;
        return answer(0, new Uint8Array(8), handleName(0x80000000), handleName(1), u16(1), new Uint8Array([id]));
      }
      case TPM_CC.FlushContext: {
        const slot = at(uint32At(command, 10));
        if (this.slots[slot] === undefined) return 0x1cb;
        this.slots[slot] = undefined;
        return 0;
      }
      case TPM_CC.GetCapability: {
        const handles = this.slots.flatMap((id, slot) => (id === undefined ? [] : [handleName(0x80000000 + slot)]));
        return answer(0, new Uint8Array(1), handleName(1), handleName(handles.length), ...handles);
      }
      default:
        return 0;
    }
  }

  /** For a public area without private part, whose Name uses SHA-256. */
  #loadExternal(publicArea: Uint8Array): Bytes | number {
    const name = concat(u16(0x0b), createHash('sha256').update(publicArea).digest());
    return this.#load(name.at(-1) ?? 0, (handle) => answer(0, handle, u16(name.length), name));
  }

  #load(id: number, success: (handle: Bytes) => Bytes): Bytes | number {
    const slot = this.slots.indexOf(undefined);
    if (slot < 0) return 0x902;
    this.slots[slot] = id;
    return success(handleName(0x80000000 + slot));
  }
}
