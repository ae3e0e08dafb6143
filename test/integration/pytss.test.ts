import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/bytes.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { TPM_ALG, TPM_CAP, TPM_ST } from '../../src/tpm/constants.ts';
import { arbitrary, type Narrowing } from '../arbitrary.ts';
import { PYTHON, pythonLacks } from '../programs.ts';
import { STRUCTURES, toJson } from '../structures.ts';
import { LineChild } from './support/line-child.ts';

const CHILD = 'test/integration/children/pytss_codec.py';
const VALUES = 60;

/** Structures that tpm2-tss 3.2.1 does not know, or defines differently. */
const APART: ReadonlyMap<string, string> = new Map([
  ['PCR_SELECT', 'part of other structures only'],
  ['TPMS_TAGGED_POLICY', 'no function for it'],
  ['TPMS_NV_DIGEST_CERTIFY_INFO', 'newer than tpm2-tss 3.2.1'],
  ['TPMS_ID_OBJECT', 'read there as if the length of the encrypted identity were not encrypted'],
]);

/** Structures that tpm2-tss keeps as bytes: it can copy, but not fill them. */
const OPAQUE: ReadonlySet<string> = new Set(['TPM2B_TEMPLATE', 'TPM2B_ATTEST_DECODED']);

/** Maximum sizes in tpm2-tss 3.2.1 that are below the specification's. */
const SIZES: Readonly<Record<string, number>> = {
  TPM2B_DATA: 64,
  TPM2B_PRIVATE: 1550,
  TPM2B_PRIVATE_KEY_RSA: 256,
};

/** Cases that tpm2-tss 3.2.1 has no functions for. */
const LACKING: Readonly<Record<string, readonly number[]>> = {
  TPMT_HA: [TPM_ALG.SHA3_256, TPM_ALG.SHA3_384, TPM_ALG.SHA3_512],
  TPMT_KDF_SCHEME: [TPM_ALG.KDF2],
  TPMS_ATTEST: [TPM_ST.ATTEST_NV_DIGEST],
  TPMS_CAPABILITY_DATA: [TPM_CAP.AUTH_POLICIES],
};

const KNOWN_THERE: Narrowing = {
  most: (name) => SIZES[name],
  allows: (name, value) => !LACKING[name]?.includes(value),
};

const compared = [...STRUCTURES].filter(
  ([name, { shape }]) => shape.kind !== 'integer' && shape.kind !== 'bits' && !APART.has(name),
);

describe.skipIf(pythonLacks('tpm2_pytss'))('tpm2-pytss', () => {
  let pytss: LineChild;
  beforeAll(() => {
    pytss = new LineChild(PYTHON, [CHILD]);
  });
  afterAll(() => pytss[Symbol.asyncDispose]());

  it.each(compared)('unmarshals every %s of ours and marshals it to the same bytes', async (_, codec) => {
    const ours = fc.sample(arbitrary(codec, KNOWN_THERE), VALUES).map((value) => toHex(encode(codec, value)));
    const theirs = await pytss.ask(ours.map((hex) => ({ type: codec.name, hex })));
    expect(theirs).toEqual(ours.map((hex) => ({ hex })));
  });

  it.each(compared.filter(([name]) => !OPAQUE.has(name)))(
    'makes the same %s of the same fields, and we read it as those',
    async (_, codec) => {
      const values = fc.sample(arbitrary(codec, KNOWN_THERE), VALUES);
      const theirs = await pytss.ask(values.map((value) => ({ type: codec.name, value: toJson(codec, value) })));
      expect(theirs).toEqual(values.map((value) => ({ hex: toHex(encode(codec, value)) })));
      const read = (theirs as { hex: string }[]).map(({ hex }) => decode(codec, fromHex(hex)));
      expect(read).toStrictEqual(values);
    },
  );

  it('refuses what it cannot read, so that an equal answer means something', async () => {
    const answers = await pytss.ask([
      { type: 'TPMT_PUBLIC', hex: '0001000b' },
      { type: 'TPM2B_DIGEST', hex: '0001ff00' },
    ]);
    expect(answers).toEqual([
      { error: 'ValueError: tpm2-tss refuses with 0x90006' },
      { error: 'ValueError: 1 bytes left over' },
    ]);
  });
});
