import { isKeyprovError, sayError, withCleanup } from '../errors.ts';
import { DictionaryAttackParameters } from '../tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../tpm/constants.ts';
import { Tpm } from '../tpm/tpm.ts';
import type { TpmTransport } from '../tpm/transport.ts';
import { type SimulatorOptions, startSimulator } from './start-simulator.ts';

/** Options of {@link openTestTpm}. */
export interface TestTpmOptions extends SimulatorOptions {
  /**
   * When wrong authorizations lock the TPM. Default: as the simulator has it, after 3. `windows`: after 32, and one is
   * forgotten every 10 minutes, as Windows sets its TPMs. `locked`: it is locked now.
   */
  readonly lockout?: 'default' | 'windows' | 'locked' | undefined;
  /** Wraps the transport before it is used: with `faultyTransport`, or for a recorder. */
  readonly wrap?: ((transport: TpmTransport) => TpmTransport) | undefined;
}

/** A TPM for one test. It ends with `tpm.close()` or when this is disposed of. */
export interface TestTpm extends AsyncDisposable {
  readonly tpm: Tpm;
  /** Where it is, for messages: nobody else can open it. */
  readonly address: string;
}

const LOCKOUT = {
  windows: { newMaxTries: 32, newRecoveryTime: 600, lockoutRecovery: 86_400 },
  locked: { newMaxTries: 0, newRecoveryTime: 1000, lockoutRecovery: 1000 },
};

/**
 * Opens a TPM 2.0 of its own for a test, started and empty. There may be many at a time, each with other keys.
 * @throws KeyprovError `library-missing` where no simulator is installed, `state-invalid` for a wrong `state`, and what
 * the start of a TPM throws behind a faulty transport.
 */
export async function openTestTpm(options: TestTpmOptions = {}): Promise<TestTpm> {
  const { lockout = 'default', wrap } = options;
  const transport = await startSimulator(options);
  const tpm = await Tpm.open(wrap?.(transport) ?? transport);
  try {
    if (lockout !== 'default') {
      await tpm.run(DictionaryAttackParameters, { lockHandle: TPM_RH.LOCKOUT, ...LOCKOUT[lockout] });
    }
  } catch (error) {
    const fail = (): Promise<never> => Promise.reject(error);
    return await withCleanup(fail, () => tpm.close());
  }
  return { tpm, address: transport.address, [Symbol.asyncDispose]: () => tpm.close() };
}

/** What a test does with its TPM. */
export type TpmWork = (kit: TestTpm) => Promise<void>;

/**
 * The body of a test that gets a TPM of its own, for any runner that calls a function: `test('…', withTpm(async ({ tpm })
 * => …))`. The TPM is closed whether or not the test passes, and an error of the test comes first. The test fails as
 * {@link openTestTpm} does; to skip it instead, ask {@link missingSimulator}.
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

/** Why there can be no TPM for tests on this machine, as one sentence to skip them with; undefined where there can. */
export async function missingSimulator(options: SimulatorOptions = {}): Promise<string | undefined> {
  try {
    await (await startSimulator(options)).close();
    return undefined;
  } catch (error) {
    if (isKeyprovError(error, 'library-missing')) return sayError(error);
    throw error;
  }
}
