// @ts-check
// Run at each boot of a virtual machine.
// The fleet directory stands for your inventory service. It contains a file for each machine, and one for each of their TPMs.
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isKeyprovError, openTpm } from 'keyprov';
import { checkTpmIdentity, readTpmIdentity } from 'keyprov/keys';

const [address, directory, fleet] = process.argv.slice(2);
if (fleet === undefined) {
  console.error('usage: node vdi-first-boot.mjs TPM-ADDRESS DIRECTORY FLEET-DIRECTORY');
  process.exit(2);
}
process.on('uncaughtException', (error) => {
  console.error([error.message, isKeyprovError(error) && error.remedy].filter(Boolean).join('; '));
  process.exit(1);
});
const [file, idFile] = [`${directory}/tpm-identity.json`, `${directory}/machine-id`];
/** @param {string} path */
const readIfThere = (path) =>
  readFile(path, 'utf8').catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
/** Never leaves a half-written file. @param {string} path @param {string} content */
const save = async (path, content) => {
  await writeFile(`${path}.new`, content, { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
};
/** @param {string} text */
const fromHex = (text) => Uint8Array.from(Buffer.from(text, 'hex'));

await mkdir(directory, { recursive: true, mode: 0o700 });
const tpm = await openTpm(address);
const now = await readTpmIdentity(tpm);
await tpm.close();
const name = Buffer.from(now.endorsementName).toString('hex');
const json = { ...now, endorsementName: name, storageName: Buffer.from(now.storageName).toString('hex') };
const text = JSON.stringify({ ...json, clock: `${now.clock}` });

const known = await readIfThere(file);
if (known === undefined) {
  await mkdir(fleet, { recursive: true });
  const savedId = await readIfThere(idFile);
  const id = savedId ?? randomUUID();
  if (savedId === undefined) await save(idFile, id);
  await save(`${fleet}/${id}`, id);
  // Only one machine can create a TPM's file, which contains the machine's id. If the machine stops before it saves the
  // TPM's identity, it finds its own id at the next boot. A second machine with the same TPM is a clone.
  const isFirst = await link(`${fleet}/${id}`, `${fleet}/${name}`).then(
    () => true,
    async (error) => {
      if (error.code !== 'EEXIST') throw error;
      return (await readFile(`${fleet}/${name}`, 'utf8')) === id;
    },
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
if (process.exitCode !== 1) await save(file, text);
