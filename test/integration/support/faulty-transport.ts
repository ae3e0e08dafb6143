import { type Bytes, fromHex } from '../../../src/bytes.ts';
import { KeyprovError } from '../../../src/errors.ts';
import { uint32At } from '../../../src/tpm/frame.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';

/** What happens to one command: nothing, an answer with that response code, a lost connection, or an altered answer. */
export type Fault = 'none' | 'lost' | 'cut' | number;

/** A transport that does to each command what `fault` says; `commands` counts them. */
export interface FaultyTransport extends TpmTransport {
  readonly commands: number;
}

/** The answer that carries a response code and nothing else. */
const refusal = (code: number): Bytes => fromHex(`80010000000a${code.toString(16).padStart(8, '0')}`);

/** Wraps `inner`; `fault` is asked before each command, with its code and its number from 0. */
export function faultyTransport(
  inner: TpmTransport,
  fault: (commandCode: number, index: number) => Fault,
): FaultyTransport {
  let commands = 0;
  let isLost = false;
  const lost = (): KeyprovError =>
    new KeyprovError('transport-lost', `${inner.address}: the connection was cut in a test`);
  return {
    kind: inner.kind,
    address: inner.address,
    emulator: inner.emulator,
    managed: inner.managed,
    get commands() {
      return commands;
    },
    async send(command, options) {
      if (isLost) throw lost();
      const kind = fault(uint32At(command, 6), commands++);
      if (typeof kind === 'number') return refusal(kind);
      const answer = await inner.send(command, options);
      if (kind === 'lost') {
        isLost = true;
        throw lost();
      }
      return kind === 'cut' ? answer.subarray(0, 10) : answer;
    },
    close: () => inner.close(),
  };
}
