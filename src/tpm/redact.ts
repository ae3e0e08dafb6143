import { type Bytes, checkBytes, uint32At } from '../bytes.ts';
import { expectEnd, Reader, readFields } from './codec/index.ts';
import type { AnyCommand } from './command.ts';
import { TPM_ST } from './constants.ts';
import { HEADER_SIZE } from './frame.ts';
import { commandOf, readAuthorization, readAuthorizations } from './read-command.ts';
import { TPM_RC } from './tpm-rc.ts';

const ENCRYPT = 0x40;

/**
 * Overwrites every secret in a command or a response with zeros, in place and without changing a size: passwords in the
 * authorization area, and each field of a parameter whose codec is `secret`. Keeps data that a session has encrypted.
 * Keeps only the header of an unknown command.
 * @throws CodecError for bytes that are not such a command or answer.
 */
export function redact(bytes: Bytes, direction: 'command' | 'answer', commandCode: number): void {
  checkBytes(bytes, 'the command or answer');
  const command = commandOf(commandCode);
  if (command === undefined) bytes.fill(0, HEADER_SIZE);
  else if (direction === 'command') redactCommand(bytes, command);
  else if (uint32At(bytes, 6) === TPM_RC.SUCCESS) redactAnswer(bytes, command);
}

function redactCommand(bytes: Bytes, command: AnyCommand): void {
  const input = new Reader(bytes, true);
  const tagged = input.uint(2, 'tag') === TPM_ST.SESSIONS;
  input.position = HEADER_SIZE + 4 * command.handles.length;
  let encrypted = false;
  if (tagged) {
    const authorizations = readAuthorizations(input);
    for (const { mayBePassword, hmac } of authorizations.list) if (mayBePassword) hmac.fill(0);
    encrypted = authorizations.encrypted;
  }
  wipeFields(input, command.parameters, encrypted);
  expectEnd(input, 'parameters');
}

function redactAnswer(bytes: Bytes, command: AnyCommand): void {
  const input = new Reader(bytes, true);
  const tagged = input.uint(2, 'tag') === TPM_ST.SESSIONS;
  input.position = HEADER_SIZE + (command.answerHandle === undefined ? 0 : 4);
  let encrypted = false;
  if (tagged) {
    const size = input.uint(4, 'parameterSize');
    const parameters = input.position;
    input.take(size, 'parameters');
    while (input.left > 0) encrypted ||= (readAuthorization(input).attributes & ENCRYPT) !== 0;
    input.position = parameters;
  }
  wipeFields(input, command.answer, encrypted);
}

function wipeFields(input: Reader, fields: AnyCommand['parameters'], firstEncrypted: boolean): void {
  if (firstEncrypted) input.take(input.uint(2, 'size'), 'encrypted parameter');
  readFields(input, firstEncrypted ? fields.slice(1) : fields, {});
}
