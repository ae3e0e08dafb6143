import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Bytes, concat, fromHex, toHex, utf8, view } from '../../../src/bytes.ts';
import {
  contextTag,
  DER_NULL,
  DER_TRUE,
  derExplicit,
  derInteger,
  derOctets,
  derOid,
  derSequence,
  derText,
  derValue,
  TAG,
} from '../../../src/crypto/der-write.ts';
import { type Certificate, parseCertificate } from '../../../src/crypto/x509.ts';

// Built value by value, with signatures of zeros: whether a signature is good is seen in certificate-signature.test.ts.

const ECDSA_SHA256 = derSequence(derOid('1.2.840.10045.4.3.2'));
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const SPKI = view(pair.publicKey.export({ type: 'spki', format: 'der' }));
const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
const RSA_BITS = concat(new Uint8Array(1), view(rsa.publicKey.export({ type: 'pkcs1', format: 'der' })));
const bits = (...bytes: readonly number[]) => derValue(TAG.BIT_STRING, new Uint8Array(bytes));
const attribute = (type: string, value: Uint8Array) => derSequence(derOid(type), value);
const nameOf = (...relative: readonly Uint8Array[]) => derSequence(...relative.map((one) => derValue(TAG.SET, one)));
const commonName = (text: string) => nameOf(attribute('2.5.4.3', derText('utf8', text)));
const utcTime = (text: string) => derValue(TAG.UTC_TIME, utf8(text));
const generalizedTime = (text: string) => derValue(TAG.GENERALIZED_TIME, utf8(text));
const extension = (id: string, value: Uint8Array, critical?: Uint8Array) =>
  derSequence(derOid(id), ...(critical === undefined ? [] : [critical]), derOctets(value));

interface Parts {
  readonly version?: Uint8Array | undefined;
  readonly issuer?: Uint8Array;
  readonly validity?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly spki?: Uint8Array;
  readonly ids?: readonly Uint8Array[];
  readonly extensions?: readonly Uint8Array[] | undefined;
  readonly behind?: readonly Uint8Array[];
}

function tbsOf(parts: Parts, algorithm: Uint8Array): Bytes {
  return derSequence(
    ...('version' in parts ? (parts.version === undefined ? [] : [parts.version]) : [derExplicit(0, derInteger(2))]),
    derInteger(7),
    algorithm,
    parts.issuer ?? commonName('issuer'),
    parts.validity ?? derSequence(utcTime('300101000000Z'), utcTime('310101000000Z')),
    parts.subject ?? commonName('subject'),
    parts.spki ?? SPKI,
    ...(parts.ids ?? []),
    ...(parts.extensions === undefined ? [] : [derExplicit(3, derSequence(...parts.extensions))]),
    ...(parts.behind ?? []),
  );
}

function build(parts: Parts): Bytes {
  const tbs = tbsOf(parts, ECDSA_SHA256);
  return derSequence(tbs, ECDSA_SHA256, bits(0, 0));
}

const parse = (parts: Parts): Promise<Certificate> => parseCertificate(build(parts));
const parseExtension = (id: string, value: Uint8Array): Promise<Certificate> =>
  parse({ extensions: [extension(id, value)] });

async function refused(reading: Promise<unknown>): Promise<string> {
  return await reading.then(
    () => 'nothing thrown',
    ({ code, message }) => `${code}: ${message}`,
  );
}
const CANNOT = 'certificate-invalid: X.509 certificate: ';

describe('parseCertificate', () => {
  it('reads present and absent fields', async () => {
    expect(await parse({})).toMatchObject({
      version: 3,
      issuer: [[{ type: '2.5.4.3', value: 'issuer' }]],
      subject: [[{ type: '2.5.4.3', value: 'subject' }]],
      notBefore: new Date('2030-01-01T00:00:00Z'),
      notAfter: new Date('2031-01-01T00:00:00Z'),
      spki: SPKI,
      signatureHash: 'sha256',
      critical: [],
      basicConstraints: undefined,
      keyUsage: undefined,
      extendedKeyUsage: undefined,
      subjectAltNames: [],
      nameConstraints: undefined,
      subjectKeyId: undefined,
      authorityKeyId: undefined,
      directoryAttributes: new Map(),
    });
    const der = build({});
    const read = await parseCertificate(der);
    expect(read.der).toEqual(der);
    expect(read.der.buffer).not.toBe(der.buffer);
  });

  it('accepts an id-RSASSA-PSS key only for RSASSA-PSS signatures', async () => {
    const spki = (oid: string) => derSequence(derSequence(derOid(oid)), derValue(TAG.BIT_STRING, RSA_BITS));
    const [plain, pss] = await Promise.all(
      ['1.2.840.113549.1.1.7', '1.2.840.113549.1.1.10'].map((oid) => parse({ spki: spki(oid) })),
    );
    const signed = (algorithm: Uint8Array, options: object) => {
      const tbs = tbsOf({}, algorithm);
      const value = sign('sha256', tbs, { key: rsa.privateKey, ...options });
      return parseCertificate(derSequence(tbs, algorithm, derValue(TAG.BIT_STRING, new Uint8Array(1), value)));
    };
    const pkcs1 = await signed(derSequence(derOid('1.2.840.113549.1.1.11'), DER_NULL), {});
    const sha256 = derSequence(derOid('2.16.840.1.101.3.4.2.1'));
    const parameters = derSequence(derExplicit(0, sha256), derExplicit(2, derInteger(32)));
    const byPss = await signed(derSequence(derOid('1.2.840.113549.1.1.10'), parameters), {
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    });
    if (plain === undefined || pss === undefined) throw new Error('two certificates are expected');
    expect([pkcs1.isSignedBy(plain), pkcs1.isSignedBy(pss)]).toEqual([true, false]);
    expect([byPss.isSignedBy(plain), byPss.isSignedBy(pss)]).toEqual([true, true]);
  });

  it('reads a certificate of version 1, and unique identifiers', async () => {
    expect(await parse({ version: undefined })).toMatchObject({ version: 1 });
    expect(await parse({ version: derExplicit(0, derInteger(1)) })).toMatchObject({ version: 2 });
    const ids = [derValue(contextTag(1, 'primitive'), new Uint8Array(2)), derValue(contextTag(2, 'primitive'))];
    expect(await parse({ ids, extensions: [extension('1.2.3', DER_NULL)] })).toMatchObject({ version: 3 });
  });

  it.each<[string, Parts]>([
    ['a part behind it', { behind: [DER_NULL] }],
    ['a part behind its extensions', { extensions: [], behind: [DER_NULL] }],
    ['a third time', { validity: derSequence(...Array<Bytes>(3).fill(utcTime('300101000000Z'))) }],
    ['one time', { validity: derSequence(utcTime('300101000000Z')) }],
    ['an extension with a part more', { extensions: [derSequence(derOid('1.2.3'), derOctets(), DER_NULL)] }],
    ['a key that is not a SEQUENCE', { spki: DER_NULL }],
    ['a version that is not a number', { version: derExplicit(0, DER_NULL) }],
  ])('refuses %s', async (_, parts) => {
    expect(await refused(parse(parts))).toMatch(/^certificate-invalid: X\.509 certificate: it cannot be read: /);
  });

  it('keeps the cause, and says which extension cannot be read', async () => {
    await expect(parse({ behind: [DER_NULL] })).rejects.toMatchObject({ cause: { code: 'request-invalid' } });
    await expect(parseExtension('2.5.29.15', DER_NULL)).rejects.toMatchObject({ cause: { code: 'request-invalid' } });
    expect(await refused(parseExtension('2.5.29.15', DER_NULL))).toBe(
      `${CANNOT}the extension 2.5.29.15 cannot be read: its value: it has tag 0x05, but 0x03 is expected at offset 0`,
    );
    expect(await refused(parse({ extensions: [1, 2].map(() => extension('1.2.3', DER_NULL)) }))).toBe(
      `${CANNOT}an extension appears twice`,
    );
    expect(await refused(parseCertificate(new Uint8Array(65537)))).toMatch(
      /^certificate-invalid: X\.509 certificate: .*65537/,
    );
    expect(await refused(parseExtension('2.5.29.17', derSequence()))).toBe(`${CANNOT}alternative names without names`);
  });

  it.each<[string, Uint8Array, string]>([
    ['the first second of 1950', utcTime('500101000000Z'), '1950-01-01T00:00:00.000Z'],
    ['the last second of 2049', utcTime('491231235959Z'), '2049-12-31T23:59:59.000Z'],
    ['2000', utcTime('000229120000Z'), '2000-02-29T12:00:00.000Z'],
    ['1999', utcTime('991231235959Z'), '1999-12-31T23:59:59.000Z'],
    ['9999', generalizedTime('99991231235959Z'), '9999-12-31T23:59:59.000Z'],
    ['2050', generalizedTime('20500101000000Z'), '2050-01-01T00:00:00.000Z'],
  ])('reads %s', async (_, time, iso) => {
    expect((await parse({ validity: derSequence(time, time) })).notBefore.toISOString()).toBe(iso);
  });

  it.each<[string, Uint8Array]>([
    ['without seconds', utcTime('3001010000Z')],
    ['with another zone', utcTime('300101000000+0100')],
    ['without a zone', utcTime('300101000000')],
    ['with fractions', generalizedTime('20500101000000.5Z')],
    ['of a day that is not there', utcTime('300230000000Z')],
    ['of a month that is not there', utcTime('301301000000Z')],
    ['of the hour 24', utcTime('300101240000Z')],
    ['with a letter', utcTime('30010100000xZ')],
    ['with something before it', generalizedTime('120500101000000Z')],
    ['with something behind it', utcTime('300101000000Z ')],
    ['with two digits as GeneralizedTime', generalizedTime('300101000000Z')],
    ['with four digits as UTCTime', utcTime('20300101000000Z')],
    ['that is empty', utcTime('')],
    ['that is another string', derText('printable', '20500101000000Z')],
    ['that is another string of two digits', derText('printable', '300101000000Z')],
  ])('refuses a time %s', async (_, time) => {
    const good = utcTime('300101000000Z');
    for (const validity of [derSequence(time, good), derSequence(good, time)]) {
      expect(await refused(parse({ validity }))).toMatch(/: certificate: a time is malformed at offset \d+$/);
    }
  });

  it('reads which extensions are critical', async () => {
    const read = await parse({
      extensions: [
        extension('1.2.3', DER_NULL, DER_TRUE),
        extension('1.2.4', DER_NULL),
        extension('1.2.5', DER_NULL, derValue(TAG.BOOLEAN, new Uint8Array(1))),
        extension('1.2.6', DER_NULL, DER_TRUE),
      ],
    });
    expect(read.critical).toEqual(['1.2.3', '1.2.6']);
  });

  it('reads basicConstraints', async () => {
    const read = async (value: Uint8Array) => (await parseExtension('2.5.29.19', value)).basicConstraints;
    expect(await read(derSequence())).toEqual({ ca: false, pathLength: undefined });
    expect(await read(derSequence(DER_TRUE))).toEqual({ ca: true, pathLength: undefined });
    expect(await read(derSequence(DER_TRUE, derInteger(0)))).toEqual({ ca: true, pathLength: 0 });
    expect(await read(derSequence(derInteger(3)))).toEqual({ ca: false, pathLength: 3 });
    for (const value of [derSequence(DER_NULL), derSequence(DER_TRUE, derInteger(0), DER_NULL), DER_NULL]) {
      expect(await refused(read(value))).toContain('the extension 2.5.29.19 cannot be read');
    }
  });

  it('reads keyUsage bit by bit', async () => {
    const read = async (value: Uint8Array) => [...((await parseExtension('2.5.29.15', value)).keyUsage ?? ['none'])];
    expect(await read(bits(5, 0b1010_0000))).toEqual([0, 2]);
    expect(await read(bits(7, 0, 0x80))).toEqual([8]);
    expect(await read(bits(0, 0xff, 1))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 15]);
    expect(await read(bits(0))).toEqual([]);
    for (const value of [bits(), bits(8, 0), derOctets(new Uint8Array(2))]) {
      expect(await refused(read(value))).toContain('the extension 2.5.29.15 cannot be read');
    }
    expect(await refused(read(bits(8, 0)))).toContain('a BIT STRING is malformed');
  });

  it('reads extendedKeyUsage and the identifiers of keys', async () => {
    const purposes = derSequence(derOid('1.2.3'), derOid('2.5.29.37.0'));
    expect((await parseExtension('2.5.29.37', purposes)).extendedKeyUsage).toEqual(['1.2.3', '2.5.29.37.0']);
    expect((await parseExtension('2.5.29.14', derOctets(new Uint8Array([7])))).subjectKeyId).toEqual(fromHex('07'));
    const authority = (...parts: readonly Uint8Array[]) => parseExtension('2.5.29.35', derSequence(...parts));
    const keyId = derValue(contextTag(0, 'primitive'), new Uint8Array([9, 8]));
    const names = derValue(contextTag(1, 'constructed'));
    expect((await authority(keyId)).authorityKeyId).toEqual(fromHex('0908'));
    expect((await authority(keyId, names)).authorityKeyId).toEqual(fromHex('0908'));
    expect((await authority(names)).authorityKeyId).toBeUndefined();
    expect((await authority()).authorityKeyId).toBeUndefined();
  });

  it('reads subjectDirectoryAttributes', async () => {
    const values = derValue(TAG.SET, derInteger(1), derInteger(2));
    const read = async (...attributes: readonly Uint8Array[]) =>
      (await parseExtension('2.5.29.9', derSequence(...attributes))).directoryAttributes;
    expect(await read(derSequence(derOid('1.2.3'), values))).toEqual(
      new Map([['1.2.3', [derInteger(1), derInteger(2)]]]),
    );
    expect(await refused(read(derSequence(derOid('1.2.3'), values, DER_NULL)))).toContain('2.5.29.9 cannot be read');
    expect(await refused(read(derSequence(derOid('1.2.3'), derSequence())))).toContain('2.5.29.9 cannot be read');
  });

  it('refuses an extension with bytes behind its value', async () => {
    expect(await refused(parseExtension('2.5.29.14', concat(derOctets(), new Uint8Array(1))))).toContain(
      'the extension 2.5.29.14 cannot be read: its value: 1 byte left over at offset 2',
    );
  });
});

describe('names', () => {
  const names = async (...list: readonly Uint8Array[]) =>
    (await parseExtension('2.5.29.17', derSequence(...list))).subjectAltNames;
  const primitive = (number: number, value: Uint8Array) => derValue(contextTag(number, 'primitive'), value);

  it('are read by their kinds', async () => {
    const registered = primitive(8, fromHex('2a03'));
    const otherName = derValue(contextTag(0, 'constructed'), derOid('1.2.3'));
    expect(
      await names(
        primitive(1, utf8('a@b')),
        primitive(2, utf8('b.test')),
        primitive(6, utf8('https://c')),
        primitive(7, new Uint8Array(4)),
        primitive(7, new Uint8Array(16)),
        derExplicit(4, commonName('d')),
        registered,
        otherName,
      ),
    ).toEqual([
      { kind: 'email', value: 'a@b' },
      { kind: 'dns', value: 'b.test' },
      { kind: 'uri', value: 'https://c' },
      { kind: 'ip', value: new Uint8Array(4) },
      { kind: 'ip', value: new Uint8Array(16) },
      { kind: 'directory', value: [[{ type: '2.5.4.3', value: 'd' }]] },
      { kind: 'other', value: 8, der: registered },
      { kind: 'other', value: 0, der: otherName },
    ]);
  });

  it.each<[string, readonly Uint8Array[], string]>([
    ['none', [], 'alternative names without names'],
    [
      'more than 1024',
      Array<Bytes>(1025).fill(primitive(2, utf8('a'))),
      'alternative names with 1025 names; the limit is 1024',
    ],
    [
      'an address of 5 bytes',
      [primitive(7, new Uint8Array(4)), primitive(7, new Uint8Array(5))],
      'an IP address that does not have 4 or 16 bytes',
    ],
    ['a letter that is not ASCII', [primitive(2, fromHex('6180'))], 'a name that is not ASCII'],
    [
      'a directory name of two',
      [derExplicit(4, commonName('a'), commonName('b'))],
      'a directoryName that is not exactly one name',
    ],
    ['a directory name of none', [derExplicit(4)], 'a directoryName that is not exactly one name'],
    ['something universal', [DER_NULL], 'a name of an unknown type'],
    ['something of an application', [derValue(0x42, utf8('a'))], 'a name of an unknown type'],
    ['something private', [derValue(0xc2, utf8('a'))], 'a name of an unknown type'],
  ])('are refused with %s', async (_, list, problem) => {
    expect(await refused(names(...list))).toBe(`${CANNOT}${problem}`);
  });

  it('are read up to 1024, of up to 2048 characters, to the last one of ASCII', async () => {
    expect(await names(...Array<Bytes>(1024).fill(primitive(2, utf8('a'))))).toHaveLength(1024);
    expect(await names(primitive(2, utf8(`${'a'.repeat(2047)}\x7f`)))).toEqual([
      { kind: 'dns', value: `${'a'.repeat(2047)}\x7f` },
    ]);
    expect(await refused(names(primitive(2, utf8('a'.repeat(2049)))))).toMatch(
      /^certificate-invalid: X\.509 certificate: a name: .*2049/,
    );
  });

  it('have attributes as text, or in DER if they are not text', async () => {
    const read = async (value: Uint8Array) =>
      (await parse({ subject: nameOf(attribute('2.5.4.3', value)) })).subject[0]?.[0]?.value;
    expect(await read(derText('bmp', 'é'))).toBe('é');
    expect(await read(derInteger(5))).toBe('#020105');
    expect(await read(derValue(TAG.UTF8_STRING, fromHex('ff')))).toBe('#0c01ff');
    expect(await read(derText('utf8', 'a'.repeat(1024)))).toBe('a'.repeat(1024));
    expect(await refused(read(derText('utf8', 'a'.repeat(1025))))).toMatch(
      /^certificate-invalid: X\.509 certificate: an attribute of a name: .*1025/,
    );
    const three = derValue(TAG.SET, derSequence(derOid('2.5.4.3'), derText('utf8', 'a'), DER_NULL));
    expect(await refused(parse({ subject: derSequence(three) }))).toContain('parts left over');
  });

  it('of constraints are read unchanged', async () => {
    const subtree = (...parts: readonly Uint8Array[]) => derSequence(...parts);
    const dns = (text: string) => primitive(2, utf8(text));
    const read = async (...lists: readonly Uint8Array[]) =>
      (await parseExtension('2.5.29.30', derSequence(...lists))).nameConstraints;
    const list = (number: number, ...subtrees: readonly Uint8Array[]) =>
      derValue(contextTag(number, 'constructed'), ...subtrees);
    const [a, b] = [
      { kind: 'dns', value: 'a' },
      { kind: 'dns', value: 'b' },
    ];
    expect(await read(list(0, subtree(dns('a')), subtree(dns('b'))))).toEqual({ permitted: [a, b], excluded: [] });
    expect(await read(list(1, subtree(dns('b'))))).toEqual({ permitted: [], excluded: [b] });
    expect(await read(list(0, subtree(dns('a'))), list(1, subtree(dns('b'))))).toEqual({
      permitted: [a],
      excluded: [b],
    });
    expect(await refused(read())).toBe(`${CANNOT}name constraints with neither permitted nor excluded names`);
    expect(await refused(read(list(0)))).toBe(`${CANNOT}name constraints without names`);
    expect(await refused(read(list(1)))).toBe(`${CANNOT}name constraints without names`);
    const withRange = subtree(dns('a'), primitive(0, new Uint8Array(1)));
    for (const wrong of [subtree(), withRange]) {
      expect(await refused(read(list(0, wrong)))).toBe(`${CANNOT}name constraints with a minimum or maximum`);
    }
    const many = Array<Bytes>(1025).fill(subtree(dns('a')));
    expect(await refused(read(list(0, ...many)))).toBe(`${CANNOT}name constraints with 1025 names; the limit is 1024`);
    expect(await refused(read(list(0, subtree(dns('a'))), list(2)))).toContain('parts left over');
  });
});

describe('the key of a certificate', () => {
  const keyOf = (oid: string, content: Uint8Array, ...parameters: readonly Uint8Array[]) =>
    derSequence(derSequence(derOid(oid), ...parameters), derValue(TAG.BIT_STRING, content));
  const { n = '' } = rsa.publicKey.export({ format: 'jwk' });

  it('is also read with the identifiers for RSAES-OAEP or RSASSA-PSS', async () => {
    for (const oid of ['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.7', '1.2.840.113549.1.1.10']) {
      const { publicKey } = await parse({ spki: keyOf(oid, RSA_BITS, DER_NULL) });
      expect(publicKey()).toMatchObject({ kty: 'RSA', n: new Uint8Array(Buffer.from(n, 'base64url')) });
    }
    expect((await parse({})).publicKey()).toMatchObject({ kty: 'EC', crv: 'P-256' });
  });

  it.each<[string, Uint8Array, string]>([
    [
      'bits left over',
      keyOf('1.2.840.113549.1.1.1', concat(new Uint8Array([1]), RSA_BITS.subarray(1)), DER_NULL),
      'SPKI: the key is not a whole number of bytes',
    ],
    [
      'a part behind it',
      derSequence(derSequence(derOid('1.2.840.113549.1.1.1'), DER_NULL), derValue(TAG.BIT_STRING, RSA_BITS), DER_NULL),
      'SPKI: parts left over',
    ],
    ['another algorithm', keyOf('1.3.101.112', RSA_BITS), 'SPKI: unknown algorithm or parameters 06032b6570'],
  ])('is refused with %s, when it is asked for', async (_, spki, problem) => {
    const { publicKey } = await parse({ spki });
    expect(() => publicKey()).toThrow(problem);
    expect(() => publicKey()).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it('for RSASSA-PSS alone verifies no other signature', async () => {
    const issuer = await parse({ spki: keyOf('1.2.840.113549.1.1.10', RSA_BITS) });
    expect((await parse({})).isSignedBy(issuer)).toBe(false);
  });
});

it('overlong lengths in the signed part are read, because some issuers write them', async () => {
  // The length of the subject in two bytes, and what is around it a byte longer.
  const subject = toHex(commonName('subject'));
  const hex = toHex(build({})).replace(subject, `3081${subject.slice(2)}`);
  const [, whole = '', tbs = '', rest = ''] = /^3081(..)3081(..)(.*)$/.exec(hex) ?? [];
  const oneMore = (size: string) => (Number.parseInt(size, 16) + 1).toString(16);
  const longer = await parseCertificate(fromHex(`3081${oneMore(whole)}3081${oneMore(tbs)}${rest}`));
  expect(longer.subject).toEqual([[{ type: '2.5.4.3', value: 'subject' }]]);
});
