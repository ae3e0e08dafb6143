import '../cheap-scrypt.mjs';
import crypto from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AttestationStatement } from '../../src/attestation/index.ts';
import { type Bytes, fromHex, toHex, utf8, view } from '../../src/bytes.ts';
import { REQUEST_FORMATS, usedBy } from '../../src/cli/commands/formats/request-formats.ts';
import type { RequestInput } from '../../src/cli/commands/formats/request-parts.ts';
import { readEkPublicArea } from '../../src/cli/ek-public-area.ts';
import type { FormatOption } from '../../src/cli/options/format-options.ts';
import { encodeSpki, type PublicKey } from '../../src/crypto/public-key.ts';
import { isKeyprovError } from '../../src/errors.ts';
import type { KeyRecord } from '../../src/keys/key-record.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { openKey, type UserKey } from '../../src/provisioning/open-key.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { AK_CERTIFICATE, buildCommonName, issue } from '../certificates.ts';
import { patchBuiltin } from '../patch-builtin.ts';
import { ecKey, rsaKey } from '../signing-key.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

/** Two values of each option. */
const VALUES = {
  challenge: ['c0ffee', 'c0ffee00'],
  name: ['ada', 'adalina'],
  'for-user': ['ada@contoso.test', 'eve@fabrikam.test'],
  'for-device': ['47f577e3-d2d0-4a0a-8aca-000000000002', '47f577e3-d2d0-4a0a-8aca-000000000003'],
  'tenant-id': ['383a3889-5bc9-47a3-846c-000000000001', '383a3889-5bc9-47a3-846c-000000000002'],
  sid: ['S-1-5-21-1-2-3-1001', 'S-1-5-21-1-2-3-1002'],
  dn: ['CN=ada', 'CN=eve'],
  audience: ['tenant', 'other'],
  nonce: ['n', 'm'],
  'rp-id': ['login.test', 'other.test'],
  origin: ['https://login.test', 'https://other.test'],
  token: ['t', 'u'],
  'account-key': ['rsa', 'ec'],
  'ak-certificate': ['short', 'long'],
  'ek-certificate': ['short', 'long'],
  'exchange-certificate': ['short', 'long'],
  statement: ['c0ffee'.repeat(10), 'c0ffee'.repeat(20)],
} as const satisfies Record<FormatOption, readonly [string, string]>;
const OPTIONS = Object.keys(VALUES) as FormatOption[];
/** What a format needs besides its `needs`. */
const FURTHER: Readonly<Record<string, readonly FormatOption[]>> = { acme: ['token', 'account-key'] };

type Given = ReadonlyMap<FormatOption, string>;

const missing = await tpmMissing();
// A serial number is random.
patchBuiltin(crypto, { randomBytes: ((size: number) => Buffer.alloc(size, 7)) as typeof crypto.randomBytes });

describe.skipIf(missing)('the options of', () => {
  let tpm: Tpm;
  let record: KeyRecord;
  let key: UserKey;
  let ek: PublicKey;
  const certificates = new Map<string, Bytes>();
  const statements = new Map<string, AttestationStatement>();

  beforeAll(async () => {
    tpm = await newTpm();
    const sources = { tpm };
    const policy = definePolicy({ hardware: 'required', algorithm: 'rsa-2048' });
    const owner = { user: 'alice@contoso.test', deviceId: '47f577e3-d2d0-4a0a-8aca-000000000001' };
    ({ record } = await provisionKey({ ...owner, policy, sources, challenge: utf8('first') }));
    key = await openKey({ record, sources });
    const own = await statementOver(utf8('first'));
    ek = publicKeyOf(await readEkPublicArea(tpm, 'L-1', {}));
    const ak = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, own.ak.pubArea)));
    for (const [length, text] of [
      ['short', 'CA'],
      ['long', 'Certification authority'],
    ] as const) {
      const subject = buildCommonName(text);
      const specs = {
        ak: { ...AK_CERTIFICATE, spki: ak },
        ek: { subject, spki: encodeSpki(ek) },
        exchange: { subject, spki: encodeSpki(rsaKey.publicKey) },
      };
      for (const [name, spec] of Object.entries(specs)) {
        certificates.set(`${name} ${length}`, view((await issue(spec)).der));
      }
    }
  });
  afterEach(() => vi.useRealTimers());
  afterAll(async () => {
    await key?.close();
    await tpm?.close();
  });

  /** A statement over that data: the same for each call. */
  async function statementOver(challenge: Bytes): Promise<AttestationStatement> {
    const name = toHex(challenge);
    const known = statements.get(name);
    if (known !== undefined) return known;
    const statement = await key.attest({ challenge });
    statements.set(name, statement);
    return statement;
  }

  /** What the format builds from these options. */
  async function build(format: string, given: Given): Promise<string | Bytes> {
    const { extraData, attests, build: buildIt } = REQUEST_FORMATS[format] ?? expect.unreachable(format);
    const of = (option: FormatOption, name: string) => {
      const length = given.get(option);
      return length === undefined ? undefined : certificates.get(`${name} ${length}`);
    };
    const text = (option: FormatOption) => given.get(option) ?? '';
    const akCertificate = of('ak-certificate', 'ak');
    const options = {
      texts: given,
      challenge: given.has('challenge') ? fromHex(text('challenge')) : undefined,
      accountKey: given.has('account-key') ? accounts[text('account-key') === 'rsa' ? 0 : 1] : undefined,
      akCertificates: akCertificate ? [akCertificate] : [],
      ekCertificate: of('ek-certificate', 'ek'),
      exchangeCertificate: of('exchange-certificate', 'exchange'),
    };
    const input: RequestInput = {
      ...{ key: record, options, statement: undefined },
      signing: { publicKey: record.publicKey, sign: (what) => key.sign(what) },
      endorsementKey: async () => ({
        publicKey: ek,
        ...(options.ekCertificate && { manufacturerCertificate: options.ekCertificate }),
      }),
    };
    if (attests === undefined) return await buildIt(input);
    const existing = given.get('statement');
    const data = existing ? fromHex(existing) : (extraData?.(input) ?? options.challenge ?? utf8('first'));
    const { akCreation, ...made } = await statementOver(data);
    // A proof of the attestation key contains the time, but no challenge.
    const proof = existing ? akCreation : [...statements.values()][0]?.akCreation;
    const ak = { ...made.ak, ...(akCertificate && { certificates: [akCertificate] }) };
    return await buildIt({ ...input, statement: { ...made, ak, ...(proof && { akCreation: proof }) } });
  }

  it.each(Object.keys(REQUEST_FORMATS))('%s are those that change what it builds', async (name) => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
    const format = REQUEST_FORMATS[name] ?? expect.unreachable(name);
    const base: Given = new Map(
      [...(format.needs ?? []), ...(FURTHER[name] ?? [])].map((one) => [one, VALUES[one][0]]),
    );
    const plain = await build(name, base);
    // csr-wcce encrypts, and OpenSSL pads with random bytes.
    const isRandom = !isDeepStrictEqual(plain, await build(name, base));
    expect(isRandom).toBe(name === 'csr-wcce');
    const changed: FormatOption[] = [];
    for (const option of OPTIONS) {
      const other = await build(name, new Map([...base, [option, VALUES[option][base.has(option) ? 1 : 0]]])).catch(
        refusal,
      );
      const isChanged = isRandom ? other.length !== plain.length : !isDeepStrictEqual(other, plain);
      if (isChanged) changed.push(option);
    }
    expect(changed.sort()).toEqual([...usedBy(format)].sort());
  });
});

const accounts = [rsaKey.publicKey, ecKey('P-256').publicKey];

/** WebAuthn refuses a statement over anything else than its options. */
function refusal(error: unknown): string {
  if (isKeyprovError(error, 'request-invalid')) return error.message;
  throw error;
}
