import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Bytes, concat, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { isKeyprovError, KeyprovError } from '../../../src/errors.ts';
import type { AnyCommand } from '../../../src/tpm/command.ts';
import { EvictControl } from '../../../src/tpm/commands/context.ts';
import { Clear, HierarchyChangeAuth } from '../../../src/tpm/commands/hierarchy.ts';
import { GetRandom, StirRandom } from '../../../src/tpm/commands/random.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_RH } from '../../../src/tpm/constants.ts';
import { type AuthEntry, prepare } from '../../../src/tpm/exchange.ts';
import { handleName } from '../../../src/tpm/names.ts';
import { Session, type SessionState, type SessionUse } from '../../../src/tpm/session.ts';
import type { TpmtSymDef } from '../../../src/tpm/structures/algorithm.ts';

/*
 * The formulas of Part 1, written down here once more with nothing but node:crypto: command HMAC 19.6.5, response
 * HMAC 19.6.6, cpHash 18.7, rpHash 18.8, parameter encryption 21, KDFa 11.4.10.2.
 */
const u16 = (n: number) => new Uint8Array([n >>> 8, n & 255]);
const u32 = (n: number) => handleName(n);
const hashOf = (alg: HashAlg, ...parts: Uint8Array[]) =>
  new Uint8Array(
    createHash(HASHES[alg].name)
      .update(concat(...parts))
      .digest(),
  );
const hmacOf = (alg: HashAlg, key: Uint8Array, ...parts: Uint8Array[]) =>
  new Uint8Array(
    createHmac(HASHES[alg].name, key)
      .update(concat(...parts))
      .digest(),
  );

function kdfA(alg: HashAlg, key: Uint8Array, label: string, u: Uint8Array, v: Uint8Array, bits: number): Uint8Array {
  let stream: Uint8Array = new Uint8Array(0);
  for (let i = 1; stream.length < bits / 8; i++) {
    stream = concat(stream, hmacOf(alg, key, u32(i), utf8(label), new Uint8Array(1), u, v, u32(bits)));
  }
  return stream.subarray(0, bits / 8);
}

function encrypted(session: Session, secret: Uint8Array, newer: Uint8Array, older: Uint8Array, plain: Uint8Array) {
  const { authHash, symmetric } = session;
  if (symmetric.algorithm === TPM_ALG.XOR) {
    return kdfA(authHash, secret, 'XOR', newer, older, plain.length * 8).map((mask, i) => mask ^ (plain[i] as number));
  }
  if (symmetric.algorithm !== TPM_ALG.AES) throw new RangeError('no cipher');
  const { keyBits } = symmetric;
  const key = kdfA(authHash, secret, 'CFB', newer, older, keyBits + 128);
  return new Uint8Array(
    createCipheriv(`aes-${keyBits}-cfb`, key.subarray(0, keyBits / 8), key.subarray(keyBits / 8)).update(plain),
  );
}

const SESSION_KEY = fromHex('a5'.repeat(32));
const AUTH = fromHex('3132330000');
const TRIMMED = fromHex('313233');
const OWNER = { name: handleName(TPM_RH.OWNER), authValue: AUTH };

const USE: SessionUse = {
  continueSession: true,
  decrypt: false,
  encrypt: false,
  audit: false,
  auditExclusive: false,
  auditReset: false,
};

/** A session as it is after TPM2_StartAuthSession. */
function session(state: Partial<SessionState> = {}): Session {
  return new Session({
    sessionHandle: 0x02000001,
    type: 'hmac',
    authHash: TPM_ALG.SHA256,
    symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
    nonceCaller: fromHex('c0'.repeat(16)),
    nonceTPM: fromHex('70'.repeat(32)),
    sessionKey: new Uint8Array(SESSION_KEY),
    use: USE,
    close: async () => {},
    ...state,
  });
}

/** What the authorization area of a command says about each session, and the parameters after it. */
function readCommand(bytes: Uint8Array, handles: number) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 10 + 4 * handles;
  const end = at + 4 + data.getUint32(at);
  at += 4;
  const take = () => {
    const part = bytes.slice(at + 2, at + 2 + data.getUint16(at));
    at += 2 + part.length;
    return part;
  };
  const auths: { handle: number; nonce: Bytes; attributes: number; hmac: Bytes }[] = [];
  while (at < end) {
    const handle = data.getUint32(at);
    at += 4;
    const nonce = take();
    const attributes = bytes[at++] as number;
    auths.push({ handle, nonce, attributes, hmac: take() });
  }
  return { auths, parameters: bytes.slice(end), size: data.getUint32(2), tag: data.getUint16(0) };
}

/** An answer of the TPM: parameters, then for each session nonce, attributes and HMAC. */
function answerOf(parameters: Uint8Array, auths: readonly [nonce: Uint8Array, attributes: number, hmac: Uint8Array][]) {
  const area = auths.map(([nonce, attributes, hmac]) =>
    concat(u16(nonce.length), nonce, new Uint8Array([attributes]), u16(hmac.length), hmac),
  );
  const body = concat(u32(parameters.length), parameters, ...area);
  return concat(u16(0x8002), u32(10 + body.length), u32(0), body);
}

const evict = { auth: TPM_RH.OWNER, objectHandle: 0x80000001, persistentHandle: 0x81000005 };
const OBJECT_NAME = fromHex(`000b${'11'.repeat(32)}`);
const EVICT_HANDLES = [
  { handle: TPM_RH.OWNER, name: OWNER.name },
  { handle: 0x80000001, name: OBJECT_NAME },
];
const OWNER_ONLY = [{ handle: TPM_RH.OWNER, name: OWNER.name }];

const by = (authorizing: Session, entity = OWNER): AuthEntry => ({ kind: 'session', session: authorizing, entity });
const beside = (other: Session): AuthEntry => ({ kind: 'session', session: other });

/** The HMAC of the EvictControl command that `s` authorizes, with that key. */
const evictHmac = (s: Session, key: Uint8Array, nonceTPM: Uint8Array, attributes = 1): Uint8Array => {
  const cpHash = hashOf(s.authHash, u32(0x120), OWNER.name, OBJECT_NAME, u32(0x81000005));
  return hmacOf(s.authHash, key, cpHash, s.nonceCaller, nonceTPM, new Uint8Array([attributes]));
};

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

  it('takes an answer with the right HMAC and none with a single bit changed', () => {
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

  it('has the authorization value of the bound entity when that is no longer the one of the start', () => {
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

  it('gives way to the authorization value in clear after TPM2_PolicyPassword', () => {
    const s = session({ type: 'policy' });
    s.needsPassword = true;
    expect(hmacWith(s)).toBe(toHex(AUTH));
  });

  it('is wiped when the session is closed', async () => {
    const sessionKey = new Uint8Array(SESSION_KEY);
    const authValue = new Uint8Array(TRIMMED);
    await session({ sessionKey, bound: { name: OWNER.name, authValue } }).close();
    expect([toHex(sessionKey), toHex(authValue)]).toEqual(['00'.repeat(32), '000000']);
  });
});

const CIPHERS: readonly [string, TpmtSymDef][] = [
  ['AES-128-CFB', { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB }],
  ['AES-256-CFB', { algorithm: TPM_ALG.AES, keyBits: 256, mode: TPM_ALG.CFB }],
  // The hash of the session counts, not the one of the cipher.
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

describe('parameter encryption', () => {
  it('is refused for a first parameter that has no length', () => {
    const s = session({ use: { ...USE, decrypt: true } });
    expect(() => prepare(GetRandom, { bytesRequested: 8 }, [], [beside(s)])).toThrow(KeyprovError);
  });

  it('is refused without a cipher', () => {
    const s = session({ symmetric: { algorithm: TPM_ALG.NULL }, use: { ...USE, decrypt: true } });
    expect(() => prepare(StirRandom, { inData: new Uint8Array(1) }, [], [beside(s)])).toThrow(
      'the session has no cipher for parameter encryption',
    );
  });
});

describe('several sessions in one command', () => {
  it('are tied together: the first HMAC covers the nonces of those that decrypt and encrypt', () => {
    const nonce = (byte: string) => fromHex(byte.repeat(32));
    const first = session();
    const decryptor = session({ sessionHandle: 0x02000002, nonceTPM: nonce('72'), use: { ...USE, decrypt: true } });
    const encryptor = session({ sessionHandle: 0x02000003, nonceTPM: nonce('73'), use: { ...USE, encrypt: true } });
    const firstHmac = (...others: Session[]) => {
      const auths = [by(first), ...others.map(beside)];
      const args = { authHandle: TPM_RH.OWNER, newAuth: fromHex('05') };
      // An answer without a parameter that could be encrypted does not matter for the command.
      const read = readCommand(prepare(HierarchyChangeAuth, args, OWNER_ONLY, auths).command, 1);
      const cpHash = hashOf(TPM_ALG.SHA256, u32(0x129), OWNER.name, read.parameters);
      const mac = (...nonces: Uint8Array[]) =>
        toHex(
          hmacOf(
            TPM_ALG.SHA256,
            concat(SESSION_KEY, TRIMMED),
            cpHash,
            first.nonceCaller,
            nonce('70'),
            ...nonces,
            new Uint8Array([1]),
          ),
        );
      return { hmac: toHex(read.auths[0]?.hmac ?? nonce('00')), mac };
    };
    const both = firstHmac(decryptor, encryptor);
    expect(both.hmac).toBe(both.mac(nonce('72'), nonce('73')));
    const swapped = firstHmac(encryptor, decryptor);
    expect(swapped.hmac).toBe(swapped.mac(nonce('72'), nonce('73')));
    const one = firstHmac(
      session({ sessionHandle: 0x02000004, nonceTPM: nonce('74'), use: { ...USE, decrypt: true, encrypt: true } }),
    );
    expect(one.hmac).toBe(one.mac(nonce('74')));
    const audit = firstHmac(session({ sessionHandle: 0x02000005, use: { ...USE, audit: true } }));
    expect(audit.hmac).toBe(audit.mac());
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

  // As libtpms 0.9.2 does it: what the key is made of is settled by the command.
  it('has no authorization value in its key when the session was bound to the entity in the command', () => {
    const args = { authHandle: TPM_RH.OWNER, newAuth: fromHex('07') };
    const bound = session({ bound: { name: OWNER.name, authValue: TRIMMED } });
    expect(read(HierarchyChangeAuth, TPM_RH.OWNER, args, SESSION_KEY, bound)).not.toThrow();
  });

  it('has an HMAC with an empty key where the command had one with another key', () => {
    const args = { authHandle: TPM_RH.OWNER, newAuth: new Uint8Array(0) };
    const plain = session({ sessionKey: new Uint8Array(0) });
    expect(read(HierarchyChangeAuth, TPM_RH.OWNER, args, new Uint8Array(0), plain)).not.toThrow();
  });

  it('has an HMAC where the command had none, as soon as there is a key', () => {
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
