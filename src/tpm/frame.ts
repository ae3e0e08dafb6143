import { type Bytes, byteCount, fromHex, uint32At } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { MAX_COMMAND_SIZE } from './transport.ts';

/** Length of the header of every command and response: tag (2), size (4), code (4). Part 1, 18.2. */
export const HEADER_SIZE = 10;

/** TPM2_GetCapability of the manufacturer: changes nothing, and every TPM answers it in every state. Part 3, 30.2. */
export const SIGN_OF_LIFE: Bytes = fromHex('8001000000160000017a000000060000010500000001');

/** TPM2_Shutdown(TPM_SU_CLEAR). Part 3, 9.4. */
export const SHUTDOWN_CLEAR: Bytes = fromHex('80010000000c000001450000');

/** Checks that `command` is one whole command that a transport may send. @throws RangeError if it is not. */
export function checkCommandFrame(command: Uint8Array): void {
  if (command.length < HEADER_SIZE || command.length > MAX_COMMAND_SIZE || uint32At(command, 2) !== command.length) {
    throw new RangeError(
      `not a TPM command (${byteCount(command.length)}): its header must state its length, from 10 to ${MAX_COMMAND_SIZE}`,
    );
  }
}

/**
 * Returns the length that the header of a response announces (10 to 4096 bytes).
 * @throws KeyprovError `transport-protocol` for any other length.
 */
export function answerLength(header: Uint8Array, address: string): number {
  const length = uint32At(header, 2);
  if (length < HEADER_SIZE || length > MAX_COMMAND_SIZE) {
    throw new KeyprovError(
      'transport-protocol',
      `${address}: the response announces an impossible ${byteCount(length)}`,
      {
        remedy: 'check that a TPM 2.0 listens there and that the protocol (swtpm, mssim) is right',
      },
    );
  }
  return length;
}

/** Checks that `answer` is exactly one whole response. @throws KeyprovError `transport-protocol` if it is not. */
export function checkAnswerFrame(answer: Uint8Array, address: string): void {
  if (answer.length < HEADER_SIZE) {
    throw new KeyprovError(
      'transport-protocol',
      `${address}: ${byteCount(answer.length)} are too few for a TPM response`,
    );
  }
  if (answerLength(answer, address) !== answer.length) {
    throw new KeyprovError(
      'transport-protocol',
      `${address}: the response announces ${byteCount(uint32At(answer, 2))} but has ${answer.length}`,
    );
  }
}
