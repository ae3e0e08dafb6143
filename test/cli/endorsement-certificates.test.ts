import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { decodeStatement, encodeStatement } from '../../src/attestation/statement.ts';
import { utf8 } from '../../src/bytes.ts';
import { splitCertificates } from '../../src/crypto/certificate-bytes.ts';
import { decodeJwk } from '../../src/crypto/jwk.ts';
import { encodePem } from '../../src/crypto/pem.ts';
import { verifyAcmeDeviceAttest } from '../../src/formats/services/verify-acme.ts';
import { createTestAuthority, type TestAuthority } from '../../src/testing/test-authority.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { NV_DefineSpace, NV_Write } from '../../src/tpm/commands/nv.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { buildCommonName, issue } from '../certificates.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { type IntelTpm, startIntelTpm } from './support/intel-tpm.ts';
import { ADA, startServiceWorld } from './support/service-world.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
const swtpmMissing = missing || missingPrograms('swtpm') !== undefined;
const CHALLENGE = '5a'.repeat(20);
const PAPER = { manufacturer: 0x53544d20, model: 'paper', version: 0x10002 };
const EMPTY = new Uint8Array(0);
const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());
const path = (name: string) => join(directory.path, name);
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(path(name), content);
  return path(name);
};

let maker: TestAuthority;
let roots: string;
let otherRoots: string;
beforeAll(async () => {
  maker = await createTestAuthority({ name: 'maker of paper' });
  roots = file('roots.pem', encodePem('CERTIFICATE', maker.root));
  otherRoots = file('other.pem', encodePem('CERTIFICATE', (await createTestAuthority()).root));
});

describe.skipIf(missing)('a TPM that contains its endorsement key certificate', () => {
  const address = `libtpms:${path('tpm')}`;
  const tpm = (...args: string[]) => commands.onlyJson(['tpm', '--tpm', address, ...args]);
  let certificate: Uint8Array;
  beforeAll(async () => (await openTpm(address)).close());

  /** Writes it to the NV index for a P-256 key's certificate. */
  async function store(content: Uint8Array, nvIndex: number): Promise<void> {
    await using opened = await openTpm(address);
    const owner = TPM_RH.OWNER;
    const attributes = { ownerWrite: true, ownerRead: true, authRead: true, noDA: true };
    const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: EMPTY, dataSize: content.length };
    await opened.run(NV_DefineSpace, { authHandle: owner, auth: EMPTY, publicInfo });
    await opened.run(NV_Write, { authHandle: owner, nvIndex, data: content, offset: 0 });
  }
  async function ekOf(template: 'L-1' | 'L-2'): Promise<TpmtPublic> {
    await using opened = await openTpm(address);
    await using ek = await openEndorsementKey(opened, { template });
    return ek.publicArea;
  }

  it('is told to have none, or is asked for it in vain, before', async () => {
    expect(await commands.run(['tpm', '--tpm', address, '--ek-certificates'])).toEqual({
      status: 0,
      stdout: "the TPM has no endorsement key certificate; --ek-service requests one from the TPM's maker\n",
      stderr: '',
    });
    for (const out of [[], ['--out', path('none.pem')]]) {
      const verdict = await tpm('--ek-roots', roots, ...out);
      expect(verdict).toMatchObject({ status: 8, json: { ok: false, verified: false } });
    }
    expect(await tpm('--ek-service')).toMatchObject({ status: 0, json: { certificates: [], problems: [] } });
    expect(await tpm('--ek-certificates', '--out', path('none.pem'))).toMatchObject({
      status: 7,
      json: { error: { code: 'key-not-found' } },
    });
  });

  it('has it shown, verified and written', async () => {
    certificate = await maker.issueEkCertificate(await ekOf('L-2'), { tpm: PAPER });
    await store(certificate, 0x01c0000a);
    const shown = await commands.run(['tpm', '--tpm', address, '--ek-roots', roots, '--out', path('ek.pem')]);
    expect(shown).toMatchObject({ status: 0, stderr: '' });
    expect(shown.stdout).toMatch(
      /^certificate {2}NV 0x01c0000a, of the endorsement key L-2\nmaker {8}id:53544D20, model paper, version id:00010002\nissuer {7}CN=maker of paper\nvalid {8}\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d\nverified: (\d+) of \1 checks passed\n$/,
    );
    const pem = encodePem('CERTIFICATE', certificate);
    expect(readFileSync(path('ek.pem'), 'utf8')).toBe(pem);
    const { json } = await tpm('--ek-certificates');
    expect(json).toMatchObject({
      ok: true,
      tpm: address,
      certificates: [{ source: 'nv', index: '0x01c0000a', template: 'L-2', manufacturer: 'id:53544D20', pem }],
    });
    expect(Object(json).verified).toBe(undefined);
  });

  it("is not verified with another maker's roots or another key's certificate", async () => {
    const other = await commands.run(['tpm', '--tpm', address, '--ek-roots', otherRoots]);
    expect(other.status).toBe(8);
    expect(other.stdout).toMatch(/\nNOT verified: \d+ of \d+ checks passed\nfail {5}chain\/path: /);
    await store(certificate, 0x01c00002);
    const { status, json } = await tpm('--ek-roots', roots);
    expect(status).toBe(8);
    const certificates: { verified: boolean; findings: { id: string; status: string }[] }[] = Object(json).certificates;
    expect(certificates.map(({ verified }) => verified)).toEqual([false, true]);
    const failed = certificates[0]?.findings.filter((one) => one.status === 'fail');
    expect(failed?.map(({ id }) => id)).toEqual(['ek-key']);
  });

  it('gives AD CS the certificate in a file, which must match its RSA key', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    const exchange = file('exchange.der', (await issue({ subject: buildCommonName('CA-Xchg'), spki })).der);
    const rsa = await maker.issueEkCertificate(await ekOf('L-1'), { tpm: PAPER });
    expect((await commands.run(['create', '--tpm', address, '--out', path('key')])).status).toBe(0);
    const request = ['request', '--tpm', address, '--store', path('key'), '--format', 'csr-wcce', '--name', 'x'];
    const sized = async (...args: string[]) => {
      const { status, stdout, stderr } = await commands.run([...request, '--exchange-certificate', exchange, ...args]);
      return {
        status,
        stderr: stderr.split('\n').filter((line) => line.startsWith('keyprov:')),
        length: stdout.length,
      };
    };
    const without = await sized();
    const withIt = await sized('--ek-certificate', file('rsa.pem', encodePem('CERTIFICATE', rsa)));
    expect([without, withIt]).toMatchObject([
      { stderr: [], status: 0 },
      { stderr: [], status: 0 },
    ]);
    expect(withIt.length - without.length).toBeGreaterThan((rsa.length * 4) / 3 - 50);
    expect(await sized('--ek-certificate', path('ek.pem'))).toMatchObject({
      status: 7,
      stderr: ["keyprov: --ek-certificate does not belong to the TPM's RSA endorsement key"],
    });
  });

  it('is verified although its maker is not registered, if --allow-maker names it', async () => {
    const unregistered = `libtpms:${path('unregistered')}`;
    {
      await using opened = await openTpm(unregistered);
      await using ek = await openEndorsementKey(opened, { template: 'L-2' });
      const content = await maker.issueEkCertificate(ek.publicArea, { tpm: { ...PAPER, manufacturer: 0x57_45_52_21 } });
      const [owner, nvIndex] = [TPM_RH.OWNER, 0x01c0000a];
      const attributes = { ownerWrite: true, ownerRead: true, authRead: true, noDA: true };
      const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: EMPTY, dataSize: content.length };
      await opened.run(NV_DefineSpace, { authHandle: owner, auth: EMPTY, publicInfo });
      await opened.run(NV_Write, { authHandle: owner, nvIndex, data: content, offset: 0 });
    }
    const args = ['tpm', '--tpm', unregistered, '--ek-roots', roots];
    expect(await commands.run(args)).toMatchObject({
      status: 8,
      stdout: expect.stringContaining('In tests, --allow-maker ID accepts it.'),
    });
    expect((await commands.run([...args, '--allow-maker', 'id:57455221'])).status).toBe(0);
    expect((await commands.run([...args, '--allow-maker', '57455221'])).stderr).toContain(
      "--allow-maker needs a maker's id, such as id:00000000",
    );
  });

  it.each([
    [
      ['--flush-all', '--ek-service'],
      ['--flush-all cannot be used with --ek-certificates, --ek-roots or --ek-service'],
    ],
    [
      ['--proxy', 'http://x', '--out', 'x'],
      ['--proxy works only with --ek-service', '--out works only with --ek-certificates, --ek-roots or --ek-service'],
    ],
    [['--ek-roots'], ['--ek-roots needs a value']],
  ])('is not asked with %j', async (args, problems) => {
    expect(await tpm(...args)).toMatchObject({ status: 2, json: { error: { code: 'usage', problems } } });
  });

  it('warns about roots that are not CA certificates, and refuses files without any', async () => {
    const { status, json } = await tpm(
      '--ek-certificates',
      '--ek-roots',
      file('mixed.pem', readFileSync(roots, 'utf8') + encodePem('CERTIFICATE', certificate)),
    );
    expect(status).toBe(8);
    expect(json).toMatchObject({
      warnings: [expect.stringMatching(/^--ek-roots: .*mixed\.pem is not used: .*not a CA/)],
    });
    expect(await tpm('--ek-roots', path('ek.pem'))).toMatchObject({
      status: 7,
      json: { error: { code: 'certificate-invalid' } },
    });
  });
});

describe.skipIf(missing)('keyprov verify with the authorities of attestation keys', () => {
  const tpm = `libtpms:${path('verified')}`;
  const key = path('attested');
  const verifyOver = (challenge: string, ...args: string[]) =>
    commands.onlyJson(['verify', '--store', key, '--challenge', challenge, ...args]);
  const verify = (...args: string[]) => verifyOver(CHALLENGE, ...args);

  /** Puts a certificate of the attestation key into the statement. */
  function certify(certificates: readonly Uint8Array[]): void {
    const statement = decodeStatement(readFileSync(join(key, 'attestation.json'), 'utf8'));
    const ak = { pubArea: statement.ak.pubArea, certificates };
    writeFileSync(join(key, 'attestation.json'), JSON.stringify(encodeStatement({ ...statement, ak })));
  }
  const ak = () => decode(TPMT_PUBLIC, decodeStatement(readFileSync(join(key, 'attestation.json'), 'utf8')).ak.pubArea);

  beforeAll(async () => {
    const made = await commands.run(['create', '--tpm', tpm, '--challenge', CHALLENGE, '--out', key]);
    expect(made.status).toBe(0);
  });

  it('does not verify a statement without a certificate, although its signatures verify', async () => {
    expect(await verify()).toMatchObject({ status: 0, json: { caveat: expect.stringContaining('--ak-roots') } });
    const { status, json } = await verify('--ak-roots', roots);
    expect(status).toBe(8);
    const failed = Object(json).findings.filter((one: { status: string }) => one.status === 'fail');
    expect(failed).toEqual([
      { id: 'ak-trusted', status: 'fail', detail: 'the attestation key has no certificate' },
      expect.objectContaining({ id: 'tier' }),
    ]);
  });

  it('says what a certificate proves, without caveats', async () => {
    certify([await maker.issueAkCertificate(ak(), { tpm: PAPER })]);
    const args = ['verify', '--store', key, '--challenge', CHALLENGE, '--ak-roots'];
    const { status, stdout } = await commands.run([...args, roots]);
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /^verified: (\d+) of \1 checks passed; --all shows them\n\nkey .*\nattestation key .*\ntier {13}ek-certificate\n$/,
    );
    const other = await commands.run([...args, otherRoots]);
    expect(other.status).toBe(8);
    expect(other.stdout).toMatch(/^NOT verified: .*\nfail {5}ak-chain\/path: /);
    expect(await verifyOver('5b', '--ak-roots', roots)).toMatchObject({ status: 8 });
  });

  it("distinguishes an emulator's certificate from a chip's", async () => {
    certify([await maker.issueAkCertificate(ak())]);
    expect(await verify('--ak-roots', roots)).toMatchObject({ status: 0, json: { tier: 'virtual' } });
  });

  it('accepts certificates with the endorsement key purpose only on request', async () => {
    certify([await maker.issueEkCertificate(ak(), { tpm: PAPER })]);
    const { status, json } = await verify('--ak-roots', roots);
    expect(status).toBe(8);
    expect(JSON.stringify(json)).toContain('"ak-chain/extended-key-usage","status":"fail"');
    const accepted = await verify('--ak-roots', roots, '--accept-ek-purpose');
    expect(JSON.stringify(accepted.json)).toContain('"ak-chain/extended-key-usage","status":"pass"');
    expect(await verify('--accept-ek-purpose')).toMatchObject({
      status: 2,
      json: { error: { problems: ['--accept-ek-purpose works only with --ak-roots'] } },
    });
  });
});

describe.skipIf(swtpmMissing)('a TPM whose maker has a service for the certificate', () => {
  let intel: IntelTpm;
  beforeAll(async () => {
    intel = await startIntelTpm();
  });
  afterAll(() => intel?.[Symbol.asyncDispose]());

  it('has it fetched through the proxy, and verified', async () => {
    const args = [
      'tpm',
      '--tpm',
      intel.tpm,
      '--ek-service',
      '--proxy',
      intel.proxy,
      '--service-ca',
      file('intel-ca.pem', intel.ca),
      '--ek-roots',
      roots,
    ];
    expect(await commands.onlyJson(args)).toMatchObject({ status: 8, json: { certificates: [] } });
    const ek = await intel.ek('L-1');
    const certificate = await maker.issueEkCertificate(ek, { tpm: PAPER });
    intel.publish(ek, certificate);
    expect(await commands.onlyJson(args)).toMatchObject({
      status: 0,
      json: { certificates: [{ source: 'fetched', template: 'L-1', verified: true }] },
    });
    expect(intel.asked).toHaveLength(2);
  });

  it('has its attestation key certified by an attestation CA that wants it, if the user lets ask the maker', async () => {
    await using world = await startServiceWorld({ ekRoots: [maker.root] });
    const ek = await intel.ek('L-2');
    intel.publish(ek, await maker.issueEkCertificate(ek, { tpm: PAPER }));
    world.file('ca.pem', intel.ca + world.service.ca);
    const args = [
      ...['provision', ...world.runArgs, '--proxy', intel.proxy, '--tpm', intel.tpm, '--no-pin'],
      ...['--attestation-ca', `${world.service.url}/attestation/`],
    ];
    const env = { SSH_CONNECTION: '' };
    const before = intel.asked.length;
    const refused = await commands.json([...args, '--attestation', 'required'], { env });
    expect(refused).toMatchObject({ status: 3, json: { error: { code: 'attestation-unavailable' } } });
    expect(intel.asked).toHaveLength(before);
    const { status, json } = await commands.json([...args, '--attestation', 'required', '--ek-service'], { env });
    expect({ status, user: json.user, error: json.error }).toEqual({ status: 0, user: ADA.upn, error: undefined });
    expect(intel.asked).toHaveLength(before + 1);

    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const accountKey = publicKey.export({ format: 'jwk' });
    const attested = await commands.run([
      ...['attest', '--store', world.store, '--tpm', intel.tpm, '--format', 'acme', '--token', 'abc'],
      ...['--account-key', world.file('account.jwk', JSON.stringify(accountKey)), '--ek-service'],
      ...['--attestation-ca', `${world.service.url}/attestation/`, '--proxy', intel.proxy],
      ...['--service-ca', world.file('ca.pem', intel.ca + world.service.ca)],
    ]);
    expect(attested).toMatchObject({ status: 0 });
    const root = splitCertificates(utf8(world.service.ca))[0] ?? utf8('');
    const { ok, findings } = await verifyAcmeDeviceAttest(attested.stdout, {
      ...{ token: 'abc', accountKey: decodeJwk(utf8(JSON.stringify(accountKey))), akRoots: [root] },
      minTier: 'ek-certificate',
    });
    expect({ ok, failed: findings.filter(({ status }) => status === 'fail') }).toEqual({ ok: true, failed: [] });
  });
});
