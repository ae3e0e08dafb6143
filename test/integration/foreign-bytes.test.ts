import { verify } from 'node:crypto';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { definePolicy, encodeSpkiPem, openKey, openTpm, provisionKey } from '../../src/index.ts';
import { HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';

const foreign = (text: string): Uint8Array => runInNewContext(`Uint8Array.from([${[...Buffer.from(text)]}])`);

it('takes PINs and passwords of another realm, such as those of node:vm', async () => {
  const hierarchyAuth = { owner: foreign('owner password') };
  await using tpm = await openTpm('libtpms', { hierarchyAuth });
  await tpm.run(HierarchyChangeAuth, {
    authHandle: { handle: TPM_RH.OWNER, auth: foreign('') },
    newAuth: hierarchyAuth.owner,
  });
  const sources = { tpm: async () => tpm };
  const policy = definePolicy({ hardware: 'required', algorithm: 'p-256' });
  const { record } = await provisionKey({ policy, sources, challenge: foreign('c'), pin: foreign('271828') });
  await using key = await openKey({ record, sources });
  await key.changePin({ pin: foreign('271828'), newPin: foreign('314159') });
  const signature = await key.sign({ data: foreign('data'), pin: foreign('314159') });
  expect(verify('sha256', Buffer.from('data'), encodeSpkiPem(key.publicKey), signature)).toBe(true);
});
