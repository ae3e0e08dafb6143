import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyEkCertificate } from '../../../src/attestation/verify-ek-certificate.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { loadTpmRoots } from '../../../src/registration/tpm-roots.ts';
import {
  type CertificateSpec,
  issue,
  issueAuthority,
  type NameSpec,
  type TestCertificate,
} from '../../certificates.ts';

const named = (organization: string, name: string): NameSpec => [[['2.5.4.10', organization]], [['2.5.4.3', name]]];
const authority = (subject: NameSpec, issuer?: TestCertificate, spec: CertificateSpec = {}) =>
  issueAuthority('', issuer, { subject, ...spec });
const EK: CertificateSpec = {
  ca: false,
  purposes: ['2.23.133.8.1'],
  keyUsage: [4],
  names: [{ directory: [[['2.23.133.2.1', 'id:53544D20']]] }],
};
const pem = ({ der }: TestCertificate) => encodePem('CERTIFICATE', der);
const utf16 = (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le');

describe('loadTpmRoots', () => {
  let directory: string;
  let st: TestCertificate;
  let middle: TestCertificate;
  let old: TestCertificate;
  let ek: TestCertificate;

  /** As the package of Microsoft is once it is extracted. */
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'keyprov-roots-'));
    st = await authority(named('STMicroelectronics NV', 'STM TPM EK Root CA'));
    middle = await authority(named('STMicroelectronics NV', 'STM TPM EK Intermediate CA 05'), st);
    old = await authority(named('Infineon Technologies AG', 'OPTIGA Root'), undefined, {
      hash: 'SHA-1',
      notAfter: new Date('2020-01-01T00:00:00Z'),
    });
    const unknown = await authority([[['2.5.4.3', 'PRG-RPL']]]);
    const amd = await authority([[['2.5.4.3', 'AMDTPM']]]);
    const product = await authority([[['2.5.4.3', 'PRG-XYZ']]], amd);
    ek = await issue(EK, middle);
    for (const below of ['STMicro/RootCA', 'STMicro/IntermediateCA', 'Infineon', 'AMD']) {
      mkdirSync(join(directory, below), { recursive: true });
    }
    const put = (name: string, content: Uint8Array | string) => writeFileSync(join(directory, name), content);
    put('STMicro/RootCA/root.cer', st.der);
    put('STMicro/RootCA/once more.crt', pem(st));
    put('STMicro/IntermediateCA/05.crt', middle.der);
    put('Infineon/root.pem', utf16(pem(old).replaceAll('\n', '\r\n')));
    put('AMD/all.pem', `AMD\n${pem(amd)}${pem(product)}${pem(ek)}`);
    put('unknown.der', unknown.der);
    put('setup.ps1', '# installs all of them\r\n');
    put('damaged.cer', st.der.subarray(0, 100));
    symlinkSync('nowhere', join(directory, 'link.cer'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('finds roots and intermediates in a directory and below it, each once, with their makers', async () => {
    const { roots, intermediates, authorities } = await loadTpmRoots(directory);
    const found = authorities.map(({ file, maker, isRoot }) => [file.slice(directory.length + 1), maker, isRoot]);
    expect(found).toEqual([
      ['AMD/all.pem', 'AMD', true],
      ['AMD/all.pem', 'AMD', false],
      ['Infineon/root.pem', 'Infineon', true],
      ['STMicro/IntermediateCA/05.crt', 'STMicroelectronics', false],
      ['STMicro/RootCA/once more.crt', 'STMicroelectronics', true],
      ['unknown.der', undefined, true],
    ]);
    expect(roots).toEqual(authorities.filter(({ isRoot }) => isRoot).map(({ certificate }) => certificate));
    expect(intermediates.map(({ der }) => der)).toContainEqual(middle.der);
    expect(authorities[2]?.certificate.notAfter).toEqual(new Date('2020-01-01T00:00:00Z'));
  });

  it('reports unusable files, with reasons', async () => {
    const { problems } = await loadTpmRoots(directory);
    expect(problems.map(({ file, detail }) => [file.slice(directory.length + 1), detail])).toEqual([
      ['AMD/all.pem', 'the certificate of (no name) is not a CA certificate'],
      ['damaged.cer', 'certificates: no complete DER SEQUENCE at the beginning of 100 bytes'],
      ['link.cer', `${join(directory, 'link.cer')} does not exist; check the path`],
      ['setup.ps1', 'it contains no certificate'],
    ]);
  });

  it('reports files and directories whose names are not UTF-8, which cannot be opened', async () => {
    const place = mkdtempSync(join(tmpdir(), 'keyprov-roots-'));
    const below = (...name: readonly number[]) => Buffer.concat([Buffer.from(`${place}/`), Buffer.from(name)]);
    writeFileSync(join(place, 'ok \ufffd.cer'), st.der);
    mkdirSync(below(0xc3, 0x28));
    writeFileSync(below(0x4d, 0xfc), st.der);
    const { roots, problems } = await loadTpmRoots(place);
    rmSync(place, { recursive: true });
    expect(roots).toHaveLength(1);
    expect(problems.map(({ detail }) => detail)).toEqual(Array(2).fill('its name is not UTF-8; rename it'));
  });

  it('reports in printable text', async () => {
    const place = mkdtempSync(join(tmpdir(), 'keyprov-roots-'));
    const evil = await issue({ ...EK, subject: [[['2.5.4.3', 'a\u001b[2J']]] }, middle);
    writeFileSync(join(place, 'ok.cer'), st.der);
    writeFileSync(join(place, 'evil.cer'), evil.der);
    symlinkSync('nowhere', join(place, 'link\u001b[2J'));
    const { problems } = await loadTpmRoots(place);
    rmSync(place, { recursive: true });
    expect(problems.map(({ detail }) => detail)).toEqual([
      'the certificate of CN=a\\u{1b}[2J is not a CA certificate',
      `${place}/link\\u{1b}[2J does not exist; check the path`,
    ]);
  });

  it('returns the chain from the certificate of an endorsement key to a root', async () => {
    const { roots, intermediates } = await loadTpmRoots(directory);
    const failures = async (more: object) =>
      (await verifyEkCertificate(ek.der, { roots, ...more })).findings
        .filter(({ status }) => status === 'fail')
        .map(({ id }) => id);
    expect(await failures({ intermediates })).toEqual([]);
    expect(await failures({})).toContain('chain/path');
  });

  it('reads one file with several certificates', async () => {
    const { roots, intermediates } = await loadTpmRoots(join(directory, 'AMD/all.pem'));
    expect([roots.length, intermediates.length]).toEqual([1, 1]);
  });

  it.each([
    ['a file without an authority', 'setup.ps1', 'it contains no certificate'],
    ['a path where nothing is', 'missing', 'does not exist'],
  ])('refuses %s', async (_, name, problem) => {
    await expect(loadTpmRoots(join(directory, name))).rejects.toMatchObject({
      code: 'certificate-invalid',
      message: expect.stringContaining(problem),
    });
  });

  it.each([
    ['an empty file', '', 'it contains no certificate'],
    ['zeros', '\0\0\0', 'it contains no certificate'],
    [
      'a key in PEM',
      '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
      'PEM without a CERTIFICATE block',
    ],
  ])('says that there is no certificate in %s', async (_, content, problem) => {
    const path = join(directory, 'no-certificate');
    writeFileSync(path, content);
    await expect(loadTpmRoots(path)).rejects.toThrow(`${path}: no CA certificate: `);
    await expect(loadTpmRoots(path)).rejects.toThrow(problem);
    rmSync(path);
  });

  it('says only why it cannot list the files', async () => {
    const missing = join(directory, 'missing');
    await expect(loadTpmRoots(missing)).rejects.toThrow(`${missing} does not exist`);
    const many = mkdtempSync(join(tmpdir(), 'keyprov-many-'));
    for (let i = 0; i <= 10_000; i++) writeFileSync(join(many, `${i}`), '');
    await expect(loadTpmRoots(many)).rejects.toMatchObject({
      code: 'certificate-invalid',
      message: `${many} contains more files and directories than the limit of 10000`,
    });
    rmSync(many, { recursive: true });
  });

  it('names the file in a directory without a CA certificate', async () => {
    const below = mkdtempSync(join(tmpdir(), 'keyprov-none-'));
    writeFileSync(join(below, 'notes'), '');
    await expect(loadTpmRoots(below)).rejects.toThrow(
      `${below}: no CA certificate: ${join(below, 'notes')}: it contains no certificate`,
    );
    rmSync(below, { recursive: true });
  });

  it('says how to extract a cabinet file', async () => {
    const file = join(directory, 'TrustedTpm.cab');
    writeFileSync(file, 'MSCF\0\0\0\0');
    await expect(loadTpmRoots(file)).rejects.toThrow(/cabinet file; check its signature.*expand\.exe.*cabextract/);
    rmSync(file);
  });

  it('stops with its signal', async () => {
    await expect(loadTpmRoots(directory, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
