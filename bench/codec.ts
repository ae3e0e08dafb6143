// Reading and writing of structures: TPM2B_PUBLIC of an RSA and an ECC key, and a TPMS_ATTEST.
import { fromHex } from '../src/bytes.ts';
import { decode, encode } from '../src/tpm/codec/index.ts';
import { TPMS_ATTEST } from '../src/tpm/structures/attest.ts';
import { TPM2B_PUBLIC } from '../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../src/tpm/templates.ts';
import { measure } from './measure.ts';

const rsa = encode(TPM2B_PUBLIC, {
  ...userKeyTemplate('rsa-2048'),
  type: 1,
  unique: new Uint8Array(256).fill(0xaa),
} as never);
const ecc = encode(TPM2B_PUBLIC, userKeyTemplate('p-256'));
const rsaValue = decode(TPM2B_PUBLIC, rsa);
const attest = fromHex(
  `ff54434780170022000b${'11'.repeat(32)}0004deadbeef${'00'.repeat(25)}0022000b${'22'.repeat(32)}0022000b${'33'.repeat(32)}`,
);

await measure('codec', {
  'read TPM2B_PUBLIC, RSA-2048': () => decode(TPM2B_PUBLIC, rsa),
  'read TPM2B_PUBLIC, P-256': () => decode(TPM2B_PUBLIC, ecc),
  'write TPM2B_PUBLIC, RSA-2048': () => encode(TPM2B_PUBLIC, rsaValue),
  'read TPMS_ATTEST': () => decode(TPMS_ATTEST, attest),
});
