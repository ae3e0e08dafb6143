// The first test gets a new TPM (libtpms in this process, or swtpm); the second uses the TPM of `keyprov sim`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { definePolicy, openKey, openTpm, provisionKey } from 'keyprov';
import { withTpm } from 'keyprov/testing';

/** Your code, which is tested here. */
async function makeKeyAndSign(tpm) {
  const policy = definePolicy({ hardware: 'required', algorithm: 'p-256' });
  const challenge = crypto.getRandomValues(new Uint8Array(32));
  const { record } = await provisionKey({ policy, sources: { tpm }, challenge });
  const key = await openKey({ record, sources: { tpm } });
  const signature = await key.sign({ data: new TextEncoder().encode('hello') });
  await key.close();
  return { record, signature };
}

test(
  'signs with a key in a TPM of its own',
  withTpm({ engine: process.env.TPM_ENGINE ?? 'auto' }, async ({ tpm }) => {
    const { record, signature } = await makeKeyAndSign(tpm);
    assert.equal(record.backend, 'tpm');
    assert.ok(signature.length > 0);
  }),
);

test('signs with the TPM that KEYPROV_TPM names', { skip: process.env.KEYPROV_TPM === undefined }, async () => {
  const tpm = await openTpm(process.env.KEYPROV_TPM);
  try {
    const { record } = await makeKeyAndSign(tpm);
    assert.equal(record.assurance, 'virtual');
  } finally {
    await tpm.close();
  }
});
