// Client CPU of one command in a kept salted session with an encrypted answer, beside the plain one and beside what
// node:crypto alone needs for the same hashes, HMACs and ciphers. The TPM is a transport that answers at once, so that
// only our own work is measured.
import { createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { concat, copy, view } from '../src/bytes.ts';
import { hmac, kdfa } from '../src/crypto/kdf.ts';
import { GetRandom } from '../src/tpm/commands/random.ts';
import { TPM_ALG } from '../src/tpm/constants.ts';
import { Session } from '../src/tpm/session.ts';
import { Tpm } from '../src/tpm/tpm.ts';
import type { TpmTransport } from '../src/tpm/transport.ts';
import { measure } from './measure.ts';

const SIZE = 32;
const sessionKey = view(randomBytes(SIZE));
const nonceTPM = view(randomBytes(SIZE));
const cpHashInput = randomBytes(12);
const PLAIN = concat(new Uint8Array([0x80, 1, 0, 0, 0, 12 + SIZE, 0, 0, 0, 0, 0, SIZE]), new Uint8Array(SIZE));

/** The session's own end of the exchange: what a TPM would answer to the command, computed with the same key. */
function answerWithSession(command: Uint8Array): Uint8Array {
  const nonceCaller = command.subarray(20, 20 + SIZE);
  const parameters = concat(new Uint8Array([0, SIZE]), new Uint8Array(SIZE));
  const rpHash = createHash('sha256')
    .update(new Uint8Array(4))
    .update(new Uint8Array([0, 0, 1, 0x7b]))
    .update(parameters)
    .digest();
  const mac = hmac('sha256', sessionKey, rpHash, nonceTPM, nonceCaller, new Uint8Array([0x41]));
  const auth = concat(new Uint8Array([0, SIZE]), nonceTPM, new Uint8Array([0x41, 0, SIZE]), mac);
  const size = 14 + parameters.length + auth.length;
  return concat(
    new Uint8Array([0x80, 2, 0, 0, 0, size, 0, 0, 0, 0]),
    new Uint8Array([0, 0, 0, parameters.length]),
    parameters,
    auth,
  );
}

const transport: TpmTransport = {
  kind: 'libtpms',
  address: 'a TPM that costs nothing',
  emulator: true,
  managed: true,
  send: async (command) => (command[1] === 1 ? copy(PLAIN) : copy(answerWithSession(command))),
  close: async () => {},
};

const tpm = await Tpm.open(transport);
const session = new Session({
  sessionHandle: 0x02000000,
  type: 'hmac',
  authHash: TPM_ALG.SHA256,
  symmetric: { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB },
  nonceCaller: copy(nonceTPM),
  nonceTPM,
  sessionKey: copy(sessionKey),
  use: { continueSession: true, encrypt: true, decrypt: false, audit: false, auditExclusive: false, auditReset: false },
  close: async () => {},
});

/** What the standard asks for, with node:crypto and nothing else: nonce, cpHash, HMAC, rpHash, HMAC, KDFa, CFB. */
function cryptoAlone(): void {
  const nonceCaller = randomBytes(SIZE);
  const cpHash = createHash('sha256').update(cpHashInput).digest();
  createHmac('sha256', sessionKey).update(cpHash).update(nonceCaller).update(nonceTPM).update('\x41').digest();
  const rpHash = createHash('sha256').update(cpHashInput).update(PLAIN).digest();
  createHmac('sha256', sessionKey).update(rpHash).update(nonceTPM).update(nonceCaller).update('\x41').digest();
  const key = kdfa('sha256', sessionKey, 'CFB', nonceTPM, nonceCaller, 256);
  createDecipheriv('aes-128-cfb', key.subarray(0, 16), key.subarray(16)).update(rpHash);
}

await measure('TPM2_GetRandom against a TPM that costs nothing; subtract the first row from the next two', {
  'the answer that the bench makes': () => answerWithSession(concat(new Uint8Array(20), nonceTPM)),
  'node:crypto alone (and the answer made by the bench)': () => {
    cryptoAlone();
    answerWithSession(concat(new Uint8Array(20), nonceTPM));
  },
  'salted session, encrypted answer': () => tpm.run(GetRandom, { bytesRequested: SIZE }, { sessions: [session] }),
  'no session': () => tpm.run(GetRandom, { bytesRequested: SIZE }),
});
