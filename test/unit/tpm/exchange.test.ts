import crypto from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Bytes, concat, equal, fromHex, toHex } from '../../../src/bytes.ts';
import { fixedBytes } from '../../../src/tpm/codec/index.ts';
import { type AnyCommand, command } from '../../../src/tpm/command.ts';
import { EvictControl } from '../../../src/tpm/commands/context.ts';
import { Clear, CreatePrimary, HierarchyChangeAuth } from '../../../src/tpm/commands/hierarchy.ts';
import { ActivateCredential, LoadExternal, ObjectChangeAuth } from '../../../src/tpm/commands/object.ts';
import { GetRandom, StirRandom } from '../../../src/tpm/commands/random.ts';
import { TPM_ALG, TPM_RH } from '../../../src/tpm/constants.ts';
import { type AuthEntry, prepare } from '../../../src/tpm/exchange.ts';
import { type SessionUse, sessionKey } from '../../../src/tpm/session.ts';
import { akTemplate } from '../../../src/tpm/templates.ts';
import { patchBuiltin } from '../../patch-builtin.ts';
import { refusal } from '../../refusal.ts';
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
  OWNER_ONLY,
  readCommand,
  SESSION_KEY,
  type SessionEntry,
  session,
  TRIMMED,
  USE,
  u16,
  u32,
} from './session-formulas.ts';

/** The original buffers of all keys that were passed to node:crypto. */
const keys: Uint8Array[] = [];
const { createHmac, createCipheriv, createDecipheriv } = crypto;
const noting =
  (make: (...given: unknown[]) => unknown, ...keyAt: number[]) =>
  (...given: unknown[]): never => {
    for (const at of keyAt) if (given[at] instanceof Uint8Array) keys.push(given[at]);
    return Reflect.apply(make, crypto, given) as never;
  };
patchBuiltin(crypto, {
  createHmac: noting(createHmac as never, 1),
  createCipheriv: noting(createCipheriv as never, 1, 2),
  createDecipheriv: noting(createDecipheriv as never, 1, 2),
});
beforeEach(() => {
  keys.length = 0;
});

const SHA256 = TPM_ALG.SHA256;
const EMPTY = new Uint8Array(0);
const NEW_NONCE = fromHex('71'.repeat(32));
const password: AuthEntry = { kind: 'password', authValue: AUTH };
const used = (label: string, use: Partial<SessionUse> = {}) =>
  session({
    sessionHandle: Number.parseInt(`020000${label}`, 16),
    nonceTPM: fromHex(label.repeat(32)),
    use: { ...USE, ...use },
  });
const keyless = (use: Partial<SessionUse> = {}) => session({ sessionKey: new Uint8Array(0), use: { ...USE, ...use } });

describe('the first HMAC of a command', () => {
  const decrypt = { decrypt: true };
  const encrypt = { encrypt: true };
  const both = { decrypt: true, encrypt: true };
  const handles = EVICT_HANDLES;
  const args = { activateHandle: 1, keyHandle: 2, credentialBlob: fromHex('0102'), secret: fromHex('03') };

  // Part 1, 19.6.5: if the first session authorizes, its HMAC covers nonceTPM of the session that decrypts, then of the one that encrypts.
  it.each<[string, readonly AuthEntry[], readonly [index: number, ...nonces: string[]][]]>([
    [
      'covers the nonces of those that decrypt and encrypt',
      [by(used('a1')), beside(used('b1', decrypt)), beside(used('c1', encrypt))],
      [[0, 'b1', 'c1'], [1], [2]],
    ],
    [
      'covers them in this order, however they stand',
      [by(used('a2')), beside(used('c2', encrypt)), beside(used('b2', decrypt))],
      [[0, 'b2', 'c2'], [1], [2]],
    ],
    ['covers the nonce of one that does both once', [by(used('a3')), beside(used('b3', both))], [[0, 'b3'], [1]]],
    ['covers no nonce of one that does neither', [by(used('a4')), beside(used('b4', { audit: true }))], [[0], [1]]],
    [
      'covers its own nonce once, where it decrypts',
      [by(used('a5', decrypt)), beside(used('b5', encrypt))],
      [[0, 'b5'], [1]],
    ],
    [
      'covers its own nonce once, where it encrypts',
      [by(used('a6', encrypt)), beside(used('b6', decrypt))],
      [[0, 'b6'], [1]],
    ],
    ['covers its own nonce once, where it does both', [by(used('a7', both)), by(used('b7'))], [[0], [1]]],
    ['covers that of one that authorizes another handle', [by(used('a8')), by(used('b8', both))], [[0, 'b8'], [1]]],
    ['covers that of one after a password', [by(used('a9')), password, beside(used('c9', both))], [[0, 'c9'], [2]]],
    ['is not that of a session after a password', [password, by(used('ba')), beside(used('ca', decrypt))], [[1], [2]]],
    ['covers no other nonce where it authorizes nothing', [beside(used('ab')), beside(used('bb', both))], [[0], [1]]],
  ])('%s', (_, auths, covered) => {
    const built = prepare(ActivateCredential, args, handles, auths).command;
    const { auths: area, parameters } = readCommand(built, 2);
    const cpHash = hashOf(SHA256, u32(0x147), ...handles.map(({ name }) => name), parameters);
    for (const [index, ...labels] of covered) {
      const [auth, sent] = [auths[index], area[index]];
      if (auth?.kind !== 'session' || sent === undefined) throw new Error('it is a session');
      const { nonceCaller, nonceTPM } = auth.session;
      const key = concat(SESSION_KEY, auth.entity === undefined ? EMPTY : TRIMMED);
      const nonces = labels.map((label) => fromHex(label.repeat(32)));
      const mac = hmacOf(SHA256, key, cpHash, nonceCaller, nonceTPM, ...nonces, new Uint8Array([sent.attributes]));
      expect(toHex(sent.hmac), `of session ${index}`).toBe(toHex(mac));
    }
  });
});

describe('parameter encryption', () => {
  const unsized = command<{ inData: Uint8Array }, { outData: Uint8Array }>('StirRandom', {
    parameters: { inData: fixedBytes('FIXED', 4) },
    answer: { outData: fixedBytes('FIXED', 4) },
  });
  const inSensitive = { userAuth: EMPTY, data: EMPTY };
  const primary = { primaryHandle: 1, inSensitive, inPublic: akTemplate('p-256'), outsideInfo: EMPTY, creationPCR: [] };
  const of = (what: 'command' | 'response', name = 'StirRandom') => {
    const use = what === 'command' ? 'decrypt' : 'encrypt';
    return (
      `tpm-session: TPM2_${name}: the first parameter of the ${what} cannot be encrypted; ` +
      `clear the session's ${use} attribute for this command`
    );
  };

  it.each<[string, AnyCommand, object, Partial<SessionUse>, string]>([
    ['a command without parameters', Clear, {}, { decrypt: true }, of('command', 'Clear')],
    ['a number', GetRandom, { bytesRequested: 8 }, { decrypt: true }, of('command', 'GetRandom')],
    ['bytes without a size', unsized, { inData: new Uint8Array(4) }, { decrypt: true }, of('command')],
    ['bytes without a size, in the answer', unsized, { inData: new Uint8Array(4) }, { encrypt: true }, of('response')],
    [
      'an answer without parameters',
      HierarchyChangeAuth,
      { newAuth: AUTH },
      { encrypt: true },
      of('response', 'HierarchyChangeAuth'),
    ],
    ['bytes with a size', StirRandom, { inData: new Uint8Array(4) }, { decrypt: true }, 'nothing thrown'],
    ['a structure with a size', CreatePrimary, primary, { decrypt: true, encrypt: true }, 'nothing thrown'],
  ])('is only there for a first parameter with a size (Part 1, 21): %s', (_, command, args, use, expected) => {
    const s = keyless(use);
    const { nonceCaller } = s;
    expect(refusal(() => prepare(command, args, OWNER_ONLY, [beside(s)]))).toBe(expected);
    // A refused command is not started.
    expect(s.nonceCaller === nonceCaller).toBe(expected !== 'nothing thrown');
  });

  // The reference code of V184 refuses an empty parameter that is encrypted, all refuse a session that does nothing.
  it.each<[string, SessionEntry, string, number, boolean]>([
    [
      'is not there for an empty one, in a session that encrypts the answer',
      beside(used('b1', { decrypt: true, encrypt: true })),
      '',
      0x41,
      true,
    ],
    [
      'is not there for an empty one, in a session that audits',
      beside(used('b2', { decrypt: true, audit: true })),
      '',
      0x81,
      false,
    ],
    ['is not there for an empty one, in a session that authorizes', by(used('b3', { decrypt: true })), '', 0x01, false],
    [
      'is there for an empty one, in a session that does nothing else',
      beside(used('b4', { decrypt: true })),
      '',
      0x21,
      true,
    ],
    [
      'is there for one byte, in a session that does all',
      by(used('b5', { decrypt: true, encrypt: true, audit: true })),
      '99',
      0xe1,
      true,
    ],
  ])('%s', (_, auth, credentialBlob, attributes, isCovered) => {
    const first = used('a1');
    const args = { activateHandle: 1, keyHandle: 2, credentialBlob: fromHex(credentialBlob), secret: fromHex('03') };
    const { auths, parameters } = readCommand(
      prepare(ActivateCredential, args, EVICT_HANDLES, [by(first), auth]).command,
      2,
    );
    expect(auths[1]?.attributes).toBe(attributes);
    const plain = fromHex(credentialBlob);
    const { session: s, entity } = auth;
    const secret = entity === undefined ? SESSION_KEY : concat(SESSION_KEY, TRIMMED);
    const sent = plain.length === 0 ? plain : encrypted(s, secret, s.nonceCaller, s.nonceTPM, plain);
    expect(toHex(parameters)).toBe(toHex(concat(u16(sent.length), sent, fromHex('000103'))));
    const cpHash = hashOf(SHA256, u32(0x147), ...EVICT_HANDLES.map(({ name }) => name), parameters);
    const nonces = isCovered ? [s.nonceTPM] : [];
    const key = concat(SESSION_KEY, TRIMMED);
    const mac = hmacOf(SHA256, key, cpHash, first.nonceCaller, first.nonceTPM, ...nonces, new Uint8Array([1]));
    expect(toHex(auths[0]?.hmac ?? EMPTY)).toBe(toHex(mac));
  });

  it('is refused without a cipher', () => {
    const s = session({ symmetric: { algorithm: TPM_ALG.NULL }, use: { ...USE, decrypt: true } });
    expect(refusal(() => prepare(StirRandom, { inData: new Uint8Array(1) }, [], [beside(s)]))).toBe(
      'tpm-session: the session has no cipher for parameter encryption; start it with a symmetric algorithm ' +
        '(AES-CFB or XOR), or clear its encrypt and decrypt attributes',
    );
  });
});

describe('an answer', () => {
  const evictArea = (area: string) =>
    `8002 000000${(14 + area.length / 2).toString(16).padStart(2, '0')} 00000000 00000000 ${area}`;
  const random = (rest: string) => `8002 00000000 00000000 ${rest}`;
  const load = { inPrivate: null, inPublic: akTemplate('p-256'), hierarchy: TPM_RH.NULL };
  const said = 'the response to TPM2_GetRandom';
  const altered = (what: string, name = 'GetRandom') =>
    `tpm-session: the response to TPM2_${name} has ${what}: it was altered in transit, or the authorization value is ` +
    'wrong; do not trust the connection to this TPM until you know the cause';

  it.each<[string, AnyCommand, object, readonly AuthEntry[], string, string]>([
    // Without sessions.
    ['is read', GetRandom, { bytesRequested: 1 }, [], '8001 0000000d 00000000 0001 05', 'nothing thrown'],
    [
      'has the tag of one with sessions',
      GetRandom,
      { bytesRequested: 1 },
      [],
      '8002 0000000d 00000000 0001 05',
      altered('the wrong tag 0x8002'),
    ],
    [
      'refuses and has a body',
      GetRandom,
      { bytesRequested: 1 },
      [],
      '8001 0000000d 00000101 0001 05',
      altered('a body despite its error code 0x101'),
    ],
    [
      'has no handle',
      LoadExternal,
      load,
      [],
      '8001 0000000c 00000000 8000',
      'codec: objectHandle: 4 bytes needed at offset 10, 2 left',
    ],
    [
      'has a cut parameter',
      GetRandom,
      { bytesRequested: 1 },
      [],
      '8001 0000000c 00000000 0001',
      'codec: TPM2_GetRandom answer.randomBytes.TPM2B_DIGEST: 1 byte needed at offset 2, 0 left',
    ],
    [
      'has more than its parameters',
      GetRandom,
      { bytesRequested: 1 },
      [],
      '8001 0000000e 00000000 0001 05 06',
      'codec: TPM2_GetRandom answer.parameters: 1 byte left over at offset 3',
    ],
    // With a session that has no key, so that no HMAC is needed.
    [
      'is read',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0001 77 01 0000'),
      'nothing thrown',
    ],
    [
      'has the tag of one without sessions',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      '8001 0000000d 00000000 0001 05',
      altered('the wrong tag 0x8001'),
    ],
    [
      'has no size of its parameters',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('0000'),
      'codec: parameterSize: 4 bytes needed at offset 10, 2 left',
    ],
    [
      'has more parameters than bytes',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000004 0001 05'),
      `codec: ${said}: 4 bytes of parameters announced, but 3 left`,
    ],
    [
      'has nothing but parameters',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05'),
      'codec: nonceTPM: 2 bytes needed at offset 17, 0 left',
    ],
    [
      'is cut in the nonce',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0002 77'),
      'codec: nonceTPM: 2 bytes needed at offset 19, 1 left',
    ],
    [
      'is cut before the attributes',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0001 77'),
      'codec: sessionAttributes: 1 byte needed at offset 20, 0 left',
    ],
    [
      'is cut before the HMAC',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0001 77 01 00'),
      'codec: hmac: 2 bytes needed at offset 21, 1 left',
    ],
    [
      'is cut in the HMAC',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0001 77 01 0002 01'),
      'codec: hmac: 2 bytes needed at offset 23, 1 left',
    ],
    [
      'has more than one session',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0001 77 01 0000 00'),
      `codec: ${said}: 1 byte left over at offset 23`,
    ],
    [
      'has an HMAC although there is no key',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000003 0001 05 0001 77 01 0001 01'),
      altered('a wrong HMAC'),
    ],
    [
      'has more parameters than it should',
      GetRandom,
      { bytesRequested: 1 },
      [beside(keyless())],
      random('00000004 0001 05 00 0001 77 01 0000'),
      'codec: TPM2_GetRandom answer.parameters: 1 byte left over at offset 3',
    ],
    // Part 1, 18.7: a password has an empty nonce, an empty HMAC, and continueSession.
    ['is read', EvictControl, evict, [password], evictArea('0000010000'), 'nothing thrown'],
    [
      'has a nonce for a password',
      EvictControl,
      evict,
      [password],
      evictArea('000177010000'),
      altered('a wrong authorization for the password session', 'EvictControl'),
    ],
    [
      'has an HMAC for a password',
      EvictControl,
      evict,
      [password],
      evictArea('000001000177'),
      altered('a wrong authorization for the password session', 'EvictControl'),
    ],
    [
      'has both for a password',
      EvictControl,
      evict,
      [password],
      evictArea('00017701000177'),
      altered('a wrong authorization for the password session', 'EvictControl'),
    ],
    [
      'ends a password',
      EvictControl,
      evict,
      [password],
      evictArea('0000000000'),
      altered('a wrong authorization for the password session', 'EvictControl'),
    ],
  ])('%s', (_, command, args, auths, hex, expected) => {
    const { read } = prepare(command, args, EVICT_HANDLES, auths);
    expect(refusal(() => read(fromHex(hex.replaceAll(' ', ''))))).toMatch(expected);
  });

  it.each([
    ['longer than the parameters', '0028 0102', '40 bytes needed at offset 2, 2 left'],
    ['no size', '', '2 bytes needed at offset 0, 0 left'],
  ])("is refused if the encrypted parameter's size is %s", (_, hex, expected) => {
    const s = session({ use: { ...USE, encrypt: true } });
    const { read } = prepare(GetRandom, { bytesRequested: 20 }, [], [beside(s)]);
    const parameters = fromHex(hex.replaceAll(' ', ''));
    const mac = answerHmac(s.nonceCaller, GetRandom, parameters, SESSION_KEY, 0x41);
    expect(refusal(() => read(answerOf(parameters, [[NEW_NONCE, 0x41, mac]])))).toBe(
      `codec: TPM2_GetRandom answer.randomBytes.TPM2B_DIGEST: ${expected}`,
    );
  });
});

/** The HMAC of an answer (Part 1, 19.6.6). */
function answerHmac(nonceCaller: Bytes, { code }: AnyCommand, parameters: Uint8Array, key: Uint8Array, attributes = 1) {
  const rpHash = hashOf(SHA256, u32(0), u32(code), parameters);
  return hmacOf(SHA256, key, rpHash, NEW_NONCE, nonceCaller, new Uint8Array([attributes]));
}

describe('after TPM2_PolicyPassword', () => {
  const withPassword = (use: Partial<SessionUse> = {}) => {
    const s = session({ type: 'policy', use: { ...USE, ...use } });
    s.needsPassword = true;
    return s;
  };

  it('the answer has no HMAC, although the session has a key', () => {
    const answerWith = (mac: Uint8Array) => {
      const { read } = prepare(EvictControl, evict, EVICT_HANDLES, [by(withPassword())]);
      return refusal(() => read(answerOf(EMPTY, [[NEW_NONCE, 1, mac]])));
    };
    expect(answerWith(EMPTY)).toBe('nothing thrown');
    expect(answerWith(hashOf(SHA256))).toMatch('has a wrong HMAC');
  });

  it('the command has an HMAC if the session authorizes nothing, but the answer has none', () => {
    const s = withPassword({ audit: true });
    const { command: sentCommand, read } = prepare(EvictControl, evict, EVICT_HANDLES, [password, beside(s)]);
    const sent = readCommand(sentCommand, 2).auths[1];
    expect(sent?.hmac).toStrictEqual(evictHmac(s, SESSION_KEY, fromHex('70'.repeat(32)), 0x81));
    const mac = answerHmac(s.nonceCaller, EvictControl, EMPTY, SESSION_KEY, 0x81);
    const answerWith = (hmac: Uint8Array) =>
      answerOf(EMPTY, [
        [EMPTY, 1, EMPTY],
        [NEW_NONCE, 0x81, hmac],
      ]);
    expect(refusal(() => read(answerWith(mac)))).toMatch('has a wrong HMAC');
    expect(refusal(() => read(answerWith(EMPTY)))).toBe('nothing thrown');
  });

  it('the answer has an HMAC again once the policy is reset', () => {
    const s = withPassword({ audit: true });
    s.noteRun('EvictControl', true);
    const { read } = prepare(EvictControl, evict, EVICT_HANDLES, [password, beside(s)]);
    const entries = (hmac: Uint8Array): [Uint8Array, number, Uint8Array][] => [
      [EMPTY, 1, EMPTY],
      [NEW_NONCE, 0x81, hmac],
    ];
    expect(refusal(() => read(answerOf(EMPTY, entries(EMPTY))))).toMatch('has a wrong HMAC');
  });
});

describe('the response to TPM2_ObjectChangeAuth', () => {
  // Part 3, 12.8: the authorization value of the loaded object stays, so the answer is for the old one.
  it('is authenticated and encrypted with the old authorization value', () => {
    const s = session({ use: { ...USE, encrypt: true } });
    const args = { objectHandle: 1, parentHandle: 2, newAuth: fromHex('99') };
    const { read } = prepare(ObjectChangeAuth, args, EVICT_HANDLES, [by(s, { name: OBJECT_NAME, authValue: AUTH })]);
    const key = concat(SESSION_KEY, TRIMMED);
    const outPrivate = fromHex('0123456789');
    const parameters = concat(u16(5), encrypted(s, key, NEW_NONCE, s.nonceCaller, outPrivate));
    const mac = answerHmac(s.nonceCaller, ObjectChangeAuth, parameters, key, 0x41);
    expect(read(answerOf(parameters, [[NEW_NONCE, 0x41, mac]])).values).toStrictEqual({ outPrivate });
  });
});

describe('secrets', () => {
  const isWiped = (bytes: Uint8Array) => equal(bytes, new Uint8Array(bytes.length));

  it('that were keys are overwritten', () => {
    const ours = concat(SESSION_KEY, TRIMMED);
    sessionKey(SHA256, { salt: fromHex('5a'.repeat(32)), boundAuth: AUTH }, NEW_NONCE, NEW_NONCE);
    for (const symmetric of [
      { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const,
      { algorithm: TPM_ALG.XOR, keyBits: SHA256 } as const,
    ]) {
      const s = session({ symmetric, use: { ...USE, decrypt: true, encrypt: true } });
      const args = { activateHandle: 1, keyHandle: 2, credentialBlob: fromHex('0102'), secret: fromHex('03') };
      const { read } = prepare(ActivateCredential, args, EVICT_HANDLES, [by(s), password]);
      const parameters = fromHex('000107');
      const mac = answerHmac(s.nonceCaller, ActivateCredential, parameters, ours, 0x61);
      read(
        answerOf(parameters, [
          [NEW_NONCE, 0x61, mac],
          [EMPTY, 1, EMPTY],
        ]),
      );
    }
    expect(keys.length).toBeGreaterThan(10);
    expect(keys.every((key) => key.length > 0)).toBe(true);
    expect(keys.filter((key) => key !== ours && !isWiped(key)).map(toHex)).toEqual([]);
  });

  it.each<[string, AnyCommand['parameters'], Partial<SessionUse>, string]>([
    ['that was built', [], {}, 'nothing thrown'],
    [
      'of which the next argument does not fit',
      GetRandom.parameters,
      {},
      'codec: TPM2_StirRandom.bytesRequested.UINT16: ',
    ],
    ['for which the session has no cipher', [], { decrypt: true }, 'tpm-session: the session has no cipher'],
  ])('that were in the parameters of a command %s are overwritten', (_, more, use, expected) => {
    let memory = EMPTY;
    const [inData] = StirRandom.parameters;
    if (inData === undefined) throw new Error('TPM2_StirRandom has a parameter');
    const [key, codec] = inData;
    const noticed: AnyCommand = {
      ...StirRandom,
      parameters: [
        [
          key,
          {
            ...codec,
            write: (out, value) => {
              codec.write(out, value);
              memory = out.written;
            },
          },
        ],
        ...more,
      ],
    };
    const s = session({ symmetric: { algorithm: TPM_ALG.NULL }, use: { ...USE, ...use } });
    const args = { inData: fromHex('5a5a5a'), bytesRequested: -1 };
    expect(refusal(() => prepare(noticed, args, [], [beside(s)]).wipe())).toMatch(expected);
    expect([toHex(memory)]).toEqual(['0000000000']);
  });

  it('that were in a command are overwritten when that is wiped', () => {
    const { command: built, wipe } = prepare(EvictControl, evict, EVICT_HANDLES, [password]);
    expect(toHex(built)).toContain(toHex(AUTH));
    wipe();
    expect(isWiped(built)).toBe(true);
  });
});
