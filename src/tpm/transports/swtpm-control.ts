import { uint32At, uint32s } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { OPEN_TIMEOUT_MS } from '../transport.ts';
import { fixedSize, formatTarget, SocketConnection, type SocketTarget, withinLimit } from './socket-connection.ts';

/** Commands of swtpm's control channel: code, body, size of the response in bytes. swtpm_ioctls(3). */
export const SWTPM_CONTROL = {
  /** Answers with the capabilities of swtpm; every swtpm supports it. */
  GET_CAPABILITY: { code: 1, body: [], answerSize: 8 },
  /** Power on, or off and on; without flags, volatile state is lost. */
  INIT: { code: 2, body: [0], answerSize: 4 },
  /** Ends the process. */
  SHUTDOWN: { code: 3, body: [], answerSize: 4 },
  CANCEL_TPM_CMD: { code: 9, body: [], answerSize: 4 },
} as const;

export type SwtpmControlCommand = (typeof SWTPM_CONTROL)[keyof typeof SWTPM_CONTROL];

/**
 * Sends one command over swtpm's control channel, in its own connection: swtpm serves one client there at a time, and
 * others (QEMU, tpm2-tss) need it too.
 * @throws KeyprovError with a `transport-…` code.
 */
export function controlSwtpm(
  target: SocketTarget,
  { code, body, answerSize }: SwtpmControlCommand,
  options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number } = {},
): Promise<void> {
  const { signal, timeoutMs = OPEN_TIMEOUT_MS } = options;
  const address = `control channel of swtpm at ${formatTarget(target)}`;
  const remedy = 'check that swtpm was started with --ctrl for that address and that no other program uses the channel';
  return withinLimit({ address, remedy, timeoutMs, signal }, async (limit) => {
    const connection = await SocketConnection.connect(target, { address, remedy, limit });
    try {
      const answer = await connection.exchange(uint32s(code, ...body), fixedSize(answerSize), limit);
      const result = uint32At(answer, 0);
      if (result !== 0) {
        throw new KeyprovError('transport-protocol', `${address}: command ${code} failed with result ${result}`);
      }
    } finally {
      await connection.close();
    }
  });
}
