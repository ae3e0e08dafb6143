import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { type Bytes, concat, fromHex, utf8 } from '../../../src/bytes.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_RH } from '../../../src/tpm/constants.ts';
import type { AuthEntry } from '../../../src/tpm/exchange.ts';
import { handleName } from '../../../src/tpm/names.ts';
import { Session, type SessionState, type SessionUse } from '../../../src/tpm/session.ts';

/*
 * The formulas of Part 1, implemented again with only node:crypto: command HMAC 19.6.5, response
 * HMAC 19.6.6, cpHash 18.7, rpHash 18.8, parameter encryption 21, KDFa 11.4.10.2.
 */
export const u16 = (n: number) => new Uint8Array([n >>> 8, n & 255]);
export const u32 = (n: number) => handleName(n);
export const hashOf = (alg: HashAlg, ...parts: Uint8Array[]) =>
  new Uint8Array(
    createHash(HASHES[alg].name)
      .update(concat(...parts))
      .digest(),
  );
export const hmacOf = (alg: HashAlg, key: Uint8Array, ...parts: Uint8Array[]) =>
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

export function encrypted(
  session: Session,
  secret: Uint8Array,
  newer: Uint8Array,
  older: Uint8Array,
  plain: Uint8Array,
) {
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

export const SESSION_KEY = fromHex('a5'.repeat(32));
export const AUTH = fromHex('3132330000');
export const TRIMMED = fromHex('313233');
export const OWNER = { name: handleName(TPM_RH.OWNER), authValue: AUTH };

export const USE: SessionUse = {
  continueSession: true,
  decrypt: false,
  encrypt: false,
  audit: false,
  auditExclusive: false,
  auditReset: false,
};

/** The state of a session after TPM2_StartAuthSession. */
export function session(state: Partial<SessionState> = {}): Session {
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

/** Each session's entry in a command's authorization area, and the parameters after it. */
export function readCommand(bytes: Uint8Array, handles: number) {
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

/** A TPM answer: parameters, then nonce, attributes and HMAC for each session. */
export function answerOf(
  parameters: Uint8Array,
  auths: readonly [nonce: Uint8Array, attributes: number, hmac: Uint8Array][],
) {
  const area = auths.map(([nonce, attributes, hmac]) =>
    concat(u16(nonce.length), nonce, new Uint8Array([attributes]), u16(hmac.length), hmac),
  );
  const body = concat(u32(parameters.length), parameters, ...area);
  return concat(u16(0x8002), u32(10 + body.length), u32(0), body);
}

export const evict = { auth: TPM_RH.OWNER, objectHandle: 0x80000001, persistentHandle: 0x81000005 };
export const OBJECT_NAME = fromHex(`000b${'11'.repeat(32)}`);
export const EVICT_HANDLES = [
  { handle: TPM_RH.OWNER, name: OWNER.name },
  { handle: 0x80000001, name: OBJECT_NAME },
];
export const OWNER_ONLY = [{ handle: TPM_RH.OWNER, name: OWNER.name }];

export type SessionEntry = Extract<AuthEntry, { kind: 'session' }>;
export const by = (authorizing: Session, entity = OWNER): SessionEntry => ({
  kind: 'session',
  session: authorizing,
  entity,
});
export const beside = (other: Session): SessionEntry => ({ kind: 'session', session: other });

/** The HMAC of the EvictControl command that `s` authorizes, with that key. */
export const evictHmac = (s: Session, key: Uint8Array, nonceTPM: Uint8Array, attributes = 1): Uint8Array => {
  const cpHash = hashOf(s.authHash, u32(0x120), OWNER.name, OBJECT_NAME, u32(0x81000005));
  return hmacOf(s.authHash, key, cpHash, s.nonceCaller, nonceTPM, new Uint8Array([attributes]));
};
