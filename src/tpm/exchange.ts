import { type Bytes, byteCount, EMPTY, equal, uint16At, uint32, uint32At, wipe } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { altered } from './check-values.ts';
import {
  CodecError,
  expectEnd,
  Reader,
  readFields,
  Writer,
  withinField,
  withWriter,
  writeFields,
} from './codec/index.ts';
import type { AnyCommand } from './command.ts';
import { HASHES, TPM_RH, TPM_ST } from './constants.ts';
import { HEADER_SIZE } from './frame.ts';
import { type Session, type SessionUse, sessionBits } from './session.ts';
import { TPM_RC } from './tpm-rc.ts';

/** A resolved handle of a command: its number on the wire, and its Name. */
export interface ResolvedHandle {
  readonly handle: number;
  /** The entity's Name; needed only if a session takes part. */
  readonly name: Uint8Array;
}

interface SessionEntry {
  readonly kind: 'session';
  readonly session: Session;
  /** The entity that the session authorizes; absent for a session that only audits or encrypts. */
  readonly entity?: { readonly name: Uint8Array; readonly authValue: Uint8Array };
}

export type AuthEntry = SessionEntry | { readonly kind: 'password'; readonly authValue: Uint8Array };

/** The contents of a response, checked and decrypted. */
export interface Answer {
  readonly handle: number | undefined;
  readonly values: Record<string, unknown>;
}

export interface Exchange {
  /** The whole command; wipe it with {@link Exchange.wipe} once it is answered. */
  readonly command: Bytes;
  /**
   * Checks and reads a successful response. Uses nothing of it before every session's HMAC is checked.
   * @throws KeyprovError `tpm-session` for an altered response, `codec` for an unreadable one.
   */
  readonly read: (answer: Bytes) => Answer;
  readonly wipe: () => void;
}

/** What a session did in the command, as the TPM expects it for the response; `undefined` for a password. */
type SentAuth =
  | {
      readonly session: Session;
      readonly use: SessionUse;
      /** TPM2_PolicyPassword was run on the session: the response has no HMAC, whatever the command had. */
      readonly isPassword?: boolean;
      readonly hasHmac?: true;
      /** The authorization value in the HMAC key; for the response, the value after the command. */
      readonly keyAuth?: Uint8Array | undefined;
    }
  | undefined;

const PASSWORD_USE = 0x01;

/**
 * Builds a command (Part 1, 18): header, handles, authorization area, parameters.
 * Draws the caller's nonces of all sessions, so the command must be sent before the next one is built.
 * @throws CodecError if an argument does not fit its structure.
 */
export function prepare(
  command: AnyCommand,
  args: object,
  handles: readonly ResolvedHandle[],
  auths: readonly AuthEntry[],
): Exchange {
  const sessions = auths.map((auth) => (auth.kind === 'session' ? auth : undefined));
  const wanted = sessions.find((auth) => auth?.session.use.decrypt);
  const encryptor = sessions.find((auth) => auth?.session.use.encrypt);
  if (wanted !== undefined) checkFirst(command, 'command', command.parameters);
  if (encryptor !== undefined) checkFirst(command, 'answer', command.answer);
  const out = new Writer();
  const sent: SentAuth[] = [];
  try {
    withWriter((parameters) => {
      writeFields(parameters, command.parameters, args);
      // An empty parameter hides nothing, and the reference code of V184 refuses to decrypt one. Other TPMs refuse a
      // session that does nothing at all.
      const isNeedless = wanted !== undefined && hasOtherUse(wanted) && uint16At(parameters.written, 0) === 0;
      const decryptor = isNeedless ? undefined : wanted;
      for (const auth of sessions) auth?.session.rollCaller();
      cryptFirst('command', parameters.written, decryptor);

      const tagged = auths.length > 0;
      out.uint(2, tagged ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS);
      out.uint(4, 0);
      out.uint(4, command.code);
      for (const { handle } of handles) out.uint(4, handle);
      if (tagged) {
        const at = out.length;
        out.uint(4, 0);
        // Nobody can remove the sessions that encrypt: the first HMAC covers their nonces too. Part 1, 19.6.5.
        const nonces = [...new Set([decryptor, encryptor])].flatMap((auth) =>
          auth === undefined || auth === auths[0] ? [] : [auth.session.nonceTPM],
        );
        for (const [i, auth] of auths.entries()) {
          const otherNonces = i === 0 ? nonces : [];
          sent.push(writeAuth(out, command, handles, { auth, isNeedless }, otherNonces, parameters.written));
        }
        out.patch(at, 4, out.length - at - 4);
      }
      out.raw(parameters.written);
      out.patch(2, 4, out.length);
    });
  } catch (error) {
    throw withinField(error, `TPM2_${command.name}`);
  }
  return {
    command: out.written,
    read: (answer) => readAnswer(command, args, sent, encryptor, answer),
    wipe: () => out.wipe(),
  };
}

function writeAuth(
  out: Writer,
  command: AnyCommand,
  handles: readonly ResolvedHandle[],
  { auth, isNeedless }: { readonly auth: AuthEntry; readonly isNeedless: boolean },
  otherNonces: readonly Bytes[],
  parameters: Uint8Array,
): SentAuth {
  if (auth.kind === 'password') {
    out.uint(4, TPM_RH.PW);
    out.uint(2, 0);
    out.uint(1, PASSWORD_USE);
    out.uint(2, auth.authValue.length);
    out.raw(auth.authValue);
    return undefined;
  }
  const { session, entity } = auth;
  const use = sessionBits({ ...session.use, decrypt: session.use.decrypt && !isNeedless });
  out.uint(4, session.sessionHandle);
  out.uint(2, session.nonceCaller.length);
  out.raw(session.nonceCaller);
  out.uint(1, use);
  if (session.needsPassword && entity !== undefined) {
    out.uint(2, entity.authValue.length);
    out.raw(entity.authValue);
    return { session, use: session.use, isPassword: true };
  }
  const keyAuth = entity !== undefined && session.keyHasAuth(entity) ? entity.authValue : undefined;
  const key = session.hmacKey(keyAuth ?? EMPTY);
  try {
    if (key.length === 0) {
      out.uint(2, 0);
      return { session, use: session.use, keyAuth };
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
      ...(entity === undefined ? [] : otherNonces),
      new Uint8Array([use]),
    );
    out.uint(2, mac.length);
    out.raw(mac);
    // The TPM leaves the HMAC of the response out even if the session authorizes nothing.
    return { session, use: session.use, isPassword: session.needsPassword, hasHmac: true, keyAuth };
  } finally {
    wipe(key);
  }
}

function readAnswer(
  command: AnyCommand,
  args: object,
  sent: readonly SentAuth[],
  encryptor: SessionEntry | undefined,
  answer: Bytes,
): Answer {
  const where = `the response to TPM2_${command.name}`;
  const input = new Reader(answer);
  input.position = HEADER_SIZE;
  const tag = uint16At(answer, 0);
  const code = uint32At(answer, 6);
  if (code !== TPM_RC.SUCCESS) throw altered(`${where} has a body despite its error code 0x${code.toString(16)}`);
  if (tag !== (sent.length > 0 ? TPM_ST.SESSIONS : TPM_ST.NO_SESSIONS)) {
    throw altered(`${where} has the wrong tag 0x${tag.toString(16)}`);
  }
  const handle = command.answerHandle === undefined ? undefined : input.uint(4, command.answerHandle[0]);
  let end = input.end;
  if (sent.length > 0) {
    const size = input.uint(4, 'parameterSize');
    if (size > input.left)
      throw new CodecError(where, `${byteCount(size)} of parameters announced, but ${input.left} left`);
    end = input.position + size;
  }
  const from = input.position;
  const parameters = answer.subarray(from, end);
  input.position = end;
  for (const auth of sent) readAuth(input, command, args, auth, parameters, where);
  expectEnd(input, where);

  cryptFirst('answer', parameters, encryptor);
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
  sent: SentAuth,
  parameters: Uint8Array,
  where: string,
): void {
  const nonceTPM = input.take(input.uint(2, 'nonceTPM'), 'nonceTPM');
  const attributes = input.uint(1, 'sessionAttributes');
  const mac = input.take(input.uint(2, 'hmac'), 'hmac');
  if (sent === undefined) {
    // A password protects nothing, so its entry must be the one that every TPM answers.
    if (nonceTPM.length + mac.length > 0 || attributes !== PASSWORD_USE) {
      throw altered(`${where} has a wrong authorization for the password session`);
    }
    return;
  }
  const { session, use, isPassword, hasHmac, keyAuth } = sent;
  session.rollTPM(nonceTPM);
  const key = session.hmacKey(keyAuth === undefined ? EMPTY : (command.changesAuth?.(args as never) ?? keyAuth));
  try {
    // If the command had no HMAC, the response has one only if there is a key now; without a key it protects nothing.
    const expected =
      isPassword || (!hasHmac && key.length === 0)
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
  if (use.audit) session.unbind();
  if ((attributes & 0x01) === 0) session.ended = true;
}

/**
 * @throws KeyprovError `tpm-session` if a session cannot encrypt the first parameter: it must begin with a UINT16 size.
 */
function checkFirst({ name }: AnyCommand, direction: 'command' | 'answer', parameters: AnyCommand['answer']): void {
  const shape = parameters[0]?.[1].shape;
  if (shape?.kind === 'sized' || (shape?.kind === 'bytes' && shape.lengthSize === 2)) return;
  const [what, use] = direction === 'command' ? ['command', 'decrypt'] : ['response', 'encrypt'];
  throw new KeyprovError('tpm-session', `TPM2_${name}: the first parameter of the ${what} cannot be encrypted`, {
    remedy: `clear the session's ${use} attribute for this command`,
  });
}

function hasOtherUse({ session: { use }, entity }: SessionEntry): boolean {
  return entity !== undefined || use.encrypt || use.audit;
}

/** Encrypts the first parameter of a command with `auth`, or decrypts that of a response, in place. */
function cryptFirst(direction: 'command' | 'answer', parameters: Bytes, auth: SessionEntry | undefined): void {
  auth?.session.crypt(direction, parameters.subarray(2, 2 + uint16At(parameters, 0)), auth.entity?.authValue);
}
