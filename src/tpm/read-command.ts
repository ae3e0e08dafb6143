import type { Bytes } from '../bytes.ts';
import { CodecError, type Reader } from './codec/index.ts';
import type { AnyCommand } from './command.ts';
import * as commands from './commands/index.ts';
import { handleType, TPM_HT, TPM_RH } from './constants.ts';

const BY_CODE: ReadonlyMap<number, AnyCommand> = new Map(
  Object.values<AnyCommand>(commands).map((command) => [command.code, command]),
);
const DECRYPT = 0x20;

/** One of the authorizations in a response. Part 1, 18. */
export interface ReadAuthorization {
  readonly nonce: Bytes;
  readonly attributes: number;
  readonly hmac: Bytes;
}

/** One of the authorizations in a command. Part 1, 18. */
export interface CommandAuthorization extends ReadAuthorization {
  readonly handle: number;
  /** The `hmac` may be a password: in a policy session (TPM2_PolicyPassword), both look alike. */
  readonly mayBePassword: boolean;
}

/** The command with that code; undefined if it is unknown. */
export const commandOf = (code: number): AnyCommand | undefined => BY_CODE.get(code);

export function readAuthorization(input: Reader): ReadAuthorization {
  const nonce = input.take(input.uint(2, 'nonce'), 'nonce');
  const attributes = input.uint(1, 'sessionAttributes');
  return { nonce, attributes, hmac: input.take(input.uint(2, 'hmac'), 'hmac') };
}

/**
 * Reads the authorization area of a command. `encrypted`: a session encrypts the first parameter.
 * @throws CodecError for anything else.
 */
export function readAuthorizations(input: Reader): { list: CommandAuthorization[]; encrypted: boolean } {
  const size = input.uint(4, 'authorizationSize');
  const end = input.position + size;
  const list: CommandAuthorization[] = [];
  while (input.position < end) {
    const handle = input.uint(4, 'sessionHandle');
    const mayBePassword = handle === TPM_RH.PW || handleType(handle) === TPM_HT.POLICY_SESSION;
    list.push({ handle, mayBePassword, ...readAuthorization(input) });
  }
  if (input.position > end) throw new CodecError('authorizationSize', 'ends within an authorization');
  return { list, encrypted: list.some(({ attributes }) => (attributes & DECRYPT) !== 0) };
}
