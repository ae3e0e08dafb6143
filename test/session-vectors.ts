import { constants, createHash, createPrivateKey, createPublicKey, diffieHellman, privateDecrypt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type Bytes, fromBase64Url, fromHex, toBase64Url, toHex, view } from '../src/bytes.ts';
import { type HashName, kdfe } from '../src/crypto/kdf.ts';
import { decode, expectEnd, Reader, readFields, Writer, writeFields } from '../src/tpm/codec/index.ts';
import type { AnyCommand, Command, HandleArg } from '../src/tpm/command.ts';
import * as commands from '../src/tpm/commands/index.ts';
import { StartAuthSession, type StartAuthSessionArgs } from '../src/tpm/commands/session.ts';
import { TPM_RH, TPM_SE } from '../src/tpm/constants.ts';
import { prepare, type ResolvedHandle } from '../src/tpm/exchange.ts';
import { isHashAlg } from '../src/tpm/names.ts';
import { Session, type SessionUse, sessionKey, trimAuthValue } from '../src/tpm/session.ts';
import { TPMS_ECC_POINT } from '../src/tpm/structures/algorithm.ts';
import { Tpm } from '../src/tpm/tpm.ts';

/** The command that tpm2-tss sent and the TPM's answer, in hexadecimal. */
interface Recorded {
  readonly command: string;
  readonly answer: string;
}

/** TPM2_StartAuthSession, with values that the command does not contain. */
interface StartVector extends Recorded {
  /** A name in {@link SessionVectors.saltKeys}. */
  readonly salt?: string;
  readonly bind?: { readonly handle: number; readonly name: string; readonly authValue: string };
}

/** A command in sessions, which are given as indices into {@link SessionCase.sessions}. */
interface ExchangeVector extends Recorded {
  readonly name: string;
  readonly handles: readonly {
    readonly handle: number;
    readonly name: string;
    readonly by?: number | 'password';
    readonly authValue?: string;
  }[];
  /** Sessions other than the authorizing ones. */
  readonly sessions: readonly number[];
  /** The attributes that are set in each session. */
  readonly uses: Readonly<Record<number, readonly (keyof SessionUse)[]>>;
  /** Before encryption and after decryption. */
  readonly parameters: string;
  readonly result: string;
}

/** Some tpm2-tss sessions and their uses. */
export interface SessionCase {
  readonly description: string;
  readonly sessions: readonly StartVector[];
  readonly exchanges: readonly ExchangeVector[];
}

/** The output of `test/integration/children/tss_sessions.py`. */
export interface SessionVectors {
  readonly source: string;
  /** Private keys in PKCS #8, by name. */
  readonly saltKeys: Readonly<Record<string, string>>;
  readonly cases: readonly SessionCase[];
}

/** The vectors in the repository. */
export const vectors: SessionVectors = JSON.parse(
  readFileSync(new URL('vectors/sessions.json', import.meta.url), 'utf8'),
);

const COMMANDS: Readonly<Record<string, AnyCommand | undefined>> = commands;

/**
 * Repeats the exchanges of a case with keyprov's `Tpm` and `Session`, which get the secrets and nonces of tpm2-tss. Every command
 * must be identical, byte for byte (but see {@link isEmptyAndEncrypted}), and every answer must be accepted with the same values.
 * @param alter changes an answer before it is read.
 */
export async function replay(
  vector: SessionCase,
  saltKeys: SessionVectors['saltKeys'],
  alter: (answer: Bytes) => Bytes = (answer) => answer,
): Promise<void> {
  let current: ExchangeVector | undefined;
  const tpm = await Tpm.open({
    ...{ kind: 'swtpm', address: 'recorded', emulator: true, managed: true },
    send: async (command) => {
      if (current !== undefined && !isEmptyAndEncrypted(current)) expect(toHex(command)).toBe(expectedCommand(current));
      return alter(fromHex(current?.answer ?? ''));
    },
    close: async () => {},
  });
  const nonces = new Map<number, Bytes>();
  const sessions = vector.sessions.map((start) => restore(start, saltKeys, nonces));
  const session = (at: number): Session => sessions[at] ?? expect.fail(`there is no session ${at}`);

  for (const exchange of vector.exchanges) {
    current = exchange;
    const command = COMMANDS[exchange.name] ?? expect.fail(`we have no command ${exchange.name}`);
    readNonces(exchange, nonces);
    for (const [at, uses] of Object.entries(exchange.uses)) session(Number(at)).use = makeUse(uses);
    const args: Record<string, unknown> = {};
    command.handles.forEach(([key], i) => {
      args[key] = handleArg(exchange.handles[i] ?? expect.fail('a handle is missing'), session);
    });
    const parameters = new Reader(fromHex(exchange.parameters));
    readFields(parameters, command.parameters, args);
    expectEnd(parameters, exchange.name);

    // The command's own codecs made these arguments.
    const untyped = command as unknown as Command<object, object>;
    const result = await tpm.run(untyped, args, { sessions: exchange.sessions.map(session) });

    const written = new Writer();
    writeFields(written, command.answer, result);
    expect(toHex(written.written)).toBe(exchange.result);
    // This `Tpm` did not start the sessions, so it does not know them by their handles.
    sessions.find(({ sessionHandle }) => sessionHandle === exchange.handles[0]?.handle)?.noteRun(exchange.name, false);
    for (const [at, uses] of Object.entries(exchange.uses)) {
      expect(session(Number(at)).ended).toBe(!uses.includes('continueSession'));
    }
  }
}

/** tpm2-tss also encrypts an empty first parameter. keyprov does not, because some TPMs refuse it. */
const isEmptyAndEncrypted = ({ parameters, uses }: ExchangeVector): boolean =>
  parameters.startsWith('0000') && Object.values(uses).some((use) => use.includes('decrypt'));

/** keyprov sets continueSession for a password and tpm2-tss does not; it has no effect. Part 1, 19.4. */
function expectedCommand({ command, handles }: ExchangeVector): string {
  const bytes = fromHex(command);
  if (handles[0]?.by === 'password') bytes[10 + 4 * handles.length + 4 + 6] = 1;
  return toHex(bytes);
}

function handleArg(
  { handle, name, by, authValue = '' }: ExchangeVector['handles'][number],
  session: (at: number) => Session,
): HandleArg {
  const entity = { handle, name: fromHex(name) };
  if (by === undefined) return entity;
  const value = fromHex(authValue);
  return { ...entity, auth: by === 'password' ? value : { session: session(by), authValue: value } };
}

const makeUse = (uses: readonly (keyof SessionUse)[]): SessionUse => ({
  continueSession: uses.includes('continueSession'),
  decrypt: uses.includes('decrypt'),
  encrypt: uses.includes('encrypt'),
  audit: uses.includes('audit'),
  auditExclusive: uses.includes('auditExclusive'),
  auditReset: uses.includes('auditReset'),
});

/** Extracts the caller's nonces from a command's authorization area, by session handle. */
function readNonces({ command, handles }: ExchangeVector, nonces: Map<number, Bytes>): void {
  const input = new Reader(fromHex(command));
  if (input.uint(2, 'tag') === 0x8001) return;
  input.position = 10 + 4 * handles.length;
  for (const end = input.uint(4, 'authorizationSize') + input.position; input.position < end; ) {
    const handle = input.uint(4, 'sessionHandle');
    nonces.set(handle, input.take(input.uint(2, 'nonceCaller'), 'nonceCaller'));
    input.uint(1, 'sessionAttributes');
    input.take(input.uint(2, 'hmac'), 'hmac');
  }
}

/**
 * If there is no key, keyprov's HMACs are empty, which is allowed. tpm2-tss 3.2.1 computes them with an empty key, which for HMAC
 * is the same as a single zero.
 */
class TssSession extends Session {
  override hmacKey(authValue: Uint8Array): Bytes {
    const key = super.hmacKey(authValue);
    return key.length === 0 ? new Uint8Array(1) : key;
  }
}

/** A keyprov session in the state of a session that tpm2-tss has just started. */
function restore(
  { command, answer, salt, bind }: StartVector,
  saltKeys: SessionVectors['saltKeys'],
  nonces: ReadonlyMap<number, Bytes>,
): Session {
  const input = new Reader(fromHex(command));
  input.position = 10;
  const handles: ResolvedHandle[] = ['tpmKey', 'bind'].map((key) => ({
    handle: input.uint(4, key),
    name: new Uint8Array(0),
  }));
  expect(handles[0]?.handle === TPM_RH.NULL).toBe(salt === undefined);
  expect(handles[1]?.handle).toBe(bind?.handle ?? TPM_RH.NULL);
  const args: Record<string, unknown> = {};
  readFields(input, StartAuthSession.parameters, args);
  const start = prepare(StartAuthSession, args, handles, []);
  expect(toHex(start.command)).toBe(command);
  const { handle = 0, values } = start.read(fromHex(answer));

  // The command's codecs have read both.
  const { nonceCaller, encryptedSalt, sessionType, symmetric, authHash } = args as unknown as StartAuthSessionArgs;
  const { nonceTPM } = values as { nonceTPM: Bytes };
  if (!isHashAlg(authHash)) return expect.fail('we do not compute that hash');
  const boundAuth = bind && fromHex(bind.authValue);
  const decrypted = salt === undefined ? undefined : decryptSalt(saltKeys[salt] ?? '', view(encryptedSalt));
  return new TssSession({
    sessionHandle: handle,
    type: sessionType === TPM_SE.HMAC ? 'hmac' : 'policy',
    authHash,
    symmetric,
    nonceCaller: view(nonceCaller),
    nonceTPM,
    sessionKey: sessionKey(authHash, { salt: decrypted, boundAuth }, nonceTPM, nonceCaller),
    ...(bind && { bound: { name: fromHex(bind.name), authValue: view(trimAuthValue(fromHex(bind.authValue))) } }),
    use: makeUse([]),
    close: async () => {},
    randomBytes: () => nonces.get(handle) ?? expect.fail('a nonce is missing'),
  });
}

/** Name algorithms of the salt keys; the RSA key's is SHA-256. */
const NAME_ALGS: Readonly<Record<string, HashName>> = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' };

/** The TPM's private-key operation. Part 1, B.10.2 (RSA) and C.6.1 (ECC). */
function decryptSalt(pkcs8: string, encrypted: Bytes): Bytes {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, 'hex'), format: 'der', type: 'pkcs8' });
  if (key.asymmetricKeyType === 'rsa') {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const label = Buffer.from('SECRET\0');
    return view(privateDecrypt({ key, padding, oaepHash: 'sha256', oaepLabel: label }, encrypted));
  }
  const { crv = '', x = '' } = createPublicKey(key).export({ format: 'jwk' });
  const point = decode(TPMS_ECC_POINT, encrypted);
  const ephemeral = { kty: 'EC', crv, x: toBase64Url(point.x), y: toBase64Url(point.y) };
  const publicKey = createPublicKey({ key: ephemeral, format: 'jwk' });
  const z = view(diffieHellman({ privateKey: key, publicKey }));
  const hash = NAME_ALGS[crv] ?? expect.fail(`no salt is for ${crv}`);
  return kdfe(hash, z, 'SECRET', point.x, fromBase64Url(x), createHash(hash).digest().length * 8);
}
