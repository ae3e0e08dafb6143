// @ts-check
// Run at each boot of a virtual machine.
// The fleet directory stands for your inventory service. It contains one file for each TPM that has booted before.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { isKeyprovError, openTpm } from 'keyprov';
import { checkTpmIdentity, readTpmIdentity } from 'keyprov/keys';

const [address, directory, fleet] = process.argv.slice(2);
if (fleet === undefined) {
  console.error('usage: node vdi-first-boot.mjs TPM-ADDRESS DIRECTORY FLEET-DIRECTORY');
  process.exit(2);
}
const file = `${directory}/tpm-identity.json`;
/** @param {string} text */
const fromHex = (text) => Uint8Array.from(Buffer.from(text, 'hex'));

const tpm = await openTpm(address);
const now = await readTpmIdentity(tpm);
await tpm.close();
const name = Buffer.from(now.endorsementName).toString('hex');
const json = { ...now, endorsementName: name, storageName: Buffer.from(now.storageName).toString('hex') };
const text = JSON.stringify({ ...json, clock: `${now.clock}` });

const known = await readFile(file, 'utf8').catch(() => undefined);
if (known === undefined) {
  await mkdir(fleet, { recursive: true });
  // Only one machine can create a TPM's file. A second machine with the same TPM is a clone.
  const isFirst = await writeFile(`${fleet}/${name}`, text, { flag: 'wx' }).then(
    () => true,
    () => false,
  );
  console.log(isFirst ? 'first boot: make a key' : 'clone: another machine has this TPM');
  process.exitCode = isFirst ? 0 : 1;
} else {
  const { endorsementName, storageName, resetCount, clock } = JSON.parse(known);
  const names = { endorsementName: fromHex(endorsementName), storageName: fromHex(storageName) };
  try {
    checkTpmIdentity({ ...names, resetCount, clock: BigInt(clock) }, now);
    console.log('same TPM');
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    console.log(error.code);
    process.exitCode = 1;
  }
}
if (process.exitCode !== 1) await writeFile(file, text, { mode: 0o600 });
