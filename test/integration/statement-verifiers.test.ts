import { KeyObject } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { type AttestationStatement, encodeBareSignature, encodeStatement } from '../../src/attestation/index.ts';
import { copy, fromHex, toHex } from '../../src/bytes.ts';
import { buildAkCertificate } from '../../src/formats/tcg/ak-certificate.ts';
import { signingKeyOf } from '../../src/testing/signing-key.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { objectName } from '../../src/tpm/names.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../../src/tpm/templates.ts';
import { issueAuthority } from '../certificates.ts';
import { PYTHON, pythonLacks, RUBY, rubyLacks } from '../programs.ts';
import { LineChild } from './support/line-child.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const CHALLENGE = fromHex('c0ffee'.repeat(10));
const TPM_OF_STM = { manufacturer: 0x53544d20, model: 'ST33', version: 0x00010257 };
const KINDS = ['rsa-2048', 'p-256'] as const;
type KeyKind = (typeof KINDS)[number];

/** A statement, and a verifier's other arguments. */
interface Case {
  readonly statement: AttestationStatement;
  readonly challenge: Uint8Array;
  readonly akCertificate: Uint8Array;
  readonly authority: Uint8Array;
}

const noRuby = rubyLacks('tpm/key_attestation');
const noPytss = pythonLacks('tpm2_pytss');

async function ask(child: LineChild | undefined, request: Readonly<Record<string, Uint8Array>>): Promise<unknown> {
  const inHex = Object.fromEntries(Object.entries(request).map(([name, bytes]) => [name, toHex(bytes)]));
  const [answer] = (await child?.ask([inHex])) ?? [];
  return answer;
}

/** The same with one bit changed in a part of the statement; from the end for a negative index. */
const flipped =
  (part: 'signature' | 'certInfo' | 'pubArea', at: number, mask = 1) =>
  (value: Case): Case => {
    const bytes = copy(value.statement[part]);
    const index = at < 0 ? bytes.length + at : at;
    bytes[index] = (bytes[index] ?? 0) ^ mask;
    return { ...value, statement: { ...value.statement, [part]: bytes } };
  };

/** Changes to the input, and the verifiers' results. */
const CHANGES: readonly {
  readonly of: string;
  readonly make: (value: Case) => Case;
  readonly pytss: string;
  readonly ruby?: object;
}[] = [
  { of: 'another bit in the signature', make: flipped('signature', -1), pytss: 'InvalidSignature: ' },
  { of: 'another magic', make: flipped('certInfo', 3), pytss: 'InvalidSignature: ' },
  {
    ...{ of: 'another type', make: flipped('certInfo', 5), pytss: 'InvalidSignature: ' },
    ruby: { refused: "selection '32790' does not exist in :choices for obj.attested" },
  },
  { of: 'another bit in the extraData', make: flipped('certInfo', 44), pytss: 'InvalidSignature: ' },
  { of: 'another firmware version', make: flipped('certInfo', -73), pytss: 'InvalidSignature: ' },
  { of: 'another bit in the Name', make: flipped('certInfo', -37), pytss: 'InvalidSignature: ' },
  { of: 'another attribute (noDA) in pubArea', make: flipped('pubArea', 6, 4), pytss: 'ValueError: another key' },
  { of: 'another bit in the key in pubArea', make: flipped('pubArea', -1), pytss: 'ValueError: another key' },
  {
    of: 'another challenge',
    make: (value) => ({ ...value, challenge: fromHex('c0ffee') }),
    pytss: 'ValueError: another challenge',
  },
];

const missing = await tpmMissing();

describe.skipIf(missing !== undefined)('a certify statement of a TPM', () => {
  const made = new Map<string, Case>();
  const of = (key: KeyKind, ak: KeyKind): Case => made.get(`${key} ${ak}`) ?? expect.unreachable();
  let ruby: LineChild | undefined;
  let pytss: LineChild | undefined;
  let otherAuthority: Uint8Array;

  beforeAll(async () => {
    const { der: authority, keys } = await issueAuthority('attestation CA');
    ({ der: otherAuthority } = await issueAuthority('attestation CA'));
    await using tpm = await newTpm();
    for (const algorithm of KINDS) {
      await using ak = await createAttestationKey(tpm, { algorithm });
      const akCertificate = await buildAkCertificate(
        {
          ...{ publicKey: publicKeyOf(ak.publicArea), tpm: TPM_OF_STM },
          ...{ notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 600_000) },
        },
        { certificate: authority, key: signingKeyOf(KeyObject.from(keys.privateKey)) },
      );
      for (const kind of KINDS) {
        const { objectHandle: key } = await tpm.run(CreatePrimary, {
          primaryHandle: TPM_RH.OWNER,
          inSensitive: { userAuth: EMPTY, data: EMPTY },
          inPublic: userKeyTemplate(kind),
          outsideInfo: EMPTY,
          creationPCR: [],
        });
        const statement = await attestKey(tpm, { key, ak, challenge: CHALLENGE });
        await key.flush();
        made.set(`${kind} ${algorithm}`, { statement, challenge: CHALLENGE, akCertificate, authority });
      }
    }
    if (noRuby === undefined) ruby = new LineChild(RUBY, ['test/integration/children/key_attestation.rb']);
    if (noPytss === undefined) pytss = new LineChild(PYTHON, ['test/integration/children/pytss_verify.py']);
  });
  afterAll(async () => {
    await ruby?.[Symbol.asyncDispose]();
    await pytss?.[Symbol.asyncDispose]();
  });

  // Version 0.11.0 reads no public areas of ECC keys.
  describe.skipIf(noRuby).each(KINDS)('in tpm-key_attestation, of a key certified with %s', (ak) => {
    function verify({ statement: { certInfo, pubArea, signature }, ...beside }: Case): Promise<unknown> {
      const bare = encodeBareSignature(decode(TPMT_SIGNATURE, signature));
      return ask(ruby, { certInfo, pubArea, signature: bare, ...beside });
    }

    it('is accepted', async () => {
      const value = of('rsa-2048', ak);
      const { publicKey } = encodeStatement(value.statement);
      expect(await verify(value)).toEqual({ certified: true, conformant: true, key: publicKey });
    });

    it.each(CHANGES)('is refused with $of', async ({ make, ruby: refused }) => {
      const answer = await verify(make(of('rsa-2048', ak)));
      expect(answer).toEqual(refused ?? { certified: false, conformant: true, key: null });
    });

    it('is refused with another authority of the same name', async () => {
      const answer = await verify({ ...of('rsa-2048', ak), authority: otherAuthority });
      expect(answer).toEqual({ certified: true, conformant: true, key: null });
    });
  });

  describe.skipIf(noPytss).each(KINDS.flatMap((key) => KINDS.map((ak) => ({ key, ak }))))(
    'in tpm2-pytss, of a $key key certified with $ak',
    ({ key, ak }) => {
      const verify = ({ statement: { certInfo, pubArea, signature, ak }, challenge }: Case): Promise<unknown> =>
        ask(pytss, { certInfo, pubArea, signature, ak: ak.pubArea, challenge });

      it('is accepted', async () => {
        const value = of(key, ak);
        const name = toHex(objectName(decode(TPMT_PUBLIC, value.statement.pubArea)));
        expect(await verify(value)).toEqual({ name, key: encodeStatement(value.statement).publicKey });
      });

      it.each(CHANGES)('is refused with $of', async ({ make, pytss: refused }) => {
        expect(await verify(make(of(key, ak)))).toEqual({ refused });
      });

      it('is refused with another key of that kind as the attestation key', async () => {
        const { statement, ...value } = of(key, ak);
        const { pubArea } = of(ak, ak).statement;
        const answer = await verify({ ...value, statement: { ...statement, ak: { pubArea } } });
        expect(answer).toEqual({ refused: 'InvalidSignature: ' });
      });
    },
  );
});
