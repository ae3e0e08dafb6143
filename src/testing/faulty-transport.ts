import { type Bytes, checkObject, fromHex, uint32At } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import type { TpmTransport } from '../tpm/transport.ts';

/**
 * The fault to inject for one command. A number: the command does not reach the TPM, and the response has that response
 * code. `lost`: the TPM runs the command, then the connection is lost for good. `cut`: only the header of the response
 * arrives.
 */
export type Fault = 'none' | 'lost' | 'cut' | number;

/** A transport with faults. */
export interface FaultyTransport extends TpmTransport {
  /** The number of commands received so far. */
  readonly commands: number;
}

/** A response that has only a response code. */
const refusal = (code: number): Bytes => fromHex(`80010000000a${code.toString(16).padStart(8, '0')}`);

/**
 * Wraps `inner` and injects faults: calls `fault` before each command, with its command code and its index, from 0.
 * @throws TypeError for an argument of another kind.
 */
export function faultyTransport(
  inner: TpmTransport,
  fault: (commandCode: number, index: number) => Fault,
): FaultyTransport {
  checkObject(inner, 'the transport', 'kind', 'address', 'send:function');
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
      if (!['none', 'lost', 'cut'].includes(kind))
        throw new TypeError("faultyTransport: the fault must be 'none', 'lost', 'cut' or a response code");
      const answer = await inner.send(command, options);
      if (kind === 'lost') {
        isLost = true;
        throw lost();
      }
      return kind === 'cut' ? answer.subarray(0, 10) : answer;
    },
    ...(inner.sendSync && { sendSync: (command) => (isLost ? undefined : inner.sendSync?.(command)) }),
    close: () => inner.close(),
  };
}
