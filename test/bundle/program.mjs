// The program that test/package/bundlers.test.ts bundles: it opens a TPM in process and makes a key.
import { verify } from 'node:crypto';
import { encodeSpkiPem, openTpmKeyProvider } from 'keyprov/keys';
import { openTpm } from 'keyprov/tpm';

async function main() {
  const tpm = await openTpm('libtpms');
  try {
    const provider = await openTpmKeyProvider(tpm);
    const [pin, data] = [new TextEncoder().encode('271828'), new TextEncoder().encode('the data')];
    const key = await provider.create({ algorithm: 'p-256', pin });
    const signature = await provider.sign(key, { data, pin });
    console.log('verified', verify('sha256', data, encodeSpkiPem(key.publicKey), signature));
  } finally {
    await tpm.close();
  }
}

main().catch(({ code, message, remedy }) => {
  console.log(JSON.stringify({ code, message, remedy }));
  process.exitCode = 1;
});
