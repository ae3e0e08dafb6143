import { isKeyprovError, sayError, undoOnFailure, withCleanup } from '../errors.ts';
import { DictionaryAttackParameters } from '../tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../tpm/constants.ts';
import { Tpm } from '../tpm/tpm.ts';
import type { TpmTransport } from '../tpm/transport.ts';
import { type SimulatorOptions, startSimulator } from './start-simulator.ts';

/** Options of {@link openTestTpm}. */
export interface TestTpmOptions extends SimulatorOptions {
  /**
   * When wrong authorizations lock the TPM. Default: after 3, as in the simulator. `windows`: after 32, with one
   * forgotten every 10 minutes, as Windows sets TPMs. `locked`: it is locked now.
   */
  readonly lockout?: 'default' | 'windows' | 'locked' | undefined;
  /** Wraps the transport before use, for example with `faultyTransport` or a recorder. */
  readonly wrap?: ((transport: TpmTransport) => TpmTransport) | undefined;
}

/** A TPM for one test. It ends with `tpm.close()` or when this is disposed of. */
export interface TestTpm extends AsyncDisposable {
  readonly tpm: Tpm;
  /** Its address, for messages: nobody else can open it. */
  readonly address: string;
}

const LOCKOUT = {
  windows: { newMaxTries: 32, newRecoveryTime: 600, lockoutRecovery: 86_400 },
  locked: { newMaxTries: 0, newRecoveryTime: 1000, lockoutRecovery: 1000 },
};

/**
 * Opens a new TPM 2.0 for one test, started and empty. Many can be open at a time, each with different keys.
 * @throws KeyprovError `library-missing` if no simulator is installed, `state-invalid` for a wrong `state`, and errors
 * of starting a TPM behind a faulty transport.
 */
export async function openTestTpm(options: TestTpmOptions = {}): Promise<TestTpm> {
  const { lockout = 'default', wrap } = options;
  const transport = await startSimulator(options);
  const tpm = await Tpm.open(wrap?.(transport) ?? transport);
  if (lockout !== 'default') {
    const parameters = { lockHandle: TPM_RH.LOCKOUT, ...LOCKOUT[lockout] };
    await undoOnFailure(
      () => tpm.run(DictionaryAttackParameters, parameters),
      () => tpm.close(),
    );
  }
  return { tpm, address: transport.address, [Symbol.asyncDispose]: () => tpm.close() };
}

/** The work of a test with its TPM. */
export type TpmWork = (kit: TestTpm) => Promise<void>;

/**
 * Makes the body of a test with its own TPM, for any runner that calls a function: `test('…', withTpm(async ({ tpm })
 * => …))`. Closes the TPM whether or not the test passes, and throws an error of the test first. Fails as {@link
 * openTestTpm} does; to skip the test instead, ask {@link missingSimulator}.
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
  return async () => {
    const kit = await openTestTpm(options);
    await withCleanup(
      () => work(kit),
      () => kit.tpm.close(),
    );
  };
}

/**
 * Why this machine cannot run a TPM for tests, as one sentence to skip tests with; undefined if it can.
 * @throws any other error of starting it.
 */
export async function missingSimulator(options: SimulatorOptions = {}): Promise<string | undefined> {
  try {
    await (await startSimulator(options)).close();
    return undefined;
  } catch (error) {
    if (isKeyprovError(error, 'library-missing')) return sayError(error);
    throw error;
  }
}
