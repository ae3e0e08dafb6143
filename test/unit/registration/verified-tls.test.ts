import { X509Certificate } from 'node:crypto';
import tls, { type SecureContextOptions } from 'node:tls';
import { Certificate, ContentInfo, EncapsulatedContentInfo, SignedData } from 'pkijs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { concat, fromHex, utf8 } from '../../../src/bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { readableCertificates, verifiedTls } from '../../../src/registration/verified-tls.ts';
import { issueAuthority, type TestCertificate } from '../../certificates.ts';
import { patchBuiltin } from '../../patch-builtin.ts';
import { refusal } from '../../refusal.ts';

let root: TestCertificate;
let pem: string;
beforeAll(async () => {
  root = await issueAuthority('a root');
  pem = encodePem('CERTIFICATE', root.der);
});

describe('the roots in ca', () => {
  it.each<[string, (text: string) => string]>([
    ['PEM', (text) => text],
    ['text around it', (text) => `subject=a root\n${text}\n${text}end`],
    ['CRLF', (text) => text.replaceAll('\n', '\r\n')],
    ['CR CR LF', (text) => text.replaceAll('\n', '\r\r\n')],
  ])('are trusted: %s', (_, made) => {
    expect(verifiedTls({ ca: made(pem), onlyTheseRoots: true })).toHaveProperty('secureContext');
    expect(readableCertificates(utf8(made(pem)))[0]).toBe(new X509Certificate(pem).toString());
  });

  // Node would leave these out and say nothing.
  it.each<[string, (text: string) => string, string]>([
    ['CR alone', (text) => text.replaceAll('\n', '\r'), 'cannot be read'],
    ['indented lines', (text) => text.replaceAll(/^/gm, '  '), 'cannot be read'],
    ['line breaks written as \\n', (text) => text.replaceAll('\n', '\\n'), 'cannot be read'],
    ['a block without an end', (text) => text.slice(0, 300), 'has no end'],
    ['a block in a block', (text) => text.slice(0, 300) + text, 'cannot be read'],
    ['a second block without an end', (text) => text + text.slice(0, 300), 'has no end'],
    ['a word in place of a certificate', () => encodePem('CERTIFICATE', utf8('hello')), 'cannot be read'],
    ['another kind of block', () => encodePem('PUBLIC KEY', utf8('hello')), 'PEM without a CERTIFICATE block'],
    ['a text', () => 'Dear Ada', 'it contains no certificate'],
    ['nothing', () => '', 'it contains no certificate'],
  ])('are refused: %s', (_, made, problem) => {
    const said = refusal(() => verifiedTls({ ca: [pem, made(pem)] }));
    expect(said).toMatch(/^foreign: TypeError: ca must be certificates in PEM: /);
    expect(said).toContain(problem);
  });

  it("may be OpenSSL's trusted certificates, with the restrictions that TLS reads", () => {
    const trusted = encodePem('TRUSTED CERTIFICATE', concat(root.der, fromHex('300c300a06082b06010505070301')));
    expect(verifiedTls({ ca: trusted, onlyTheseRoots: true })).toHaveProperty('secureContext');
    expect(readableCertificates(utf8(pem + trusted))).toEqual([pem, trusted]);
  });

  it('may be in a PKCS #7 file', () => {
    const certificates = [root, root].map(({ der }) => Certificate.fromBER(der));
    const encapContentInfo = new EncapsulatedContentInfo({ eContentType: '1.2.840.113549.1.7.1' });
    const content = new SignedData({ version: 1, encapContentInfo, certificates }).toSchema(true);
    const file = new Uint8Array(new ContentInfo({ contentType: '1.2.840.113549.1.7.2', content }).toSchema().toBER());
    for (const bytes of [file, utf8(encodePem('PKCS7', file)), utf8(encodePem('CERTIFICATE', file))]) {
      expect(readableCertificates(bytes)).toEqual([pem, pem]);
    }
  });
});

describe('the roots of Node', () => {
  const { createSecureContext } = tls;
  let trusted: SecureContextOptions['ca'];
  patchBuiltin(tls, {
    createSecureContext: (options) => {
      trusted = options?.ca;
      return createSecureContext(options);
    },
  });
  beforeAll(() => void vi.stubEnv('NODE_EXTRA_CA_CERTS', ''));
  afterAll(() => void vi.unstubAllEnvs());

  it('are all trusted besides the roots in ca', () => {
    verifiedTls({ ca: pem });
    expect(trusted).toEqual([...tls.rootCertificates, pem]);
  });

  it('are not trusted if only the roots in ca are', () => {
    verifiedTls({ ca: pem, onlyTheseRoots: true });
    expect(trusted).toEqual([pem]);
  });

  it('are left to Node without ca', () => {
    verifiedTls({});
    expect(trusted).toBeFalsy();
  });
});
