import { checkPrimeSync, randomBytes, webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { derOctets, derSequence, derValue } from '../../../src/crypto/der-write.ts';
import { type ChainOptions, type ChainResult, verifyChain } from '../../../src/crypto/verify-chain.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import {
  buildCommonName,
  type CertificateSpec,
  issue,
  issueAuthority,
  type TestCertificate,
} from '../../certificates.ts';

const EK = '2.23.133.8.1';

let root: TestCertificate;
let middle: TestCertificate;

beforeAll(async () => {
  root = await issueAuthority('root');
  middle = await issueAuthority('middle', root);
});

/** The checks that failed. */
const failures = ({ findings }: ChainResult): string[] =>
  findings.filter(({ status }) => status === 'fail').map(({ id }) => id);

const verify = (leaf: TestCertificate, options: Partial<ChainOptions> = {}): Promise<ChainResult> =>
  verifyChain(leaf.der, { roots: [root.der], intermediates: [middle.der], ...options });

const verifyLeaf = async (spec: CertificateSpec, options: Partial<ChainOptions> = {}): Promise<string[]> =>
  failures(await verify(await issue({ subject: buildCommonName('leaf'), ...spec }, middle), options));

/** Issued by a separate CA below the root. */
async function verifyUnder(authority: CertificateSpec, spec: CertificateSpec, options: Partial<ChainOptions> = {}) {
  const above = await issueAuthority('above', root, authority);
  const leaf = await issue({ subject: buildCommonName('leaf'), ...spec }, above);
  return failures(await verify(leaf, { intermediates: [above.der], ...options }));
}

describe('verifyChain', () => {
  it('accepts a certificate under a root, and returns the way in DER', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    const result = await verify(leaf);
    expect(failures(result)).toEqual([]);
    expect(result.ok).toBe(true);
    expect(result.path).toEqual([leaf.der, middle.der, root.der]);
    expect(result.findings.map(({ id }) => id)).toEqual([
      ...['roots', 'certificate', 'path', 'validity', 'authorities', 'path-length', 'critical-extensions'],
      ...['name-constraints', 'end-entity', 'algorithms'],
    ]);
  });

  it('accepts nothing without roots', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    const result = await verify(leaf, { roots: [] });
    expect(result).toEqual({
      ok: false,
      findings: [{ id: 'roots', status: 'fail', detail: 'no roots were given, so nothing is trusted' }],
      path: [],
    });
  });

  it('reports bytes that are not a certificate, and throws for a root that is not one', async () => {
    expect(failures(await verifyChain(new Uint8Array([0x30, 0]), { roots: [root.der] }))).toEqual(['certificate']);
    await expect(verifyChain(middle.der, { roots: [new Uint8Array(3)] })).rejects.toMatchObject({
      code: 'certificate-invalid',
    });
  });

  it('refuses bytes behind the certificate', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    const longer = new Uint8Array([...leaf.der, 0]);
    expect(failures(await verifyChain(longer, { roots: [root.der], intermediates: [middle.der] }))).toEqual([
      'certificate',
    ]);
  });

  it('refuses a certificate whose issuer is not given, a foreign one, and a self-issued one', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    const alone = await verify(leaf, { intermediates: [] });
    expect(alone.findings).toEqual([
      { id: 'path', status: 'fail', detail: 'there is no certificate for the issuer CN=middle' },
    ]);
    const impostor = await issueAuthority('root');
    expect(failures(await verify(leaf, { roots: [impostor.der] }))).toEqual(['path']);
    expect(failures(await verify(await issue({ subject: buildCommonName('root') })))).toEqual(['path']);
  });

  it('refuses a signature of another key', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf'), signer: root }, middle);
    expect((await verify(leaf)).findings).toEqual([
      {
        id: 'path',
        status: 'fail',
        detail: 'no given certificate of the issuer CN=middle has the key that signed the certificate of CN=leaf',
      },
    ]);
  });

  it('refuses every changed byte of a certificate', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    for (let at = 0; at < leaf.der.length; at++) {
      const changed = leaf.der.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const { ok, findings } = await verifyChain(changed, { roots: [root.der], intermediates: [middle.der] });
      expect([at, ok, findings.at(-1)?.status]).toEqual([at, false, 'fail']);
    }
  });

  it('finds the way among others with the same names, dead ends and rubbish', async () => {
    const others = await Promise.all([issueAuthority('middle'), issueAuthority('middle', root, { ca: false })]);
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    const intermediates = [new Uint8Array(2), ...others.map(({ der }) => der), root.der, middle.der];
    expect((await verify(leaf, { intermediates })).path).toEqual([leaf.der, middle.der, root.der]);
  });

  it('ends for authorities that certify one another', async () => {
    const first = await issueAuthority('first');
    const second = await issueAuthority('second', first);
    const loop = await issue({ subject: buildCommonName('first'), ca: true, spki: await spkiOf(first) }, second);
    const leaf = await issue({ subject: buildCommonName('leaf') }, first);
    const result = await verify(leaf, { intermediates: [loop.der, second.der, first.der] });
    expect(failures(result)).toEqual(['path']);
  });

  it.each<[string, CertificateSpec, Partial<ChainOptions>, string[]]>([
    ['a certificate that is valid to the end of 9999', { notAfter: new Date('9999-12-31T23:59:59Z') }, {}, []],
    ['one in 2200', { notAfter: new Date('9999-12-31T23:59:59Z') }, { time: new Date('2200-01-01') }, ['validity']],
    ['an expired one', { notAfter: new Date('2020-01-01') }, {}, ['validity']],
    [
      'one that is not yet valid',
      { notBefore: new Date('2049-01-01'), notAfter: new Date('2055-01-01') },
      {},
      ['validity'],
    ],
    ['any at an invalid time', {}, { time: new Date('never') }, ['validity']],
    ['an authority', { ca: true }, {}, ['end-entity']],
    ['one with name constraints', { ca: false, permitted: [{ dns: 'a.example' }] }, {}, ['end-entity']],
    ['one whose key is for certificates', { ca: false, keyUsage: [5] }, {}, ['end-entity']],
    ['one with a path length', { ca: false, pathLength: 0 }, {}, ['end-entity']],
    ['empty alternative names', { names: [] }, {}, ['certificate']],
    ['a host name that is not in ASCII', { names: [{ dns: 'a\u00e4.example' }] }, {}, ['certificate']],
    ['a host name behind a byte order mark', { names: [{ dns: '\ufeffa.example' }] }, {}, ['certificate']],
    ['an address of 5 bytes', { names: [{ ip: new Uint8Array(5) }] }, {}, ['certificate']],
    ['one with the purpose', { purposes: ['1.2.3', EK] }, { extendedKeyUsage: EK }, []],
    ['one without purposes', {}, { extendedKeyUsage: EK }, ['extended-key-usage']],
    ['one with another purpose', { purposes: ['2.23.133.8.3'] }, { extendedKeyUsage: EK }, ['extended-key-usage']],
    ['one for any purpose', { purposes: ['2.5.29.37.0'] }, { extendedKeyUsage: EK }, ['extended-key-usage']],
    ['a critical subjectAltName', { names: [{ dns: 'a.example' }], namesCritical: true }, {}, []],
    ['an unknown critical extension', { extensions: [['1.2.3.4', true, NULL]] }, {}, ['critical-extensions']],
    ['an unknown extension', { extensions: [['1.2.3.4', false, NULL]] }, {}, []],
    [
      'policyConstraints',
      { extensions: [['2.5.29.36', true, new Uint8Array([0x30, 0])]] },
      {},
      ['critical-extensions'],
    ],
    ['SHA-1', { hash: 'SHA-1' }, {}, ['algorithms']],
    ['SHA-1 where it is taken', { hash: 'SHA-1' }, { acceptSha1: true }, []],
    [
      'an extension that comes twice',
      {
        extensions: [
          ['1.2.3.4', false, NULL],
          ['1.2.3.4', false, NULL],
        ],
      },
      {},
      ['certificate'],
    ],
    ['basicConstraints that cannot be read', { extensions: [['2.5.29.19', true, NULL]] }, {}, ['certificate']],
    ['a keyUsage that cannot be read', { extensions: [['2.5.29.15', true, NULL]] }, {}, ['certificate']],
    ['names that cannot be read', { extensions: [['2.5.29.17', true, NULL]] }, {}, ['certificate']],
  ])('judges %s', async (_, spec, options, expected) => {
    expect(await verifyLeaf(spec, options)).toEqual(expected);
  });

  it.each<[string, CertificateSpec, Partial<ChainOptions>, string[]]>([
    ['without basicConstraints', { subject: buildCommonName('above'), ca: undefined as never }, {}, ['authorities']],
    ['with CA:FALSE', { ca: false }, {}, ['authorities']],
    ['whose key is not for certificates', { keyUsage: [0, 6] }, {}, ['authorities']],
    ['that is expired', { notAfter: new Date('2020-01-01') }, {}, ['validity']],
    ['for no other purpose', { purposes: [EK] }, { extendedKeyUsage: EK }, []],
    ['for any purpose', { purposes: ['2.5.29.37.0'] }, { extendedKeyUsage: EK }, []],
    ['for another purpose', { purposes: ['1.2.3'] }, { extendedKeyUsage: EK }, ['extended-key-usage']],
    ['with an unknown critical extension', { extensions: [['1.2.3.4', true, NULL]] }, {}, ['critical-extensions']],
    ['with a path length of 0', { pathLength: 0 }, {}, []],
    ['without a name', { subject: [] }, {}, ['authorities']],
    ['with a path length below 0', { pathLength: -1 }, {}, ['path']],
    ['with empty name constraints', { extensions: [['2.5.29.30', true, new Uint8Array([0x30, 0])]] }, {}, ['path']],
    ['that permits an empty list of names', { permitted: [] }, {}, ['path']],
    [
      'with name constraints of another kind',
      { extensions: [['2.5.29.30', true, new Uint8Array([0x30, 2, 0xa2, 0])]] },
      {},
      ['path'],
    ],
  ])('gives the expected result for a CA %s', async (_, authority, options, expected) => {
    expect(await verifyUnder(authority, { purposes: [EK] }, options)).toEqual(expected);
  });

  it('refuses an authority whose private key can be computed (ROCA), and a root too', async () => {
    const { spki, keys } = await rocaPair();
    for (const issuer of [root, undefined]) {
      const spec = issuer === undefined ? { spki, signer: { ...root, keys } } : { spki };
      const weak = { ...(await issueAuthority('weak', issuer, spec)), keys };
      const leaf = await issue({ subject: buildCommonName('leaf') }, weak);
      const roots = [(issuer ?? weak).der];
      const result = await verify(leaf, { roots, intermediates: [weak.der] });
      expect(failures(result)).toEqual(['algorithms']);
      expect(result.findings.at(-1)?.detail).toBe('CN=weak: its private key can be computed (ROCA, CVE-2017-15361)');
    }
  });

  it('reports a chain that is too long', async () => {
    const chain = [root];
    for (let count = 1; count <= 8; count++) chain.push(await issueAuthority(`CA ${count}`, chain.at(-1)));
    const [last, ...others] = chain.reverse();
    const leafBelow = async (ca: TestCertificate | undefined) => {
      const leaf = await issue({ subject: buildCommonName('leaf') }, ca);
      return await verify(leaf, { intermediates: chain.map(({ der }) => der) });
    };
    expect((await leafBelow(others[0])).ok).toBe(true);
    expect((await leafBelow(last)).findings).toEqual([
      { id: 'path', status: 'fail', detail: 'there are more than 8 CAs above the certificate' },
    ]);
  });

  it('counts the authorities below a path length, those that issued themselves left out', async () => {
    const limited = await issueAuthority('limited', root, { pathLength: 0 });
    const below = await issueAuthority('below', limited);
    const deep = await issue({ subject: buildCommonName('leaf') }, below);
    expect(failures(await verify(deep, { intermediates: [limited.der, below.der] }))).toEqual(['path-length']);

    const rolled = await issueAuthority('limited', limited);
    const leaf = await issue({ subject: buildCommonName('leaf') }, rolled);
    expect(failures(await verify(leaf, { intermediates: [limited.der, rolled.der] }))).toEqual([]);
  });
});

describe('name constraints', () => {
  const O = '2.5.4.10';
  const CN = '2.5.4.3';
  const inside = [[[O, 'Maker']], [[CN, 'TPM']]] as const;
  const outside = [[[O, 'Other']], [[CN, 'TPM']]] as const;
  const permitted = [{ directory: [[[O, 'maker ']]] }] as const;

  it.each<[string, CertificateSpec, CertificateSpec, boolean]>([
    ['a subject inside', { permitted }, { subject: inside }, true],
    ['a subject outside', { permitted }, { subject: outside }, false],
    ['a subject that is shorter', { permitted: [{ directory: inside }] }, { subject: [[[O, 'Maker']]] }, false],
    ['an empty subject', { permitted }, { subject: [] }, true],
    [
      'a relative name with one more attribute',
      { permitted },
      {
        subject: [
          [
            [O, 'Maker'],
            [CN, 'x'],
          ],
        ],
      },
      false,
    ],
    ['a directory name of the TPM outside', { permitted }, { subject: [], names: [{ directory: outside }] }, false],
    ['a directory name of the TPM inside', { permitted }, { subject: [], names: [{ directory: inside }] }, true],
    ['an excluded subject', { excluded: permitted }, { subject: inside }, false],
    ['another subject', { excluded: permitted }, { subject: outside }, true],
    ['an excluded subject with a soft hyphen', { excluded: permitted }, { subject: [[[O, 'Mak\u00ader']]] }, false],
    ['an excluded subject in wide letters', { excluded: permitted }, { subject: [[[O, '\uff2daker']]] }, false],
    ['another kind of name', { permitted: [{ dns: 'a.example' }] }, { subject: outside }, true],
    ['a host inside', { permitted: [{ dns: 'A.example' }] }, { names: [{ dns: 'x.a.Example' }] }, true],
    ['the host itself', { permitted: [{ dns: 'a.example' }] }, { names: [{ dns: 'a.example' }] }, true],
    ['a host that only ends so', { permitted: [{ dns: 'a.example' }] }, { names: [{ dns: 'xa.example' }] }, false],
    [
      'one host of two outside',
      { permitted: [{ dns: 'a.example' }] },
      { names: [{ dns: 'a.example' }, { dns: 'b.example' }] },
      false,
    ],
    ['an excluded host', { excluded: [{ dns: 'a.example' }] }, { names: [{ dns: 'x.a.example' }] }, false],
    [
      'an address inside',
      { permitted: [{ ip: new Uint8Array([10, 0, 0, 0, 255, 0, 0, 0]) }] },
      { names: [{ ip: new Uint8Array([10, 9, 9, 9]) }] },
      true,
    ],
    [
      'an address outside',
      { permitted: [{ ip: new Uint8Array([10, 0, 0, 0, 255, 0, 0, 0]) }] },
      { names: [{ ip: new Uint8Array([11, 9, 9, 9]) }] },
      false,
    ],
    [
      'an address of another version',
      { permitted: [{ ip: new Uint8Array([10, 0, 0, 0, 255, 0, 0, 0]) }] },
      { names: [{ ip: new Uint8Array(16) }] },
      false,
    ],
    ['a mailbox inside', { permitted: [{ email: 'a.example' }] }, { names: [{ email: 'x@A.example' }] }, true],
    ['a mailbox below', { permitted: [{ email: 'a.example' }] }, { names: [{ email: 'x@b.a.example' }] }, false],
    [
      'a mailbox below a domain',
      { permitted: [{ email: '.a.example' }] },
      { names: [{ email: 'x@b.a.example' }] },
      true,
    ],
    ['the very mailbox', { permitted: [{ email: 'x@a.example' }] }, { names: [{ email: 'x@a.example' }] }, true],
    ['another mailbox', { permitted: [{ email: 'x@a.example' }] }, { names: [{ email: 'X@a.example' }] }, false],
    [
      'a mailbox in the subject',
      { permitted: [{ email: 'a.example' }] },
      { subject: [[['1.2.840.113549.1.9.1', 'x@b.example']]] },
      false,
    ],
    ['a URI inside', { permitted: [{ uri: 'a.example' }] }, { names: [{ uri: 'https://a.example/x' }] }, true],
    ['a URI outside', { permitted: [{ uri: '.a.example' }] }, { names: [{ uri: 'https://a.example/x' }] }, false],
    ['a URI without a host', { permitted: [{ uri: 'a.example' }] }, { names: [{ uri: 'urn:ek:sha256:x' }] }, false],
    ['the same, excluded', { excluded: [{ uri: 'a.example' }] }, { names: [{ uri: 'urn:ek:sha256:x' }] }, false],
    ['a wildcard inside', { permitted: [{ dns: 'a.example' }] }, { names: [{ dns: '*.a.example' }] }, true],
    ['a wildcard below', { permitted: [{ dns: '.a.example' }] }, { names: [{ dns: '*.a.example' }] }, true],
    ['a wildcard above', { permitted: [{ dns: 'x.a.example' }] }, { names: [{ dns: '*.a.example' }] }, false],
    ['a wildcard outside', { permitted: [{ dns: 'a.example' }] }, { names: [{ dns: '*.b.example' }] }, false],
    ['a wildcard that is excluded', { excluded: [{ dns: 'a.example' }] }, { names: [{ dns: '*.a.example' }] }, false],
    [
      'a wildcard of which one host is excluded',
      { excluded: [{ dns: 'x.a.example' }] },
      { names: [{ dns: '*.a.example' }] },
      false,
    ],
    ['a wildcard elsewhere', { excluded: [{ dns: 'x.b.example' }] }, { names: [{ dns: '*.a.example' }] }, true],
    ...['*', '*.', 'x*.a.example', 'x.*.a.example', '.a.example', 'a.example.', 'a..example', '', '-a.example'].flatMap(
      (dns): [string, CertificateSpec, CertificateSpec, boolean][] => [
        [`the host '${dns}', permitted`, { permitted: [{ dns: '' }] }, { names: [{ dns }] }, false],
        [`the host '${dns}' below`, { permitted: [{ dns: 'a.example' }] }, { names: [{ dns }] }, false],
        [`the host '${dns}', not excluded`, { excluded: [{ dns: 'b.example' }] }, { names: [{ dns }] }, false],
      ],
    ),
    ...['a@b@a.example', '"a@b"@a.example', 'a.example', '@a.example', 'x@', 'x@[10.0.0.1]', 'x@a.example.'].flatMap(
      (email): [string, CertificateSpec, CertificateSpec, boolean][] => [
        [`the mailbox ${email}`, { permitted: [{ email: 'a.example' }] }, { names: [{ email }] }, false],
        [`the mailbox ${email}, not excluded`, { excluded: [{ email: 'b.example' }] }, { names: [{ email }] }, false],
      ],
    ),
    ...[
      ...[
        'https://10.0.0.1/',
        'https://[::1]/',
        'https://a.example\\.b.example/',
        'https://%61.example/',
        'https:///a.example',
      ],
      ...['https://x@y@a.example/', 'https:a.example', 'https://a.example./', '//a.example/', 'https://a.example\t/'],
    ].flatMap((uri): [string, CertificateSpec, CertificateSpec, boolean][] => [
      [`the URI ${uri}`, { permitted: [{ uri: 'a.example' }] }, { names: [{ uri }] }, false],
      [`the URI ${uri}, not excluded`, { excluded: [{ uri: 'b.example' }] }, { names: [{ uri }] }, false],
    ]),
    ...['https://a.example', 'https://a.example:8443/@b', 'ldap://x:y@a.example?z', 'HTTPS://A.example#x'].map(
      (uri): [string, CertificateSpec, CertificateSpec, boolean] => [
        `the URI ${uri} inside`,
        { permitted: [{ uri: 'a.example' }], excluded: [{ uri: 'b.example' }] },
        { names: [{ uri }] },
        true,
      ],
    ),
    [
      'a mask with a hole',
      { excluded: [{ ip: new Uint8Array([10, 0, 0, 0, 255, 0, 255, 0]) }] },
      { names: [{ ip: new Uint8Array([11, 9, 9, 9]) }] },
      false,
    ],
    [
      'an address under constraints of another length',
      { excluded: [{ ip: new Uint8Array(9) }] },
      { names: [{ ip: new Uint8Array([11, 9, 9, 9]) }] },
      false,
    ],
    [
      'a host in a constraint that is none',
      { excluded: [{ dns: 'b..example' }] },
      { names: [{ dns: 'a.example' }] },
      false,
    ],
    [
      'a kind that is not known here',
      { permitted: [{ registeredId: '1.2.3' }] },
      { names: [{ registeredId: '1.2.3' }] },
      false,
    ],
  ])('judge %s', async (_, authority, leaf, allowed) => {
    expect(await verifyUnder(authority, { subject: buildCommonName('leaf'), ...leaf })).toEqual(
      allowed ? [] : ['name-constraints'],
    );
  });

  it('apply to CAs below too', async () => {
    const limited = await issueAuthority('limited', root, { permitted });
    const below = await issueAuthority('below', limited);
    const leaf = await issue({ subject: inside }, below);
    expect(failures(await verify(leaf, { intermediates: [limited.der, below.der] }))).toEqual(['name-constraints']);
  });

  it('finds the issuer among 30 of one name, whether or not they say which key they have', async () => {
    const subject = buildCommonName('one of many');
    for (const hasKeyIds of [true, false]) {
      const keyId = (number: number) => derOctets(new Uint8Array([number]));
      const extensions = (number: number): NonNullable<CertificateSpec['extensions']> =>
        hasKeyIds ? [['2.5.29.14', false, keyId(number)]] : [];
      const many = await Promise.all(
        Array.from({ length: 30 }, (_, i) => issueAuthority('', root, { subject, extensions: extensions(i) })),
      );
      const authorityKeyId = derSequence(derValue(0x80, new Uint8Array([29])));
      const leaf = await issue(
        { subject: buildCommonName('leaf'), extensions: hasKeyIds ? [['2.5.29.35', false, authorityKeyId]] : [] },
        many.at(-1),
      );
      const intermediates = many.map(({ der }) => der);
      expect(failures(await verify(leaf, { intermediates }))).toEqual([]);
    }
  });

  it('treats a key identifier as a hint: a wrong one does not hide the issuer', async () => {
    const wrong = derSequence(derValue(0x80, new Uint8Array([1, 2, 3])));
    const named = await issueAuthority('named', root, {
      extensions: [['2.5.29.14', false, derOctets(new Uint8Array([9]))]],
    });
    const leaf = await issue({ subject: buildCommonName('leaf'), extensions: [['2.5.29.35', false, wrong]] }, named);
    expect(failures(await verify(leaf, { intermediates: [named.der] }))).toEqual([]);
  });

  it('reports too many signature checks, not a wrong signature', async () => {
    const subject = buildCommonName('one of many');
    const first = await issueAuthority('', undefined, { subject });
    // All have one key, so each seems to have issued every other: there are too many paths to try.
    const { spki } = await parseCertificate(first.der);
    const many = await Promise.all(Array.from({ length: 12 }, () => issueAuthority('', first, { subject, spki })));
    const leaf = await issue({ subject: buildCommonName('leaf') }, first);
    const { findings } = await verify(leaf, { intermediates: many.map(({ der }) => der) });
    expect(findings).toEqual([
      {
        id: 'path',
        status: 'fail',
        detail: 'finding the issuers takes more than 100 signature checks: too many certificates have the same name',
      },
    ]);
  });

  it('reads up to 100 new intermediates, and reports the limit', async () => {
    const leaf = await issue({ subject: buildCommonName('leaf') }, middle);
    const given = (count: number) => verify(leaf, { intermediates: Array.from({ length: count }, () => middle.der) });
    expect(failures(await given(100))).toEqual([]);
    const detail = '101 intermediates; the limit is 100';
    expect((await given(101)).findings).toEqual([{ id: 'path', status: 'fail', detail }]);
    const read = await parseCertificate(middle.der);
    const known = Array.from({ length: 1000 }, () => read);
    expect(failures(await verify(leaf, { intermediates: known }))).toEqual([]);
  });

  it('compares names with constraints a limited number of times, and says so', async () => {
    const dns = (count: number, name: string) => Array.from({ length: count }, (_, i) => ({ dns: `${name}${i}.test` }));
    const findings = async (names: number, constraints: number) => {
      const above = await issueAuthority('above', root, { excluded: dns(constraints, 'x') });
      const leaf = await issue({ subject: [], names: dns(names, 'n') }, above);
      return (await verify(leaf, { intermediates: [above.der] })).findings.filter(({ status }) => status === 'fail');
    };
    expect(await findings(100, 100)).toEqual([]);
    expect(await findings(101, 100)).toEqual([
      {
        id: 'name-constraints',
        status: 'fail',
        detail: 'checking the name constraints takes more than 10000 comparisons',
      },
    ]);
  });
});

/** An RSA key as the flawed library makes it: primes are powers of 65537 modulo the first 39 primes. */
async function rocaPair(): Promise<{ spki: Uint8Array; keys: webcrypto.CryptoKeyPair }> {
  const primes = Array.from({ length: 168 }, (_, n) => n).filter((n) => n > 1 && !hasFactor(n));
  const modulus = primes.reduce((product, prime) => product * BigInt(prime), 1n);
  const power = (base: bigint, exponent: bigint, m: bigint): bigint => {
    let result = 1n;
    for (let [b, e] = [base % m, exponent]; e > 0n; e >>= 1n, b = (b * b) % m) if (e & 1n) result = (result * b) % m;
    return result;
  };
  const random = (bits: number) => BigInt(`0x${randomBytes(bits / 8).toString('hex')}`);
  const newPrime = (): bigint => {
    for (;;) {
      const residue = power(65537n, random(64), modulus);
      const start = (3n << 1022n) + (random(1016) >> 2n);
      const candidate = start - (start % modulus) + residue;
      if (candidate % 65537n !== 1n && checkPrimeSync(candidate)) return candidate;
    }
  };
  const [p, q, e] = [newPrime(), newPrime(), 65537n];
  const inverse = (a: bigint, m: bigint): bigint => {
    let [r0, r1, t0, t1] = [m, a % m, 0n, 1n];
    while (r1 > 0n) [r0, r1, t0, t1] = [r1, r0 % r1, t1, t0 - (r0 / r1) * t1];
    return ((t0 % m) + m) % m;
  };
  const d = inverse(e, (p - 1n) * (q - 1n));
  const members = { n: p * q, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const text = (value: bigint) => {
    const hex = value.toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url');
  };
  const jwk = { kty: 'RSA', ...Object.fromEntries(Object.entries(members).map(([name, one]) => [name, text(one)])) };
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const { n, e: exponent } = { ...jwk, n: text(members.n), e: text(e) };
  const privateKey = await webcrypto.subtle.importKey('jwk', jwk, algorithm, true, ['sign']);
  const publicKey = await webcrypto.subtle.importKey('jwk', { kty: 'RSA', n, e: exponent }, algorithm, true, [
    'verify',
  ]);
  return { spki: new Uint8Array(await webcrypto.subtle.exportKey('spki', publicKey)), keys: { privateKey, publicKey } };
}

const hasFactor = (n: number): boolean => Array.from({ length: n }, (_, i) => i).some((i) => i > 1 && n % i === 0);

const NULL = new Uint8Array([5, 0]);

async function spkiOf({ keys }: TestCertificate): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey('spki', keys.publicKey));
}
