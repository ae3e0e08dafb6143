import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../../src/bytes.ts';
import { decode } from '../../../src/tpm/codec/index.ts';
import { TPM_ALG, TPM_RH } from '../../../src/tpm/constants.ts';
import { handleName, nvName, objectName, qualifiedName } from '../../../src/tpm/names.ts';
import { TPMS_ATTEST } from '../../../src/tpm/structures/attest.ts';
import { TPM2B_PUBLIC, TPMT_PUBLIC } from '../../../src/tpm/structures/object.ts';

interface Attested {
  readonly description: string;
  readonly publicHex: string;
  readonly attestHex: string;
}
const { attested, qualified } = JSON.parse(readFileSync('test/vectors/names.json', 'utf8')) as {
  attested: Attested[];
  qualified: { srkPublicHex: string; childAttestHex: string };
};
const pcp = JSON.parse(readFileSync('test/vectors/pcp.json', 'utf8'));

const attestedInfo = (hex: string): { name: Uint8Array; qualifiedName: Uint8Array } => {
  const { attested: info } = decode(TPMS_ATTEST, fromHex(hex));
  if (!('name' in info)) throw new TypeError('not a TPM2_Certify attestation');
  return info;
};

describe('objectName', () => {
  it.each(attested)('is the Name that was certified: $description', ({ publicHex, attestHex }) => {
    expect(toHex(objectName(decode(TPMT_PUBLIC, fromHex(publicHex))))).toBe(toHex(attestedInfo(attestHex).name));
  });

  it('is the Name of the public area in a key blob of the Platform Crypto Provider', () => {
    const { blobHex, public: area } = pcp.vectors[0];
    const header = new DataView(fromHex(blobHex).buffer);
    const start = header.getUint32(4, true);
    const publicArea = decode(TPM2B_PUBLIC, fromHex(blobHex).subarray(start, start + header.getUint32(16, true)));
    expect(toHex(objectName(publicArea))).toBe(area.name);
    if (publicArea.type !== TPM_ALG.RSA) throw new TypeError('not an RSA key');
    expect(toHex(publicArea.unique)).toBe(area.modulus);
  });

  it('is the Name of an endorsement key that a credential was made for', () => {
    // P-256 (L-2); swtpm 0.7.1 activates a credential whose KDFe used this key.
    const area = decode(
      TPM2B_PUBLIC,
      fromHex(
        '007a0023000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa00060080004300100003001000202dfe159528df031d21b6cc4f3ecacc2575e12e6c622315e2c603ca1783875358002058467a590699aa0d1f6291a392d98978a1bec7237d9d0fbea25a748fd5a3333e',
      ),
    );
    expect(toHex(objectName(area))).toBe('000b51ee5a7191f984086b0caf3fe428aab767d51e9c0af1fbcba20bfddb58190955');
  });

  it('is empty without a name algorithm', () => {
    const area = decode(TPMT_PUBLIC, fromHex(attested[0]?.publicHex ?? ''));
    expect(objectName({ ...area, nameAlg: TPM_ALG.NULL })).toStrictEqual(new Uint8Array(0));
  });

  it('is refused for a name algorithm that we do not compute', () => {
    const area = decode(TPMT_PUBLIC, fromHex(attested[0]?.publicHex ?? ''));
    expect(() => objectName({ ...area, nameAlg: TPM_ALG.SHA3_256 })).toThrow(
      expect.objectContaining({ code: 'tpm-unsupported', message: expect.stringContaining('0x27') }),
    );
  });
});

describe('nvName', () => {
  it('leads to the published PolicyC, which is the digest over it', () => {
    const index = {
      nvIndex: 0x01c07f01,
      nameAlg: TPM_ALG.SHA256,
      attributes: {
        policyWrite: true,
        writeAll: true,
        ppRead: true,
        ownerRead: true,
        authRead: true,
        policyRead: true,
        noDA: true,
        written: true,
      },
      authPolicy: fromHex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa'),
      dataSize: 34,
    };
    const policyC = createHash('sha256').update(concat(new Uint8Array(32), fromHex('00000192'), nvName(index)));
    expect(policyC.digest('hex')).toBe('3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde');
  });
});

describe('handleName', () => {
  it('is the handle, big endian', () => {
    expect(toHex(handleName(TPM_RH.ENDORSEMENT))).toBe('4000000b');
    expect(toHex(handleName(0x80000001))).toBe('80000001');
    expect(toHex(handleName(23))).toBe('00000017');
  });
});

describe('qualifiedName', () => {
  it('equals the Name that a TPM computed for a primary key and its child', () => {
    const { srkPublicHex, childAttestHex } = qualified;
    const srk = qualifiedName(handleName(TPM_RH.OWNER), objectName(decode(TPM2B_PUBLIC, fromHex(srkPublicHex))));
    const child = attestedInfo(childAttestHex);
    expect(toHex(qualifiedName(srk, child.name))).toBe(toHex(child.qualifiedName));
  });
});
