import { type Bytes, equal, uint16At, uint32, uint32At, wipe } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { altered } from './check-values.ts';
import {
  type Codec,
  CodecError,
  expectEnd,
  Reader,
  readFields,
  Writer,
  withinField,
  writeFields,
} from './codec/index.ts';
import type { AnyCommand } from './command.ts';
import { HASHES, TPM_RH, TPM_ST } from './constants.ts';
import { HEADER_SIZE } from './frame.ts';
import { type Session, type SessionUse, sessionBits } from './session.ts';
import { TPM_RC } from './tpm-rc.ts';

/** A handle of a command, resolved: what goes on the wire and what authorization needs. */
export interface ResolvedHandle {
  readonly handle: number;
  /** The entity's Name; only needed when a session takes part. */
  readonly name: Uint8Array;
}

/** One entry of the authorization area. */
export type AuthEntry =
  | { readonly kind: 'password'; readonly authValue: Uint8Array }
  | {
      readonly kind: 'session';
      readonly session: Session;
      /** The entity that the session authorizes; absent for a session that only audits or encrypts. */
      readonly entity?: { readonly name: Uint8Array; readonly authValue: Uint8Array };
    };

/** What an answer holds, checked and decrypted. */
export interface Answer {
  readonly handle: number | undefined;
  readonly values: Record<string, unknown>;
}

/** A command that is ready to be sent. */
export interface Exchange {
  /** The whole command; wipe it with {@link Exchange.wipe} once it was answered. */
  readonly command: Bytes;
  /**
   * Checks and reads a successful answer. Nothing of it is used before every session's HMAC was checked.
   * @throws KeyprovError `tpm-session` for an answer that was altered, `codec` for one that cannot be read.
   */
  readonly read: (answer: Bytes) => Answer;
  readonly wipe: () => void;
}

/** What a session did in the command, as the TPM goes by it in the answer; `undefined` for a password. */
type SentAuth =
  | {
      readonly use: SessionUse;
      readonly hasHmac: boolean;
      /** The key of the HMAC had the authorization value in it, and in the answer it has the one of then. */
      readonly keyHasAuth: boolean;
    }
  | undefined;

const EMPTY = new Uint8Array(0);
const PASSWORD_USE = 0x01;

/**
 * Builds a command (Part 1, 18): header, handles, authorization area, parameters.
 * The caller's nonces of all sessions are drawn here, so the command must be sent before the next one is built.
 * @throws CodecError when an argument does not fit its structure.
 */
export function prepare(
  command: AnyCommand,
  args: object,
  handles: readonly ResolvedHandle[],
  auths: readonly AuthEntry[],
): Exchange {
  const parameters = new Writer();
  try {
    writeFields(parameters, command.parameters, args);
  } catch (error) {
    parameters.wipe();
    throw withinField(error, `TPM2_${command.name}`);
  }
  for (const auth of auths) if (auth.kind === 'session') auth.session.rollCaller();
  const decryptor = auths.find((auth) => auth.kind === 'session' && auth.session.use.decrypt);
  if (decryptor?.kind === 'session') {
    cryptFirst('command', parameters.written, command.parameters[0]?.[1], decryptor, command.name);
  }

  const out = new Writer();
  const tagged = auths.length > 0;
  const sent: SentAuth[] = [];
  out.uint(2, tagged ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS);
  out.uint(4, 0);
  out.uint(4, command.code);
  for (const { handle } of handles) out.uint(4, handle);
  if (tagged) {
    const at = out.length;
    out.uint(4, 0);
    for (let i = 0; i < auths.length; i++) sent.push(writeAuth(out, command, handles, auths, i, parameters.written));
    out.patch(at, 4, out.length - at - 4);
  }
  out.raw(parameters.written);
  out.patch(2, 4, out.length);
  parameters.wipe();
  return {
    command: out.written,
    read: (answer) => readAnswer(command, args, auths, sent, answer),
    wipe: () => out.wipe(),
  };
}

function writeAuth(
  out: Writer,
  command: AnyCommand,
  handles: readonly ResolvedHandle[],
  auths: readonly AuthEntry[],
  index: number,
  parameters: Uint8Array,
): SentAuth {
  const auth = auths[index] as AuthEntry;
  if (auth.kind === 'password') {
    out.uint(4, TPM_RH.PW);
    out.uint(2, 0);
    out.uint(1, PASSWORD_USE);
    out.uint(2, auth.authValue.length);
    out.raw(auth.authValue);
    return undefined;
  }
  const { session, entity } = auth;
  const use = sessionBits(session.use);
  out.uint(4, session.sessionHandle);
  out.uint(2, session.nonceCaller.length);
  out.raw(session.nonceCaller);
  out.uint(1, use);
  if (session.needsPassword && entity !== undefined) {
    out.uint(2, entity.authValue.length);
    out.raw(entity.authValue);
    return { use: session.use, hasHmac: false, keyHasAuth: false };
  }
  const keyHasAuth = entity !== undefined && session.keyHasAuth(entity);
  const key = session.hmacKey(keyHasAuth ? entity.authValue : EMPTY);
  try {
    if (key.length === 0) {
      out.uint(2, 0);
      return { use: session.use, hasHmac: false, keyHasAuth };
    }
    const cpHash = digest(
      HASHES[session.authHash].name,
      uint32(command.code),
      ...handles.map(({ name }) => name),
      parameters,
    );
    const mac = session.hmac(
      key,
      cpHash,
      session.nonceCaller,
      session.nonceTPM,
      ...otherNonces(auths, index),
      new Uint8Array([use]),
    );
    out.uint(2, mac.length);
    out.raw(mac);
    return { use: session.use, hasHmac: true, keyHasAuth };
  } finally {
    wipe(key);
  }
}

/**
 * The nonces of the sessions that encrypt, which the HMAC of the first session covers too when that one authorizes
 * something, so that nobody can take them away. Part 1, 19.6.5.
 */
function otherNonces(auths: readonly AuthEntry[], index: number): Bytes[] {
  const first = auths[0];
  if (index !== 0 || first?.kind !== 'session' || first.entity === undefined) return [];
  const find = (flag: 'decrypt' | 'encrypt') =>
    auths.findIndex((auth) => auth.kind === 'session' && auth.session.use[flag]);
  const decrypt = find('decrypt');
  const encrypt = find('encrypt');
  const nonces: Bytes[] = [];
  for (const at of encrypt === decrypt ? [decrypt] : [decrypt, encrypt]) {
    const other = auths[at];
    if (at > 0 && other?.kind === 'session') nonces.push(other.session.nonceTPM);
  }
  return nonces;
}

function readAnswer(
  command: AnyCommand,
  args: object,
  auths: readonly AuthEntry[],
  sent: readonly SentAuth[],
  answer: Bytes,
): Answer {
  const where = `the answer to TPM2_${command.name}`;
  const input = new Reader(answer);
  const tag = input.uint(2, 'tag');
  input.position = HEADER_SIZE;
  const code = uint32At(answer, 6);
  if (code !== TPM_RC.SUCCESS) throw altered(`${where} has the response code 0x${code.toString(16)} and a body`);
  if (tag !== (auths.length > 0 ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS)) {
    throw altered(`${where} has the tag 0x${tag.toString(16)}`);
  }
  const handle = command.answerHandle === undefined ? undefined : input.uint(4, command.answerHandle[0]);
  let end = input.end;
  if (auths.length > 0) {
    const size = input.uint(4, 'parameterSize');
    if (size > input.left) throw new CodecError(where, `${size} bytes of parameters announced, ${input.left} left`);
    end = input.position + size;
  }
  const from = input.position;
  const parameters = answer.subarray(from, end);
  input.position = end;
  for (let i = 0; i < auths.length; i++)
    readAuth(input, command, args, auths[i] as AuthEntry, sent[i], parameters, where);
  expectEnd(input, where);

  const encryptor = sent.findIndex((auth) => auth?.use.encrypt);
  const auth = auths[encryptor];
  if (auth?.kind === 'session') cryptFirst('answer', parameters, command.answer[0]?.[1], auth, command.name);
  const values: Record<string, unknown> = {};
  const body = new Reader(parameters);
  try {
    readFields(body, command.answer, values);
    expectEnd(body, 'parameters');
  } catch (error) {
    throw withinField(error, `TPM2_${command.name} answer`);
  }
  return { handle, values };
}

function readAuth(
  input: Reader,
  command: AnyCommand,
  args: object,
  auth: AuthEntry,
  sent: SentAuth,
  parameters: Uint8Array,
  where: string,
): void {
  const nonceTPM = input.take(input.uint(2, 'nonceTPM'), 'nonceTPM');
  const attributes = input.uint(1, 'sessionAttributes');
  const mac = input.take(input.uint(2, 'hmac'), 'hmac');
  if (auth.kind === 'password' || sent === undefined) {
    // A password protects nothing, so here is nothing but what the TPM always answers.
    if (nonceTPM.length + mac.length > 0 || attributes !== PASSWORD_USE) {
      throw altered(`${where} has no password where it was`);
    }
    return;
  }
  const { session } = auth;
  session.rollTPM(nonceTPM);
  const key = session.hmacKey(sent.keyHasAuth ? authAfter(command, args, auth) : EMPTY);
  try {
    // Where the command had no HMAC the answer has one only if there is a key now; without a key it protects nothing.
    const isPassword = session.needsPassword && auth.entity !== undefined;
    const expected =
      isPassword || (!sent.hasHmac && key.length === 0)
        ? EMPTY
        : session.hmac(
            key,
            digest(HASHES[session.authHash].name, uint32(0), uint32(command.code), parameters),
            nonceTPM,
            session.nonceCaller,
            new Uint8Array([attributes]),
          );
    if (!equal(expected, mac)) throw altered(`${where} has a wrong HMAC`);
  } finally {
    wipe(key);
  }
  if (sent.use.audit) session.unbind();
  if ((attributes & 0x01) === 0) session.ended = true;
}

/** The authorization value that the entity has after the command. */
function authAfter(command: AnyCommand, args: object, { entity }: AuthEntry & { kind: 'session' }): Uint8Array {
  return command.changesAuth?.(args as never) ?? entity?.authValue ?? EMPTY;
}

function cryptFirst(
  direction: 'command' | 'answer',
  parameters: Bytes,
  codec: Codec<unknown> | undefined,
  auth: AuthEntry & { kind: 'session' },
  name: string,
): void {
  const { shape } = codec ?? { shape: undefined };
  const isSized = shape?.kind === 'sized' || (shape?.kind === 'bytes' && shape.lengthSize === 2);
  if (!isSized) {
    throw new KeyprovError('tpm-session', `TPM2_${name}: the first parameter of the ${direction} cannot be encrypted`, {
      remedy: `use the session without ${direction === 'command' ? 'decrypt' : 'encrypt'} in this command`,
    });
  }
  const size = uint16At(parameters, 0);
  if (parameters.length < 2 + size) throw new CodecError(name, 'the encrypted parameter is cut off');
  auth.session.crypt(direction, parameters.subarray(2, 2 + size), auth.entity?.authValue);
}
