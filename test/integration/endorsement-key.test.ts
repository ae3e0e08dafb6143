import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { readEkCertificates } from '../../src/attestation/read-ek-certificates.ts';
import { verifyEkCertificate } from '../../src/attestation/verify-ek-certificate.ts';
import { concat, toHex, utf8 } from '../../src/bytes.ts';
import { splitCertificates } from '../../src/crypto/certificate-bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { encode } from '../../src/tpm/codec/index.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { NV_DefineSpace, NV_Write } from '../../src/tpm/commands/nv.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { objectName } from '../../src/tpm/names.ts';
import { readNv } from '../../src/tpm/nv.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import type { TpmaNv } from '../../src/tpm/structures/nv.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { type EkTemplateName, ekTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { issue, issueAuthority } from '../certificates.ts';
import { storedCertificate } from '../inspect-samples.ts';
import { missingPrograms } from '../programs.ts';
import { libtpmsMissing } from './support/libtpms.ts';
import { leftovers, manufacturedTpm as newTpm } from './support/new-tpm.ts';
import { type ManufacturedTpm, manufactureTpm } from './support/swtpm-setup.ts';

const EMPTY = new Uint8Array(0);
/** As swtpm_setup defines the indices of certificates, without the locks. */
const AS_MADE: TpmaNv = {
  ppWrite: true,
  ppRead: true,
  ownerRead: true,
  authRead: true,
  noDA: true,
  platformCreate: true,
};

/** Defines an NV index as a TPM maker does, and writes it in pieces that the TPM accepts. */
async function writeNv(tpm: Tpm, nvIndex: number, content: Uint8Array, attributes: TpmaNv = AS_MADE): Promise<void> {
  const authHandle = attributes.platformCreate ? TPM_RH.PLATFORM : TPM_RH.OWNER;
  const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: EMPTY, dataSize: content.length };
  await tpm.run(NV_DefineSpace, { authHandle, auth: EMPTY, publicInfo });
  for (let offset = 0; offset < content.length; offset += 512) {
    await tpm.run(NV_Write, { authHandle, nvIndex, data: content.subarray(offset, offset + 512), offset });
  }
}

/** The public area of the primary key of a template, made without the code under test. */
async function primaryOf(tpm: Tpm, inPublic: TpmtPublic, primaryHandle: number = TPM_RH.ENDORSEMENT) {
  const inSensitive = { userAuth: EMPTY, data: EMPTY };
  return await tpm.run(CreatePrimary, { primaryHandle, inSensitive, inPublic, outsideInfo: EMPTY, creationPCR: [] });
}

const skipMade = (await libtpmsMissing()) || missingPrograms('swtpm_setup', 'swtpm_localca', 'openssl') !== undefined;

describe.skipIf(skipMade)('a TPM that swtpm_setup has made', () => {
  let made: ManufacturedTpm;
  let tpm: Tpm;
  const pem = (path: string) => splitCertificates(readFileSync(path));

  beforeAll(async () => {
    made = manufactureTpm();
    tpm = await Tpm.open(await openLibtpms({ state: made.state }));
  });
  afterAll(async () => {
    await tpm?.close();
    made?.[Symbol.dispose]();
  });

  it('has the certificates L-1 and H-3 in NV, and no chain', async () => {
    const { certificates, chain, problems } = await readEkCertificates(tpm);
    expect(certificates.map(({ source, nv }) => [source, nv])).toEqual([
      ['nv', { index: 0x01c00002, template: 'L-1' }],
      ['nv', { index: 0x01c00016, template: 'H-3' }],
    ]);
    expect([chain, problems]).toEqual([[], []]);
  });

  it.each(['L-1', 'H-3'] as const)(
    'has a certificate of %s that passes against its authority, as with openssl',
    async (template) => {
      await using ek = await openEndorsementKey(tpm, { template });
      const { certificates } = await readEkCertificates(tpm);
      const der = certificates.find(({ nv }) => nv?.template === template)?.der ?? EMPTY;
      const options = { ek: ek.publicArea, intermediates: pem(made.issuer), allowedManufacturers: ['id:00001014'] };
      const result = await verifyEkCertificate(der, { ...options, roots: pem(made.root) });
      expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
      expect(result.certificate?.certificate.notAfter.toISOString()).toBe('9999-12-31T23:59:59.000Z');
      expect([result.certificate?.manufacturer, result.certificate?.model]).toEqual(['id:00001014', 'swtpm']);
      expect(result.certificate?.specification).toMatchObject({ family: '2.0', level: 0 });

      const openssl = (root: string) =>
        spawnSync('openssl', ['verify', '-no-CApath', '-CAfile', root, '-untrusted', made.issuer], {
          input: pemOf(der),
        }).status;
      expect(openssl(made.root)).toBe(0);
      const other = await issueAuthority('other');
      const otherPath = join(made.stateDirectory, 'other.pem');
      writeFileSync(otherPath, pemOf(other.der));
      expect(openssl(otherPath)).toBe(2);
      const foreign = await verifyEkCertificate(der, { ...options, roots: [other.der] });
      expect(foreign.findings.filter(({ status }) => status === 'fail').map(({ id }) => id)).toEqual(['chain/path']);
      const without = await verifyEkCertificate(der, { ...options, roots: pem(made.root), intermediates: [] });
      expect(without.findings.filter(({ status }) => status === 'fail').map(({ id }) => id)).toEqual(['chain/path']);
    },
  );

  it('has a certificate of no allowed maker unless swtpm is allowed', async () => {
    const { certificates } = await readEkCertificates(tpm);
    const options = { roots: pem(made.root), intermediates: pem(made.issuer) };
    const { findings } = await verifyEkCertificate(certificates[0]?.der ?? EMPTY, options);
    expect(findings.filter(({ status }) => status === 'fail')).toEqual([
      { id: 'ek-manufacturer', status: 'fail', detail: 'the manufacturer id:00001014 is not allowed' },
    ]);
  });

  it.each([
    ['L-1', 0x81010001],
    ['H-3', 0x81010016],
  ] as const)('uses its persistent %s, which matches the template', async (template, handle) => {
    await using ek = await openEndorsementKey(tpm, { template });
    expect(ek.handle).toBe(handle);
    const { outPublic, objectHandle } = await primaryOf(tpm, ekTemplate(template));
    await objectHandle.flush();
    expect(toHex(encode(TPMT_PUBLIC, ek.publicArea))).toBe(toHex(encode(TPMT_PUBLIC, outPublic)));
  });

  it('uses the key of its first certificate by default', async () => {
    await using ek = await openEndorsementKey(tpm);
    expect([ek.template, ek.handle]).toEqual(['L-1', 0x81010001]);
  });

  it('does not ask a fetcher for a key whose certificate it has, but for another one', async () => {
    await using rsa = await openEndorsementKey(tpm, { template: 'L-1' });
    const lookUp = () => Promise.reject(new Error('not to be called'));
    expect((await readEkCertificates(tpm, { fetcher: { ek: rsa.publicArea, lookUp } })).certificates).toHaveLength(2);

    await using ecc = await openEndorsementKey(tpm, { template: 'L-2' });
    const asked: unknown[] = [];
    const found = await readEkCertificates(tpm, {
      fetcher: {
        ek: ecc.publicArea,
        lookUp: async ({ spki, vendor }) => {
          asked.push(toHex(spki), vendor.manufacturer);
          return [utf8('own'), utf8('above')];
        },
      },
    });
    expect(asked).toEqual([toHex(encodeSpki(publicKeyOf(ecc.publicArea))), 'IBM']);
    expect(found.certificates.at(-1)).toEqual({ der: utf8('own'), source: 'fetched' });
    expect(found.chain).toEqual([utf8('above')]);
  });
});

const pemOf = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;

describe.skipIf(await libtpmsMissing())('an endorsement key', () => {
  it.each(['L-1', 'L-2', 'H-1', 'H-2', 'H-3', 'H-4', 'H-6'] as const)(
    'is made from template %s, and is gone after its release',
    async (template) => {
      await using tpm = await newTpm();
      const ek = await openEndorsementKey(tpm, { template });
      expect(toHex(ek.name)).toBe(toHex(objectName(ek.publicArea)));
      const { outPublic, objectHandle } = await primaryOf(tpm, ekTemplate(template));
      expect(toHex(objectName(outPublic))).toBe(toHex(ek.name));
      await objectHandle.flush();
      await ek.release();
      await ek.release();
      expect(await leftovers(tpm)).toEqual([]);
    },
  );

  it('is L-2 if the TPM has neither certificate nor persistent key', async () => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm);
    expect(ek.template).toBe('L-2');
    expect(await readEkCertificates(tpm)).toEqual({ certificates: [], chain: [], problems: [] });
  });

  it('is the persistent one if there is no certificate', async () => {
    await using tpm = await newTpm();
    const { objectHandle } = await primaryOf(tpm, ekTemplate('H-2'));
    await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: 0x81010014 });
    await objectHandle.flush();
    await using ek = await openEndorsementKey(tpm);
    expect([ek.template, ek.handle]).toEqual(['H-2', 0x81010014]);
  });

  it('is not taken from its handle when the key there is of another hierarchy', async () => {
    await using tpm = await newTpm();
    const { objectHandle, name } = await primaryOf(tpm, ekTemplate('L-2'), TPM_RH.OWNER);
    await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: 0x81010002 });
    await objectHandle.flush();
    await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
    expect(typeof ek.handle).toBe('object');
    expect(toHex(ek.name)).not.toBe(toHex(name));
  });

  const NONCE = new Uint8Array(20).fill(0x5a);
  it.each([
    [
      'L-1',
      0x01c00003,
      (): TpmtPublic => ({ ...ekTemplate('L-1'), unique: concat(NONCE, new Uint8Array(236)) }) as TpmtPublic,
    ],
    [
      'L-2',
      0x01c0000b,
      (): TpmtPublic =>
        ({
          ...ekTemplate('L-2'),
          unique: { x: concat(NONCE, new Uint8Array(12)), y: new Uint8Array(32) },
        }) as TpmtPublic,
    ],
  ] as const)('%s is made with the nonce in NV', async (template, index, expected) => {
    await using tpm = await newTpm();
    await writeNv(tpm, index, NONCE);
    await using ek = await openEndorsementKey(tpm, { template });
    const { name, objectHandle } = await primaryOf(tpm, expected());
    await objectHandle.flush();
    expect(toHex(ek.name)).toBe(toHex(name));
  });

  it.each<[EkTemplateName, number]>([
    ['L-2', 0x01c0000c],
    ['H-3', 0x01c00017],
  ])('%s is made from the template in NV', async (template, index) => {
    await using tpm = await newTpm();
    const stored = { ...ekTemplate(template) };
    if (stored.type !== TPM_ALG.ECC) throw new Error('a key on a curve is expected');
    stored.unique = { x: new Uint8Array(32).fill(1), y: new Uint8Array(32).fill(2) };
    await writeNv(tpm, index, encode(TPMT_PUBLIC, stored));
    await using ek = await openEndorsementKey(tpm, { template });
    const { name, objectHandle } = await primaryOf(tpm, stored);
    await objectHandle.flush();
    expect(toHex(ek.name)).toBe(toHex(name));
  });

  it('is not the persistent one if the template in NV differs', async () => {
    await using tpm = await newTpm();
    const { objectHandle } = await primaryOf(tpm, ekTemplate('L-2'));
    await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: 0x81010002 });
    await objectHandle.flush();
    const stored = ekTemplate('L-2');
    await writeNv(
      tpm,
      0x01c0000c,
      encode(TPMT_PUBLIC, { ...stored, objectAttributes: { ...stored.objectAttributes, noDA: true } }),
    );
    await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
    expect([typeof ek.handle, ek.publicArea.objectAttributes.noDA]).toEqual(['object', true]);
  });

  it('is refused when its nonce is too long', async () => {
    await using tpm = await newTpm();
    await writeNv(tpm, 0x01c0000b, new Uint8Array(33));
    await expect(openEndorsementKey(tpm, { template: 'L-2' })).rejects.toMatchObject({ code: 'key-invalid' });
  });

  it('is refused if its Name differs, and nothing is left behind', async () => {
    await using tpm = await newTpm();
    const expectedName = new Uint8Array(34);
    await expect(openEndorsementKey(tpm, { template: 'L-2', expectedName })).rejects.toMatchObject({
      code: 'tpm-identity-changed',
    });
    expect(await leftovers(tpm)).toEqual([]);
  });

  it("needs its hierarchy's authorization if there is one", async () => {
    await using tpm = await newTpm();
    const newAuth = utf8('endorsement');
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.ENDORSEMENT, newAuth });
    await expect(openEndorsementKey(tpm, { template: 'L-2' })).rejects.toMatchObject({ code: 'tpm-auth-failed' });
    await using ek = await openEndorsementKey(tpm, { template: 'L-2', endorsementAuth: newAuth });
    const { session } = await ek.authorize();
    await session.close();
  });

  it('ends the session when its policy fails', async () => {
    await using tpm = await newTpm();
    const ek = await openEndorsementKey(tpm, { template: 'L-2' });
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.ENDORSEMENT, newAuth: utf8('endorsement') });
    await expect(ek.authorize()).rejects.toMatchObject({ code: 'tpm-auth-failed' });
    await ek.release();
    expect(await leftovers(tpm)).toEqual([]);
  });

  it('of the low range cannot be used by its authorization value', async () => {
    await using tpm = await newTpm();
    await expect(openEndorsementKey(tpm, { template: 'L-1', authorization: 'auth-value' })).rejects.toThrow(TypeError);
  });
});

describe.skipIf(await libtpmsMissing())('certificates in NV', () => {
  it('are read without their padding, and in pieces', async () => {
    const root = await issueAuthority('root');
    const { der } = await issue(
      { subject: [], extensions: [['1.2.3', false, concat(utf8('\x04\x82\x05\xdc'), new Uint8Array(1500))]] },
      root,
    );
    expect(der.length).toBeGreaterThan(1024);
    await using tpm = await newTpm();
    await writeNv(tpm, 0x01c0000a, concat(der, new Uint8Array(100).fill(0xff)));
    await writeNv(tpm, 0x01c00014, concat(root.der, new Uint8Array(77)));
    await writeNv(tpm, 0x01c00002, concat(storedCertificate(root.der), new Uint8Array(9).fill(0xff)));
    const { certificates, problems } = await readEkCertificates(tpm);
    expect(certificates).toEqual([
      { der: root.der, source: 'nv', nv: { index: 0x01c00002, template: 'L-1' } },
      { der, source: 'nv', nv: { index: 0x01c0000a, template: 'L-2' } },
      { der: root.der, source: 'nv', nv: { index: 0x01c00014, template: 'H-2' } },
    ]);
    expect(problems).toEqual([]);
  });

  it('may be a chain that continues in the next index', async () => {
    const [first, second, third] = await Promise.all(['a', 'b', 'c'].map((name) => issueAuthority(name)));
    const all = concat(first?.der ?? EMPTY, second?.der ?? EMPTY, third?.der ?? EMPTY);
    await using tpm = await newTpm();
    await writeNv(tpm, 0x01c00100, all.subarray(0, 400));
    await writeNv(tpm, 0x01c00101, concat(all.subarray(400), new Uint8Array(9)));
    expect((await readEkCertificates(tpm)).chain).toEqual([first?.der, second?.der, third?.der]);
  });

  it('that are damaged, or unreadable for the owner, are reported and do not hide the others', async () => {
    const root = await issueAuthority('root');
    await using tpm = await newTpm();
    await writeNv(tpm, 0x01c00002, utf8('no certificate'));
    await writeNv(tpm, 0x01c0000a, new Uint8Array(30).fill(0xff));
    await writeNv(tpm, 0x01c00014, root.der, { ppWrite: true, ppRead: true, platformCreate: true, noDA: true });
    await writeNv(tpm, 0x01c00016, root.der);
    await writeNv(tpm, 0x01c00100, utf8('x'));
    const { certificates, problems } = await readEkCertificates(tpm);
    expect(certificates.map(({ nv }) => nv?.template)).toEqual(['H-3']);
    expect(problems.map(({ indices }) => indices)).toEqual([[0x01c00002], [0x01c00014], [0x01c00100]]);
  });

  it('are joined by given ones, in DER or PEM', async () => {
    const [one, two] = await Promise.all([issueAuthority('one'), issueAuthority('two')]);
    await using tpm = await newTpm();
    const given = utf8((one ? pemOf(one.der) : '') + (two ? pemOf(two.der) : ''));
    expect((await readEkCertificates(tpm, { given })).certificates).toEqual([
      { der: one?.der, source: 'given' },
      { der: two?.der, source: 'given' },
    ]);
    await expect(readEkCertificates(tpm, { given: utf8('x') })).rejects.toMatchObject({ code: 'certificate-invalid' });
  });
});

describe.skipIf(await libtpmsMissing())('readNv', () => {
  const OWNER: TpmaNv = { ownerWrite: true, ownerRead: true, noDA: true };

  it("reads with the owner's authorization what only the owner can read", async () => {
    await using tpm = await newTpm();
    await writeNv(tpm, 0x01800001, utf8('content'), OWNER);
    const newAuth = utf8('owner');
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth });
    expect(await readNv(tpm, 0x01800001, { ownerAuth: newAuth })).toEqual(utf8('content'));
    await expect(readNv(tpm, 0x01800001)).rejects.toMatchObject({ code: 'tpm-auth-failed' });
  });

  it('needs no owner authorization for what everyone can read', async () => {
    await using tpm = await newTpm();
    await writeNv(tpm, 0x01800001, utf8('content'), { ...OWNER, authRead: true });
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: utf8('owner') });
    expect(await readNv(tpm, 0x01800001)).toEqual(utf8('content'));
  });

  it('does not try an authorization value that would count as a wrong PIN', async () => {
    await using tpm = await newTpm();
    const attributes: TpmaNv = { ownerWrite: true, authRead: true };
    await writeNv(tpm, 0x01c00002, utf8('content'), attributes);
    await expect(readNv(tpm, 0x01c00002)).rejects.toMatchObject({
      code: 'tpm-unsupported',
      message: expect.stringContaining('counts a wrong password of the index'),
      remedy: expect.stringContaining('TPMA_NV_NO_DA'),
    });
    expect(await readEkCertificates(tpm)).toMatchObject({ certificates: [], problems: [{ indices: [0x01c00002] }] });
    expect((await readLockout(tpm)).failedTries).toBe(0);
    await writeNv(tpm, 0x01c0000a, utf8('content'), { ...attributes, ownerRead: true });
    expect(await readNv(tpm, 0x01c0000a)).toEqual(utf8('content'));
  });

  it('finds nothing if there is no index, or it was never written', async () => {
    await using tpm = await newTpm();
    expect(await readNv(tpm, 0x01800001)).toBeUndefined();
    const publicInfo = {
      nvIndex: 0x01800001,
      nameAlg: TPM_ALG.SHA256,
      attributes: OWNER,
      authPolicy: EMPTY,
      dataSize: 8,
    };
    await tpm.run(NV_DefineSpace, { authHandle: TPM_RH.OWNER, auth: EMPTY, publicInfo });
    expect(await readNv(tpm, 0x01800001)).toBeUndefined();
  });
});
