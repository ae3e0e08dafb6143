import { copy } from '../../../src/bytes.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';

/** A transport that flips one bit in an answer. */
export interface FlippingTransport extends TpmTransport {
  /** The bit to flip, counted from the next answer on; -1 for none. Later answers are not changed. */
  flip: number;
  /** Number of answered bits since this was set to 0. */
  bits: number;
}

/** Wraps `inner`, whose answers pass unchanged apart from the one bit. */
export function flippingTransport(inner: TpmTransport): FlippingTransport {
  const { kind, address, emulator, managed } = inner;
  const self: FlippingTransport = {
    ...{ kind, address, emulator, managed, flip: -1, bits: 0 },
    async send(command, options) {
      const answer = copy(await inner.send(command, options));
      self.bits += answer.length * 8;
      const at = self.flip;
      self.flip = at < answer.length * 8 ? -1 : at - answer.length * 8;
      if (at >= 0 && at < answer.length * 8) answer[at >> 3] = (answer[at >> 3] ?? 0) ^ (0x80 >> (at & 7));
      return answer;
    },
    close: () => inner.close(),
  };
  return self;
}
