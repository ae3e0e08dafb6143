import { EMPTY, isBytes } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { entityOf } from './arguments.ts';
import type { HandleArg } from './command.ts';
import { CreatePrimary } from './commands/hierarchy.ts';
import { TPM_RH } from './constants.ts';
import { firstSupported } from './first-supported.ts';
import { type Session, trimAuthValue } from './session.ts';
import { type SaltKey, startSession } from './start-session.ts';
import { STORAGE_ALGORITHMS, srkTemplate } from './templates.ts';
import type { TpmRunner } from './tpm-runner.ts';

export interface HiddenAuthOptions extends SignalOptions {
  /**
   * The key that salts the session. Default: a primary key of the NULL hierarchy, made for this session. It hides the
   * value from listeners; only a key with a trusted public area also hides it from an attacker who alters the traffic.
   */
  readonly saltKey?: SaltKey | undefined;
}

/**
 * Runs `work` with the same handle, but with a salted session instead of an authorization value. It uses the value
 * given as bytes, or else the hierarchy's password that the TPM was opened with. The session proves the value without
 * sending it. An empty value is passed on unchanged, since there is nothing to hide.
 */
export async function withHiddenAuth<T>(
  tpm: TpmRunner,
  arg: HandleArg,
  options: HiddenAuthOptions,
  work: (arg: HandleArg) => Promise<T>,
): Promise<T> {
  const given = entityOf(arg);
  const { auth = await tpm.passwordOf(given.handle, options), ...entity } = given;
  if (!isBytes(auth) || trimAuthValue(auth).length === 0) return await work(arg);
  const job = async (): Promise<T> => {
    const session = await saltedSession(tpm, options);
    return await withCleanup(
      () => work({ ...entity, auth: { session, authValue: auth } }),
      () => session.close(),
    );
  };
  return await tpm.turn(job, options);
}

async function saltedSession(tpm: TpmRunner, { saltKey, signal }: HiddenAuthOptions): Promise<Session> {
  if (saltKey !== undefined) return await startSession(tpm, { salt: saltKey, signal });
  const making = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };
  const { objectHandle: handle, outPublic: publicArea } = await firstSupported(
    'salt key',
    STORAGE_ALGORITHMS,
    (algorithm) =>
      tpm.run(CreatePrimary, { primaryHandle: TPM_RH.NULL, inPublic: srkTemplate(algorithm), ...making }, { signal }),
  );
  return await withCleanup(
    () => startSession(tpm, { salt: { handle, publicArea }, signal }),
    () => handle.flush(),
  );
}
