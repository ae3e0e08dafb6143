import { type SimulatorOptions, startSimulator } from '../../../src/testing/start-simulator.ts';
import { missingSimulator } from '../../../src/testing/with-tpm.ts';
import { GetCapability } from '../../../src/tpm/commands/capability.ts';
import { FlushContext } from '../../../src/tpm/commands/context.ts';
import { DictionaryAttackLockReset } from '../../../src/tpm/commands/dictionary-attack.ts';
import { Clear } from '../../../src/tpm/commands/hierarchy.ts';
import { TPM_CAP, TPM_HT, TPM_RH } from '../../../src/tpm/constants.ts';
import { openTpm } from '../../../src/tpm/open-tpm.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';
import { missingOutsideCi } from '../../programs.ts';

/** Address of a running TPM for the tests. Each test clears it: see CONTRIBUTING.md. */
export const GIVEN_TPM: string | undefined = process.env.KEYPROV_TEST_TPM || undefined;

let isGivenInUse = false;

/**
 * Opens a transport to a new TPM: libtpms in this process if it is installed, else a swtpm that ends with the transport. Uses
 * {@link GIVEN_TPM} instead if it is set and nobody is using it, because a TPM serves one client.
 */
export async function newTransport(): Promise<TpmTransport> {
  if (GIVEN_TPM === undefined || isGivenInUse) return await startSimulator();
  isGivenInUse = true;
  const transport = await cleared(GIVEN_TPM);
  const { kind, address, emulator, managed } = transport;
  const close = async () => {
    await transport.close();
    isGivenInUse = false;
  };
  return { kind, address, emulator, managed, send: (command, options) => transport.send(command, options), close };
}

async function cleared(address: string): Promise<TpmTransport> {
  let transport: TpmTransport | undefined;
  const wrap = (opened: TpmTransport): TpmTransport => {
    transport = opened;
    return opened;
  };
  const tpm = await openTpm(address, { wrap });
  if (transport === undefined) throw new Error('no transport was opened');
  await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
  for (const flushHandle of await leftovers(tpm)) await tpm.run(FlushContext, { flushHandle });
  await tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT });
  return transport; // still open: only the Tpm around it is no longer used
}

/** The reason why tests that use a TPM must be skipped; see `missingOutsideCi`. */
export const tpmMissing = async (): Promise<string | undefined> =>
  GIVEN_TPM === undefined ? missingOutsideCi(await missingSimulator()) : undefined;

/** Opens a new TPM. */
export async function newTpm(): Promise<Tpm> {
  return Tpm.open(await newTransport());
}

/** A TPM in factory state. Never {@link GIVEN_TPM}, which has certificates and NV that only its platform can write. */
export async function manufacturedTpm(options?: SimulatorOptions): Promise<Tpm> {
  return Tpm.open(await startSimulator(options));
}

/** The algorithms and curves of the TPM under test. Simulators are assumed to have all. */
export interface TpmAbilities {
  readonly hasAlgorithm: (alg: number) => boolean;
  readonly hasCurve: (curve: number) => boolean;
}

/** Queries the TPM under test for its algorithms, so that tests for missing ones are skipped by name. */
export async function tpmAbilities(): Promise<TpmAbilities> {
  if (GIVEN_TPM === undefined) return { hasAlgorithm: () => true, hasCurve: () => true };
  const tpm = await newTpm();
  try {
    const ask = async (capability: typeof TPM_CAP.ALGS | typeof TPM_CAP.ECC_CURVES) =>
      (await tpm.run(GetCapability, { capability, property: 0, propertyCount: 254 })).capabilityData;
    const [algorithms, curves] = [await ask(TPM_CAP.ALGS), await ask(TPM_CAP.ECC_CURVES)];
    const algs = algorithms.capability === TPM_CAP.ALGS ? algorithms.data.map(({ alg }) => alg) : [];
    const ids = curves.capability === TPM_CAP.ECC_CURVES ? curves.data : [];
    return { hasAlgorithm: (alg) => algs.includes(alg), hasCurve: (curve) => ids.includes(curve) };
  } finally {
    await tpm.close();
  }
}

/** The handles of that type in the TPM. For sessions, 0x02 lists the loaded ones, 0x03 the saved ones. */
export async function handlesOf(tpm: Tpm, type: number): Promise<readonly number[]> {
  const { capabilityData } = await tpm.run(GetCapability, {
    capability: TPM_CAP.HANDLES,
    property: type * 2 ** 24,
    propertyCount: 254,
  });
  return capabilityData.capability === TPM_CAP.HANDLES ? capabilityData.data : [];
}

/** Everything in the TPM that its user must remove: transient objects, loaded and saved sessions. */
export async function leftovers(tpm: Tpm): Promise<readonly number[]> {
  const lists = [TPM_HT.TRANSIENT, TPM_HT.HMAC_SESSION, TPM_HT.POLICY_SESSION].map((type) => handlesOf(tpm, type));
  return (await Promise.all(lists)).flat();
}
