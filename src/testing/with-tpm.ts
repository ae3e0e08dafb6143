import { EMPTY } from '../bytes.ts';
import { isKeyprovError, sayError, undoOnFailure, withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { DictionaryAttackParameters } from '../tpm/commands/dictionary-attack.ts';
import { CreatePrimary } from '../tpm/commands/hierarchy.ts';
import { Sign } from '../tpm/commands/signing.ts';
import { TPM_ALG, TPM_RH } from '../tpm/constants.ts';
import { wrapTransport } from '../tpm/open-tpm.ts';
import { NULL_HASHCHECK } from '../tpm/structures/base.ts';
import { userKeyTemplate } from '../tpm/templates.ts';
import { Tpm } from '../tpm/tpm.ts';
import type { TpmTransport } from '../tpm/transport.ts';
import { SIMULATOR_MEMBERS, type SimulatorOptions, startSimulator } from './start-simulator.ts';

/** Options of {@link openTestTpm}. */
export interface TestTpmOptions extends SimulatorOptions {
  /**
   * When wrong authorizations lock the TPM. `default`: after 3, as in the simulator. `windows`: after 32, and one is
   * forgotten every 10 minutes, as Windows configures TPMs. `locked`: the TPM is locked now.
   */
  readonly lockout?: 'default' | 'windows' | 'locked' | undefined;
  /** Wraps the transport before use, for example with `faultyTransport` or a recorder. */
  readonly wrap?: ((transport: TpmTransport) => TpmTransport) | undefined;
}

function checkTestTpm(name: string, options: TestTpmOptions): TestTpmOptions {
  return checkMembers(name, options, 'lockout:=default|windows|locked? wrap:function?', SIMULATOR_MEMBERS);
}

/** A TPM for one test. `tpm.close()`, or disposing of this object, ends it. */
export interface TestTpm extends AsyncDisposable {
  readonly tpm: Tpm;
  /** Its address, for messages only: no other process can open it. */
  readonly address: string;
}

const LOCKOUT = {
  windows: { newMaxTries: 32, newRecoveryTime: 600, lockoutRecovery: 86_400 },
  locked: { newMaxTries: 1, newRecoveryTime: 1000, lockoutRecovery: 1000 },
};

/**
 * Opens a new TPM 2.0 for one test, started and empty. Several can be open at once, each with its own keys.
 * @throws KeyprovError `library-missing` if no simulator is installed, `state-invalid` for a wrong `state`, and the
 * errors of a start over a faulty transport; TypeError for an option that is unknown or of the wrong type.
 */
export async function openTestTpm(options: TestTpmOptions = {}): Promise<TestTpm> {
  options = checkTestTpm('openTestTpm', options);
  const { lockout = 'default', wrap } = options;
  const transport = await startSimulator(options);
  const tpm = await Tpm.open(await wrapTransport(transport, wrap));
  if (lockout !== 'default') {
    const parameters = { lockHandle: TPM_RH.LOCKOUT, ...LOCKOUT[lockout] };
    const set = async (): Promise<void> => {
      await tpm.run(DictionaryAttackParameters, parameters);
      if (lockout === 'locked') await tryWrongly(tpm);
    };
    await undoOnFailure(set, () => tpm.close());
  }
  return { tpm, address: transport.address, [Symbol.asyncDispose]: () => tpm.close() };
}

/** Gives a wrong authorization value to a new key. */
async function tryWrongly(tpm: Tpm): Promise<void> {
  const { objectHandle: key } = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.NULL,
    inSensitive: { userAuth: new Uint8Array(1).fill(1), data: EMPTY },
    inPublic: userKeyTemplate('p-256'),
    outsideInfo: EMPTY,
    creationPCR: [],
  });
  const signing = { digest: new Uint8Array(32), inScheme: SCHEME, validation: NULL_HASHCHECK };
  const refuse = (error: unknown): void => {
    if (!isKeyprovError(error, 'tpm-auth-failed')) throw error;
  };
  await tpm.run(Sign, { keyHandle: { handle: key, auth: EMPTY }, ...signing }).then(() => undefined, refuse);
  await key.flush();
}

const SCHEME = { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } } as const;

/** The body of a test that uses a TPM. */
export type TpmWork = (kit: TestTpm) => Promise<void>;

/**
 * Makes the body of a test with its own TPM, for any runner that calls a function: `test('…', withTpm(async ({ tpm })
 * => …))`. Closes the TPM whether or not the test passes; an error from the test takes precedence. Fails if {@link
 * openTestTpm} fails; to skip the test instead, call {@link missingSimulator} first.
 *
 * @throws TypeError without a function for the test, and for an option that is unknown or of the wrong type.
 *
 * @example
 * ```ts
 * import assert from 'node:assert/strict';
 * import { test } from 'node:test';
 * import { commands } from 'keyprov/tpm';
 * import { withTpm } from 'keyprov/testing';
 *
 * test('gives random bytes', withTpm(async ({ tpm }) => {
 *   const { randomBytes } = await tpm.run(commands.GetRandom, { bytesRequested: 16 });
 *   assert.equal(randomBytes.length, 16);
 * }));
 * ```
 */
export function withTpm(work: TpmWork): () => Promise<void>;
export function withTpm(options: TestTpmOptions, work: TpmWork): () => Promise<void>;
export function withTpm(...given: [TpmWork] | [TestTpmOptions, TpmWork]): () => Promise<void> {
  const [options, work] = given.length === 1 ? [{}, given[0]] : given;
  if (typeof work !== 'function') throw new TypeError('withTpm needs the body of the test: a function');
  checkTestTpm('withTpm', options);
  return async () => {
    const kit = await openTestTpm(options);
    await withCleanup(
      () => work(kit),
      () => kit.tpm.close(),
    );
  };
}

/**
 * Returns why this machine cannot run a test TPM, as one sentence for skipping tests; undefined if it can.
 * @throws any other error while starting it; TypeError for an option that is unknown or of the wrong type.
 */
export async function missingSimulator(options: SimulatorOptions = {}): Promise<string | undefined> {
  options = checkMembers('missingSimulator', options, SIMULATOR_MEMBERS);
  try {
    await (await startSimulator(options)).close();
    return undefined;
  } catch (error) {
    if (isKeyprovError(error, 'library-missing')) return sayError(error);
    throw error;
  }
}
