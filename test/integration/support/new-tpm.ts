import { startSimulator } from '../../../src/testing/start-simulator.ts';
import { missingSimulator } from '../../../src/testing/with-tpm.ts';
import { GetCapability } from '../../../src/tpm/commands/capability.ts';
import { TPM_CAP, TPM_HT } from '../../../src/tpm/constants.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';

/** The way to a new TPM: libtpms in this process where it is installed, else a swtpm that ends with the transport. */
export const newTransport = (): Promise<TpmTransport> => startSimulator();

/** Why tests cannot have a TPM; undefined where they can, and in continuous integration, where they must. */
export async function tpmMissing(): Promise<string | undefined> {
  const missing = await missingSimulator();
  if (missing === undefined) return undefined;
  if (process.env.CI === 'true') throw new Error(missing);
  console.warn(`skipped: ${missing}`);
  return missing;
}

/** Opens a new TPM. */
export async function newTpm(): Promise<Tpm> {
  return Tpm.open(await newTransport());
}

/** The handles of that type which the TPM holds; for sessions 0x02 lists the loaded ones, 0x03 the saved ones. */
export async function handlesOf(tpm: Tpm, type: number): Promise<readonly number[]> {
  const { capabilityData } = await tpm.run(GetCapability, {
    capability: TPM_CAP.HANDLES,
    property: type * 2 ** 24,
    propertyCount: 254,
  });
  return capabilityData.capability === TPM_CAP.HANDLES ? capabilityData.data : [];
}

/** Everything in the TPM that its user has to remove: transient objects, loaded and saved sessions. */
export async function leftovers(tpm: Tpm): Promise<readonly number[]> {
  const lists = [TPM_HT.TRANSIENT, TPM_HT.HMAC_SESSION, TPM_HT.POLICY_SESSION].map((type) => handlesOf(tpm, type));
  return (await Promise.all(lists)).flat();
}
