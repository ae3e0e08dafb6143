import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../../src/bytes.ts';
import { isKeyprovError } from '../../../src/errors.ts';
import type { AnyCommand } from '../../../src/tpm/command.ts';
import { EvictControl } from '../../../src/tpm/commands/context.ts';
import { Clear, HierarchyChangeAuth } from '../../../src/tpm/commands/hierarchy.ts';
import { GetRandom, StirRandom } from '../../../src/tpm/commands/random.ts';
import { HASHES, TPM_ALG, TPM_RH } from '../../../src/tpm/constants.ts';
import { prepare } from '../../../src/tpm/exchange.ts';
import { handleName } from '../../../src/tpm/names.ts';
import type { Session } from '../../../src/tpm/session.ts';
import type { TpmtSymDef } from '../../../src/tpm/structures/algorithm.ts';
import {
  AUTH,
  answerOf,
  beside,
  by,
  EVICT_HANDLES,
  encrypted,
  evict,
  evictHmac,
  hashOf,
  hmacOf,
  OBJECT_NAME,
  OWNER,
  OWNER_ONLY,
  readCommand,
  SESSION_KEY,
  session,
  TRIMMED,
  USE,
  u16,
  u32,
} from './session-formulas.ts';

describe.each([
  ['SHA-1', TPM_ALG.SHA1],
  ['SHA-256', TPM_ALG.SHA256],
  ['SHA-384', TPM_ALG.SHA384],
  ['SHA-512', TPM_ALG.SHA512],
] as const)('an HMAC session with %s', (_, authHash) => {
  it('authorizes a command as Part 1 says', () => {
    const s = session({ authHash });
    const { command } = prepare(EvictControl, evict, EVICT_HANDLES, [by(s)]);
    const { auths, parameters, size, tag } = readCommand(command, 2);
    expect([tag, size]).toEqual([0x8002, command.length]);
    expect(toHex(parameters)).toBe('81000005');
    expect(auths).toHaveLength(1);
    expect(auths[0]).toMatchObject({ handle: 0x02000001, attributes: 1, nonce: s.nonceCaller });
    expect(s.nonceCaller.length).toBe(HASHES[authHash].size);
    expect(toHex(auths[0]?.hmac ?? OBJECT_NAME)).toBe(
      toHex(evictHmac(s, concat(SESSION_KEY, TRIMMED), fromHex('70'.repeat(32)))),
    );
  });

  it('accepts an answer with the right HMAC and none with a single bit changed', () => {
    const nonceTPM = fromHex('71'.repeat(HASHES[authHash].size));
    const key = concat(SESSION_KEY, TRIMMED);
    const once = (change: (answer: Uint8Array) => void) => {
      const s = session({ authHash });
      const exchange = prepare(EvictControl, evict, EVICT_HANDLES, [by(s)]);
      const rpHash = hashOf(authHash, u32(0), u32(0x120));
      const answer = answerOf(new Uint8Array(0), [
        [nonceTPM, 1, hmacOf(authHash, key, rpHash, nonceTPM, s.nonceCaller, new Uint8Array([1]))],
      ]);
      change(answer);
      return { s, read: () => exchange.read(answer) };
    };
    const { s, read } = once(() => {});
    expect(read()).toEqual({ handle: undefined, values: {} });
    expect(s.nonceTPM).toStrictEqual(nonceTPM);
    expect(s.ended).toBe(false);
    const start = 16;
    const lengthBytes = new Set([start - 2, start - 1, start + nonceTPM.length + 1, start + nonceTPM.length + 2]);
    for (let at = start; at < start + 2 * nonceTPM.length + 3; at++) {
      if (lengthBytes.has(at)) continue;
      try {
        once((answer) => (answer[at] = (answer[at] as number) ^ 1)).read();
        expect.fail(`the change at ${at} was not noticed`);
      } catch (error) {
        expect(isKeyprovError(error, 'tpm-session'), String(error)).toBe(true);
      }
    }
  });
});

describe('the key of the HMAC', () => {
  const hmacWith = (s: Session, entity = OWNER): string => {
    const { command } = prepare(EvictControl, evict, EVICT_HANDLES, [by(s, entity)]);
    return toHex(readCommand(command, 2).auths[0]?.hmac ?? OBJECT_NAME);
  };
  const expected = (s: Session, key: Uint8Array) => toHex(evictHmac(s, key, fromHex('70'.repeat(32))));

  it('is the session key alone for the entity that the session is bound to', () => {
    const s = session({ bound: { name: OWNER.name, authValue: TRIMMED } });
    expect(hmacWith(s)).toBe(expected(s, SESSION_KEY));
  });

  it('has the authorization value of any other entity', () => {
    const s = session({ bound: { name: handleName(TPM_RH.ENDORSEMENT), authValue: TRIMMED } });
    expect(hmacWith(s)).toBe(expected(s, concat(SESSION_KEY, TRIMMED)));
  });

  it("uses the bound entity's authorization value if it has changed since the start", () => {
    const s = session({ bound: { name: OWNER.name, authValue: fromHex('99') } });
    expect(hmacWith(s)).toBe(expected(s, concat(SESSION_KEY, TRIMMED)));
  });

  it('is the authorization value alone without salt and binding', () => {
    const s = session({ sessionKey: new Uint8Array(0) });
    expect(hmacWith(s)).toBe(expected(s, TRIMMED));
  });

  it('has the authorization value in a policy session only after TPM2_PolicyAuthValue', () => {
    const s = session({ type: 'policy' });
    expect(hmacWith(s)).toBe(expected(s, SESSION_KEY));
    s.needsAuthValue = true;
    expect(hmacWith(s)).toBe(expected(s, concat(SESSION_KEY, TRIMMED)));
  });

  it('is missing in a policy session without salt and binding, and so is the HMAC', () => {
    expect(hmacWith(session({ type: 'policy', sessionKey: new Uint8Array(0) }))).toBe('');
  });

  it('is replaced by the authorization value in the clear after TPM2_PolicyPassword', () => {
    const s = session({ type: 'policy' });
    s.needsPassword = true;
    expect(hmacWith(s)).toBe(toHex(AUTH));
  });

  it('is wiped when the session is closed', async () => {
    const sessionKey = new Uint8Array(SESSION_KEY);
    const authValue = new Uint8Array(TRIMMED);
    {
      await using _ = session({ sessionKey, bound: { name: OWNER.name, authValue } });
    }
    expect([toHex(sessionKey), toHex(authValue)]).toEqual(['00'.repeat(32), '000000']);
  });
});

const CIPHERS: readonly [string, TpmtSymDef][] = [
  ['AES-128-CFB', { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB }],
  ['AES-256-CFB', { algorithm: TPM_ALG.AES, keyBits: 256, mode: TPM_ALG.CFB }],
  // The session's hash applies, not the cipher's.
  ['XOR', { algorithm: TPM_ALG.XOR, keyBits: TPM_ALG.SHA1 }],
];

describe.each(CIPHERS)('parameter encryption with %s', (_, symmetric) => {
  it('covers the data of the first parameter of a command, and the HMAC covers the encrypted one', () => {
    const s = session({ symmetric, use: { ...USE, decrypt: true } });
    const newAuth = fromHex('0102030405');
    const { command } = prepare(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth }, OWNER_ONLY, [by(s)]);
    const { auths, parameters } = readCommand(command, 1);
    const nonceTPM = fromHex('70'.repeat(32));
    const secret = concat(SESSION_KEY, TRIMMED);
    expect(toHex(parameters)).toBe(`0005${toHex(encrypted(s, secret, s.nonceCaller, nonceTPM, newAuth))}`);
    const cpHash = hashOf(TPM_ALG.SHA256, u32(0x129), OWNER.name, parameters);
    expect(auths[0]?.attributes).toBe(0x21);
    expect(toHex(auths[0]?.hmac ?? newAuth)).toBe(
      toHex(hmacOf(TPM_ALG.SHA256, secret, cpHash, s.nonceCaller, nonceTPM, new Uint8Array([0x21]))),
    );
  });

  it('has no authorization value in its key when the session authorizes nothing', () => {
    const s = session({ symmetric, use: { ...USE, decrypt: true } });
    const inData = fromHex('99'.repeat(40));
    const { parameters } = readCommand(prepare(StirRandom, { inData }, [], [beside(s)]).command, 0);
    expect(toHex(parameters)).toBe(
      `0028${toHex(encrypted(s, SESSION_KEY, s.nonceCaller, fromHex('70'.repeat(32)), inData))}`,
    );
  });

  it('is taken off the first parameter of an answer after its HMAC was checked', () => {
    const s = session({ symmetric, use: { ...USE, encrypt: true } });
    const exchange = prepare(GetRandom, { bytesRequested: 20 }, [], [beside(s)]);
    const nonceTPM = fromHex('71'.repeat(32));
    const random = fromHex('0102030405060708090a0b0c0d0e0f1011121314');
    // CFB and XOR encrypt what they decrypt from the same key stream, so the answer is made with the same formula.
    const parameters = concat(u16(20), encrypted(s, SESSION_KEY, nonceTPM, s.nonceCaller, random));
    const rpHash = hashOf(TPM_ALG.SHA256, u32(0), u32(0x17b), parameters);
    const mac = hmacOf(TPM_ALG.SHA256, SESSION_KEY, rpHash, nonceTPM, s.nonceCaller, new Uint8Array([0x41]));
    expect(exchange.read(answerOf(parameters, [[nonceTPM, 0x41, mac]])).values).toStrictEqual({ randomBytes: random });
  });
});

describe('the answer to a command that changes the authorization value', () => {
  const read = (
    command: AnyCommand,
    handle: number,
    args: object,
    key: Uint8Array,
    s = session(),
    authValue = AUTH,
  ) => {
    const entity = { name: handleName(handle), authValue };
    const exchange = prepare(command, args, [{ handle, name: entity.name }], [by(s, entity)]);
    const nonceTPM = fromHex('71'.repeat(32));
    const rpHash = hashOf(TPM_ALG.SHA256, u32(0), u32(command.code));
    const mac = hmacOf(TPM_ALG.SHA256, key, rpHash, nonceTPM, s.nonceCaller, new Uint8Array([1]));
    return () => exchange.read(answerOf(new Uint8Array(0), [[nonceTPM, 1, mac]]));
  };

  it('is authenticated with the new one: TPM2_HierarchyChangeAuth', () => {
    const args = { authHandle: TPM_RH.OWNER, newAuth: fromHex('0700') };
    expect(read(HierarchyChangeAuth, TPM_RH.OWNER, args, concat(SESSION_KEY, fromHex('07')))).not.toThrow();
    expect(read(HierarchyChangeAuth, TPM_RH.OWNER, args, concat(SESSION_KEY, TRIMMED))).toThrow('wrong HMAC');
  });

  // As in libtpms 0.9.2, the command determines the inputs of the key.
  it('has no authorization value in its key when the session was bound to the entity in the command', () => {
    const args = { authHandle: TPM_RH.OWNER, newAuth: fromHex('07') };
    const bound = session({ bound: { name: OWNER.name, authValue: TRIMMED } });
    expect(read(HierarchyChangeAuth, TPM_RH.OWNER, args, SESSION_KEY, bound)).not.toThrow();
  });

  it('has an HMAC with an empty key if the command had one with another key', () => {
    const args = { authHandle: TPM_RH.OWNER, newAuth: new Uint8Array(0) };
    const plain = session({ sessionKey: new Uint8Array(0) });
    expect(read(HierarchyChangeAuth, TPM_RH.OWNER, args, new Uint8Array(0), plain)).not.toThrow();
  });

  it('has an HMAC even if the command had none, as soon as there is a key', () => {
    const args = { authHandle: TPM_RH.OWNER, newAuth: fromHex('07') };
    const plain = session({ sessionKey: new Uint8Array(0) });
    const answer = read(HierarchyChangeAuth, TPM_RH.OWNER, args, fromHex('07'), plain, new Uint8Array(0));
    expect(answer).not.toThrow();
  });

  it('is authenticated with the empty one after TPM2_Clear by the lockout authorization', () => {
    const args = { authHandle: TPM_RH.LOCKOUT };
    expect(read(Clear, TPM_RH.LOCKOUT, args, SESSION_KEY)).not.toThrow();
  });

  it('is authenticated with the old one after TPM2_Clear by the platform authorization, which stays', () => {
    const args = { authHandle: { handle: TPM_RH.PLATFORM, auth: { session: session(), authValue: AUTH } } };
    expect(read(Clear, TPM_RH.PLATFORM, args, concat(SESSION_KEY, TRIMMED))).not.toThrow();
    expect(read(Clear, TPM_RH.PLATFORM, args, SESSION_KEY)).toThrow('wrong HMAC');
  });
});

describe('a session', () => {
  it('has ended when the answer says so', () => {
    const s = session({ use: { ...USE, continueSession: false } });
    const exchange = prepare(GetRandom, { bytesRequested: 1 }, [], [beside(s)]);
    const nonceTPM = fromHex('71'.repeat(32));
    const parameters = fromHex('000105');
    const rpHash = hashOf(TPM_ALG.SHA256, u32(0), u32(0x17b), parameters);
    const mac = hmacOf(TPM_ALG.SHA256, SESSION_KEY, rpHash, nonceTPM, s.nonceCaller, new Uint8Array([0]));
    expect(exchange.read(answerOf(parameters, [[nonceTPM, 0, mac]])).values).toStrictEqual({
      randomBytes: fromHex('05'),
    });
    expect(s.ended).toBe(true);
  });
});
