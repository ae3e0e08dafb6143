import { describe, expect, it } from 'vitest';
import { type Bytes, concat, copy, toHex, utf8 } from '../../../src/bytes.ts';
import type { AnyCommand } from '../../../src/tpm/command.ts';
import { ActivateCredential, Create, ObjectChangeAuth } from '../../../src/tpm/commands/object.ts';
import { TPM_RH } from '../../../src/tpm/constants.ts';
import { prepare } from '../../../src/tpm/exchange.ts';
import { redact } from '../../../src/tpm/redact.ts';
import { userKeyTemplate } from '../../../src/tpm/templates.ts';

const EMPTY = new Uint8Array(0);
const NAME = new Uint8Array(34);
const SECRET = utf8('hush hush');

const commandBytes = (command: AnyCommand, args: object, authValue: Uint8Array = EMPTY): Bytes =>
  copy(
    prepare(
      command,
      args,
      command.handles.map(() => ({ handle: TPM_RH.OWNER, name: NAME })),
      command.handles.filter(([, role]) => role !== 'none').map(() => ({ kind: 'password', authValue })),
    ).command,
  );

/** How often the secret is in the bytes before and after they were redacted; the size must not change. */
function occurrences(bytes: Bytes, direction: 'command' | 'answer', code: number): [number, number] {
  const count = () => toHex(bytes).split(toHex(SECRET)).length - 1;
  const before = count();
  redact(bytes, direction, code);
  return [before, count()];
}

describe('redact', () => {
  it('removes passwords and sensitive areas from a command, and leaves the rest', () => {
    const args = {
      inSensitive: { userAuth: SECRET, data: SECRET },
      inPublic: userKeyTemplate('p-256'),
      outsideInfo: utf8('public'),
      creationPCR: [],
    };
    const bytes = commandBytes(Create, args, SECRET);
    const size = bytes.length;
    expect(occurrences(bytes, 'command', Create.code)).toEqual([3, 0]);
    expect(bytes).toHaveLength(size);
    expect(toHex(bytes)).toContain(toHex(utf8('public')));
  });

  it('removes a new authorization value', () => {
    expect(occurrences(commandBytes(ObjectChangeAuth, { newAuth: SECRET }), 'command', ObjectChangeAuth.code)).toEqual([
      1, 0,
    ]);
  });

  it('removes the secret from the answer of TPM2_ActivateCredential, unless it is an error', () => {
    const parameters = concat(new Uint8Array([0, SECRET.length]), SECRET);
    const auths = new Uint8Array([0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    const size = 14 + parameters.length + auths.length;
    const answer = concat(
      new Uint8Array([0x80, 2, 0, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, parameters.length]),
      parameters,
      auths,
    );
    expect(occurrences(answer, 'answer', ActivateCredential.code)).toEqual([1, 0]);
    const refusal = new Uint8Array([0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x8e]);
    const before = toHex(refusal);
    redact(refusal, 'answer', ActivateCredential.code);
    expect(toHex(refusal)).toBe(before);
  });

  it('leaves only the header of a command that it does not know', () => {
    const bytes = concat(new Uint8Array([0x80, 1, 0, 0, 0, 19, 0x20, 0, 0, 1]), SECRET);
    redact(bytes, 'command', 0x20000001);
    expect(toHex(bytes)).toBe(`80010000001320000001${'00'.repeat(9)}`);
  });
});
