import { type Bytes, copy, fromHex, uint32At } from '../../src/bytes.ts';
import { KeyprovError } from '../../src/errors.ts';
import * as commands from '../../src/tpm/commands/index.ts';
import type { SendOptions, TpmTransport } from '../../src/tpm/transport.ts';

/** A fault in one command on its way to a TPM, or in its answer. */
export type WireFault =
  | { readonly kind: 'answer bit' | 'command bit'; readonly bit: number }
  | { readonly kind: 'truncation'; readonly length: number }
  /** The TPM receives the command, but its answer never arrives. */
  | { readonly kind: 'silence' }
  /** The previous command's answer arrives again, and the correct one is lost. */
  | { readonly kind: 'duplicate' }
  /** This command and the next one receive each other's answers. */
  | { readonly kind: 'reorder' }
  | { readonly kind: 'response code'; readonly code: number }
  | { readonly kind: 'cut'; readonly when: 'before' | 'after' };

/** A transport that injects a fault into one command. */
export interface FaultyWire extends TpmTransport {
  /** Commands sent so far. */
  readonly commands: number;
  /** Whether the fault has happened. */
  readonly met: boolean;
  /** Whether the connection is still there. */
  readonly alive: boolean;
  /** Each command's name and answer, from which bits to flip are chosen. */
  readonly seen: readonly { readonly name: string; readonly size: number }[];
}

/** Wraps `inner` and injects `fault` into one command, counted from 0. `inner` stays open unless the fault cuts the connection. */
export function faultyWire(inner: TpmTransport, at: number, fault: WireFault | undefined): FaultyWire {
  let [commands, met, alive] = [0, false, true];
  let before: Bytes | undefined;
  let kept: Bytes | undefined;
  const seen: { name: string; size: number }[] = [];
  const lost = () => new KeyprovError('transport-lost', `${inner.address}: the connection was cut by the sweep`);
  const cut = async (): Promise<never> => {
    alive = false;
    await inner.close();
    throw lost();
  };

  const pass = async (command: Uint8Array, options: SendOptions | undefined): Promise<Bytes> => {
    const answer = await inner.send(command, options);
    seen.push({ name: nameOf(command), size: answer.length });
    return answer;
  };
  const meet = async (command: Uint8Array, options: SendOptions | undefined): Promise<Bytes> => {
    met = true;
    switch (fault?.kind) {
      case 'command bit':
        return await pass(flipped(command, outsideSize(fault.bit % (command.length * 8))), options);
      case 'answer bit':
        return flipped(await pass(command, options), fault.bit);
      case 'truncation':
        return (await pass(command, options)).subarray(0, fault.length);
      case 'silence':
        await pass(command, options);
        return await new Promise((_, reject) => {
          options?.limit?.addEventListener('abort', () => {
            alive = false;
            inner.close().then(() => reject(options.limit?.reason), reject);
          });
        });
      case 'duplicate': {
        const answer = await pass(command, options);
        return before ?? answer;
      }
      case 'reorder':
        kept = await pass(command, options);
        return before ?? kept;
      case 'response code':
        return fromHex(`80010000000a${fault.code.toString(16).padStart(8, '0')}`);
      case 'cut':
        if (fault.when === 'after') await pass(command, options);
        return await cut();
      case undefined:
        return await pass(command, options);
    }
  };
  return {
    ...{ kind: inner.kind, address: inner.address, emulator: inner.emulator, managed: inner.managed },
    get commands() {
      return commands;
    },
    get met() {
      return met;
    },
    get alive() {
      return alive;
    },
    seen,
    async send(command, options) {
      if (!alive) throw lost();
      const index = commands++;
      if (index === at) return copy(await meet(command, options));
      const answer = await pass(command, options);
      const given = kept ?? answer;
      kept = undefined;
      before = answer;
      return copy(given);
    },
    // The test inspects the TPM after this transport is closed.
    close: async () => {},
  };
}

const NAMES = new Map(Object.values(commands).map(({ code, name }) => [code, name]));
const nameOf = (command: Uint8Array): string => NAMES.get(uint32At(command, 6)) ?? 'an unknown command';

/** Transports refuse to send a command whose header states another size. */
const outsideSize = (bit: number): number => (bit >= 16 && bit < 48 ? bit + 32 : bit);

function flipped(bytes: Uint8Array, bit: number): Bytes {
  const changed = copy(bytes);
  const at = Math.floor(bit / 8) % changed.length;
  changed[at] = (changed[at] ?? 0) ^ (1 << (bit % 8));
  return changed;
}
