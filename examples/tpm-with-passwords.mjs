// @ts-check
// Uses a TPM whose hierarchies have passwords, and ends a lockout: `node tpm-with-passwords.mjs`.
import { definePolicy, isKeyprovError, openKey, openTpm, provisionKey } from 'keyprov';
import { commands, readLockout, TPM_RH } from 'keyprov/tpm';

const utf8 = new TextEncoder();
const hierarchyAuth = { owner: utf8.encode('owner password'), lockout: utf8.encode('lockout password') };
const tpm = await openTpm('libtpms', { hierarchyAuth });
// On a real TPM, an administrator does this once, for example with tpm2_changeauth
await tpm.run(commands.HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: hierarchyAuth.owner });
await tpm.run(commands.HierarchyChangeAuth, { authHandle: TPM_RH.LOCKOUT, newAuth: hierarchyAuth.lockout });

const sources = { tpm };
const policy = definePolicy({ hardware: 'required', algorithm: 'p-256', attestation: 'none' });
const challenge = crypto.getRandomValues(new Uint8Array(32));
const { record } = await provisionKey({ policy, sources, challenge, pin: utf8.encode('271828') });
const key = await openKey({ record, sources });

for (const pin of ['000001', '000002', '000003', '271828']) {
  try {
    await key.sign({ data: utf8.encode('hello'), pin: utf8.encode(pin), force: true }); // even if it is the last try
    console.log('signed');
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    console.log(error.code);
  }
}
const { inLockout, failedTries, maxTries, recoveryTimeSeconds } = await readLockout(tpm);
console.log({ inLockout, failedTries, maxTries, recoveryTimeSeconds });

await tpm.run(commands.DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
await key.sign({ data: utf8.encode('hello'), pin: utf8.encode('271828') });
console.log('signed after the reset');
await key.close();
await tpm.close();
