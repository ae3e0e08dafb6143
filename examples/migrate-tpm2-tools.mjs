// @ts-check
// Signs with a key of tpm2-tools. KEYPROV_TPM contains the TPM's address.
// The command that made the key: tpm2_create -C 0x81000001 -G ecc -u KEY.pub -r KEY.priv (or -G rsa; -p PASSWORD).
import { createHash, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { encodeSpkiPem, isKeyprovError, openTpm } from 'keyprov';
import { encodeBareSignature } from 'keyprov/attestation';
import { commands, decode, structures, TPM_ALG, TPM_RH, TPM_ST } from 'keyprov/tpm';
import { publicKeyOf } from 'keyprov/tpm/public-areas';

const [publicFile, privateFile, file, password = ''] = process.argv.slice(2);
if (file === undefined) {
  console.error('usage: node migrate-tpm2-tools.mjs KEY.pub KEY.priv FILE [PASSWORD]');
  process.exit(2);
}
process.on('uncaughtException', (error) => {
  console.error([error.message, isKeyprovError(error) && error.remedy].filter(Boolean).join('; '));
  process.exit(1);
});
const data = await readFile(file);
const inPublic = decode(structures.TPM2B_PUBLIC, await readFile(publicFile));
const inPrivate = decode(structures.TPM2B_PRIVATE, await readFile(privateFile));

const tpm = await openTpm(process.env.KEYPROV_TPM);
// tpm2_load, tpm2_sign, tpm2_flushcontext
const { objectHandle: key } = await tpm.run(commands.Load, { parentHandle: 0x81000001, inPrivate, inPublic });
const { signature } = await tpm.run(commands.Sign, {
  keyHandle: { handle: key, auth: new TextEncoder().encode(password) },
  digest: createHash('sha256').update(data).digest(),
  inScheme: {
    scheme: inPublic?.type === TPM_ALG.RSA ? TPM_ALG.RSASSA : TPM_ALG.ECDSA,
    details: { hashAlg: TPM_ALG.SHA256 },
  },
  validation: { tag: TPM_ST.HASHCHECK, hierarchy: TPM_RH.NULL, digest: new Uint8Array(0) },
});
await key.flush();
await tpm.close();

console.log(verify('sha256', data, encodeSpkiPem(publicKeyOf(inPublic)), encodeBareSignature(signature)));
