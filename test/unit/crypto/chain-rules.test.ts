import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex, view } from '../../../src/bytes.ts';
import type { DistinguishedName } from '../../../src/crypto/distinguished-name.ts';
import { PathSearch } from '../../../src/crypto/path-search.ts';
import { decodeSpki, type PublicKey } from '../../../src/crypto/public-key.ts';
import { type ChainOptions, verifyChain } from '../../../src/crypto/verify-chain.ts';
import type { Certificate } from '../../../src/crypto/x509.ts';
import { KeyprovError } from '../../../src/errors.ts';

// Certificates as plain data, so that each rule is tested separately. Real certificates are in verify-chain.test.ts.

const key = decodeSpki(
  view(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' })),
);
const NOON = new Date('2030-06-01T12:00:00Z');
const nameOf = (value: string): DistinguishedName => (value === '' ? [] : [[{ type: '2.5.4.3', value }]]);
let made = 0;

interface Spec extends Partial<Omit<Certificate, 'subject' | 'issuer'>> {
  readonly subject?: string;
  readonly issuer?: string;
  /** The ones that its signature verifies with; absent: all. */
  readonly signers?: readonly string[];
}

function certificate({ subject = 'leaf', issuer = 'root', signers, ...spec }: Spec): Certificate {
  return {
    der: new Uint8Array([0x30, ++made >> 8, made & 0xff]),
    version: 3,
    subject: nameOf(subject),
    issuer: nameOf(issuer),
    notBefore: new Date('2030-01-01T00:00:00Z'),
    notAfter: new Date('2031-01-01T00:00:00Z'),
    spki: new Uint8Array(1),
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
    publicKey: () => key,
    isSignedBy: (other) => signers === undefined || signers.includes(toHex(other.der)),
    ...spec,
  };
}

const CA = { ca: true, pathLength: undefined };
const authority = (subject: string, issuer: string, spec: Spec = {}): Certificate =>
  certificate({ subject, issuer, basicConstraints: CA, ...spec });
const root = authority('root', 'root');

/** The failed checks with their reasons. */
async function faults(
  leaf: Certificate,
  intermediates: readonly Certificate[] = [],
  options: Partial<ChainOptions> = {},
): Promise<string[]> {
  const result = await verifyChain(leaf, { roots: [root], intermediates, time: NOON, ...options });
  const failed = result.findings.filter(({ status }) => status === 'fail');
  expect(result.ok).toBe(failed.length === 0);
  return failed.map(({ id, detail }) => `${id}: ${detail}`);
}

describe('verifyChain', () => {
  it('reports satisfied checks in its findings', async () => {
    const middle = authority('middle', 'root', { extendedKeyUsage: ['1.2.3'] });
    const leaf = certificate({ issuer: 'middle', extendedKeyUsage: ['1.2.3'] });
    const options = { roots: [root], intermediates: [middle], time: NOON, extendedKeyUsage: '1.2.3' };
    const { findings, path } = await verifyChain(leaf, options);
    expect(findings.map(({ id, status, detail }) => `${id} ${status}: ${detail}`)).toEqual([
      'roots pass: roots were given',
      'certificate pass: the certificate can be read',
      'path pass: the path ends at the root CN=root',
      'validity pass: all certificates are valid at the given time',
      'authorities pass: all issuers are CAs',
      'path-length pass: no path length is exceeded',
      'critical-extensions pass: every critical extension is understood',
      'name-constraints pass: all names meet the name constraints',
      'end-entity pass: it is not a CA certificate',
      'extended-key-usage pass: it is for 1.2.3',
      'algorithms pass: signatures and keys are strong enough',
    ]);
    expect(path).toEqual([leaf.der, middle.der, root.der]);
  });

  it('accepts a certificate in the first and the last second of its validity', async () => {
    const leaf = certificate({ notBefore: NOON, notAfter: NOON });
    expect(await faults(leaf)).toEqual([]);
    const before = new Date(NOON.getTime() - 1);
    const after = new Date(NOON.getTime() + 1);
    expect(await faults(leaf, [], { time: before })).toEqual([
      'validity: CN=leaf: not valid before 2030-06-01 12:00:00 UTC',
    ]);
    expect(await faults(leaf, [], { time: after })).toEqual([
      'validity: CN=leaf: not valid after 2030-06-01 12:00:00 UTC',
    ]);
    expect(await faults(leaf, [], { time: new Date('never') })).toHaveLength(1);
  });

  it.each<[string, Spec, string]>([
    ['an authority', { basicConstraints: CA }, 'end-entity: CN=leaf: it is a CA certificate'],
    [
      'a key for certificates',
      { keyUsage: new Set([5]) },
      'end-entity: CN=leaf: its key usage allows signing certificates, but it is not a CA certificate',
    ],
    [
      'name constraints',
      { nameConstraints: { permitted: [], excluded: [] } },
      'end-entity: CN=leaf: it has name constraints, but it is not a CA certificate',
    ],
    [
      'a path length',
      { basicConstraints: { ca: false, pathLength: 0 } },
      'end-entity: CN=leaf: it has a path length, but it is not a CA certificate',
    ],
    ['SHA-1', { signatureHash: 'sha1' }, 'algorithms: CN=leaf: it is signed with SHA-1'],
    [
      'an unknown critical extension',
      { critical: ['2.5.29.15', '1.2.3.4'] },
      'critical-extensions: CN=leaf: the critical extension 1.2.3.4 is not understood',
    ],
  ])('refuses a certificate with %s', async (_, spec, fault) => {
    expect(await faults(certificate(spec))).toEqual([fault]);
  });

  it('accepts a version 1 certificate as a leaf, and with other key uses', async () => {
    expect(await faults(certificate({ version: 1, keyUsage: new Set([0]) }))).toEqual([]);
    expect(await faults(certificate({ basicConstraints: { ca: false, pathLength: undefined } }))).toEqual([]);
    expect(await faults(certificate({ critical: ['2.5.29.32', '2.5.29.33', '2.5.29.54', '2.5.29.35'] }))).toEqual([]);
  });

  it.each<[string, Spec, string]>([
    ['of version 1', { version: 1 }, 'its basic constraints do not allow it to be a CA'],
    ['without basic constraints', { basicConstraints: undefined }, 'its basic constraints do not allow it to be a CA'],
    [
      'that is none',
      { basicConstraints: { ca: false, pathLength: undefined } },
      'its basic constraints do not allow it to be a CA',
    ],
    ['whose key has another use', { keyUsage: new Set([0, 6]) }, 'its key usage does not allow signing certificates'],
  ])('refuses an authority %s', async (_, spec, fault) => {
    const middle = authority('middle', 'root', spec);
    expect(await faults(certificate({ issuer: 'middle' }), [middle])).toEqual([`authorities: CN=middle: ${fault}`]);
    const above = authority('above', 'above', spec);
    expect(await faults(certificate({ issuer: 'above' }), [], { roots: [above] })).toEqual([
      `authorities: CN=above: ${fault}`,
    ]);
  });

  it('refuses an authority without a name', async () => {
    const middle = authority('', 'root');
    expect(await faults(certificate({ issuer: '' }), [middle])).toEqual([
      'authorities: (no name): it is a CA certificate without a subject',
    ]);
  });

  it('accepts a CA whose key has further uses', async () => {
    const middle = authority('middle', 'root', { keyUsage: new Set([5, 6]) });
    expect(await faults(certificate({ issuer: 'middle' }), [middle])).toEqual([]);
  });

  it('counts the CAs below a CA, without self-issued ones', async () => {
    const limited = (pathLength: number) =>
      authority('limited', 'root', { basicConstraints: { ca: true, pathLength } });
    const below = authority('below', 'limited');
    const deeper = authority('deeper', 'below');
    const leaf = certificate({ issuer: 'deeper' });
    expect(await faults(leaf, [limited(2), below, deeper])).toEqual([]);
    expect(await faults(leaf, [limited(1), below, deeper])).toEqual([
      'path-length: CN=limited: the number of CAs below it is 2; its limit is 1',
    ]);
    const again = authority('limited', 'limited');
    // The same CA's new certificate sets no limit, so only the one above it applies.
    const first = limited(0);
    const search = [certificate({ issuer: 'limited', signers: [toHex(again.der)] }), again, first] as const;
    expect(await faults(search[0], [search[1], search[2]])).toEqual([]);
  });

  it('applies constraints to everything below except self-issued CAs', async () => {
    const constraints = { permitted: [{ kind: 'directory', value: nameOf('leaf') }], excluded: [] } as const;
    const limited = authority('limited', 'root', { nameConstraints: constraints });
    expect(await faults(certificate({ issuer: 'limited' }), [limited])).toEqual([]);
    expect(await faults(certificate({ subject: 'x', issuer: 'limited' }), [limited])).toEqual([
      'name-constraints: CN=x is not allowed by the name constraints',
    ]);
    const below = authority('below', 'limited');
    expect(await faults(certificate({ issuer: 'below' }), [limited, below])).toEqual([
      'name-constraints: CN=below is not allowed by the name constraints',
    ]);
    const again = authority('limited', 'limited');
    const leaf = certificate({ issuer: 'limited', signers: [toHex(again.der)] });
    expect(await faults(leaf, [again, limited])).toEqual([]);
    // A leaf is checked even if it is self-issued.
    const self = authority('limited', 'root', { nameConstraints: constraints });
    const own = certificate({ subject: 'limited', issuer: 'limited', signers: [toHex(self.der)] });
    expect(await faults(own, [self])).toEqual(['name-constraints: CN=limited is not allowed by the name constraints']);
    // A CA limits neither itself nor anything above it.
    const inner = authority('middle', 'root', { nameConstraints: constraints });
    expect(await faults(certificate({ issuer: 'middle' }), [inner])).toEqual([]);
  });

  it('wants the purpose of a leaf, and of authorities that name any, but not of the root', async () => {
    const options = { extendedKeyUsage: '1.2.3' };
    const judged = async (leaf: readonly string[] | undefined, above?: readonly string[], top?: readonly string[]) => {
      const middle = authority('middle', 'top', { extendedKeyUsage: above });
      const roots = [authority('top', 'top', { extendedKeyUsage: top })];
      return await faults(certificate({ issuer: 'middle', extendedKeyUsage: leaf }), [middle], { ...options, roots });
    };
    expect(await judged(undefined)).toEqual(['extended-key-usage: CN=leaf: it has no extended key usage']);
    expect(await judged(['1.2.4', '1.2.5'])).toEqual([
      'extended-key-usage: CN=leaf: it is for 1.2.4, 1.2.5, not for 1.2.3',
    ]);
    expect(await judged(['2.5.29.37.0'])).toEqual([
      'extended-key-usage: CN=leaf: it is for 2.5.29.37.0, not for 1.2.3',
    ]);
    expect(await judged(['1.2.4', '1.2.3'])).toEqual([]);
    expect(await judged(['1.2.3'], ['1.2.4'])).toEqual([
      'extended-key-usage: CN=middle: it is for 1.2.4, not for 1.2.3',
    ]);
    expect(await judged(['1.2.3'], ['2.5.29.37.0'])).toEqual([]);
    expect(await judged(['1.2.3'], undefined, ['1.2.4'])).toEqual([]);
  });

  it('wants strong signatures below the root, and strong keys of authorities', async () => {
    const weak: PublicKey = { kty: 'RSA', n: new Uint8Array(128).fill(0xff), e: fromHex('010001') };
    const middle = authority('middle', 'root', { publicKey: () => weak });
    expect(await faults(certificate({ issuer: 'middle' }), [middle])).toEqual([
      'algorithms: CN=middle: an RSA key of 1024 bits is too short; the minimum is 2048',
    ]);
    const top = authority('top', 'top', { publicKey: () => weak, signatureHash: 'sha1' });
    expect(await faults(certificate({ issuer: 'top' }), [], { roots: [top] })).toEqual([
      'algorithms: CN=top: an RSA key of 1024 bits is too short; the minimum is 2048',
    ]);
    expect(await faults(certificate({ publicKey: () => weak }))).toEqual([]);
    const old = authority('old', 'old', { signatureHash: 'sha1' });
    expect(await faults(certificate({ issuer: 'old' }), [], { roots: [old] })).toEqual([]);
    expect(await faults(certificate({ signatureHash: 'sha1' }), [], { acceptSha1: true })).toEqual([]);
    const under = authority('under', 'root', { signatureHash: 'sha1' });
    expect(await faults(certificate({ issuer: 'under' }), [under])).toEqual([
      'algorithms: CN=under: it is signed with SHA-1',
    ]);
    const unreadable = authority('unreadable', 'root', {
      publicKey: () => {
        throw new KeyprovError('key-invalid', 'not a key');
      },
    });
    expect(await faults(certificate({ issuer: 'unreadable' }), [unreadable])).toEqual([
      'algorithms: CN=unreadable: not a key',
    ]);
  });

  it('lets through an error that is not about a key', async () => {
    const broken = authority('broken', 'root', {
      publicKey: () => {
        throw new RangeError('broken');
      },
    });
    await expect(faults(certificate({ issuer: 'broken' }), [broken])).rejects.toThrow(new RangeError('broken'));
  });

  it("reports the first path's fault, and accepts a later good path", async () => {
    const expired = authority('middle', 'root', { notAfter: new Date('2030-02-01T00:00:00Z') });
    const worse = authority('middle', 'root', { version: 1 });
    const leaf = certificate({ issuer: 'middle' });
    expect(await faults(leaf, [expired, worse])).toEqual([
      'validity: CN=middle: not valid after 2030-02-01 00:00:00 UTC',
    ]);
    expect(await faults(leaf, [expired, worse, authority('middle', 'root')])).toEqual([]);
  });
});

describe('PathSearch', () => {
  const ways = (leaf: Certificate, roots: readonly Certificate[], intermediates: readonly Certificate[] = []) => {
    const search = new PathSearch(roots, intermediates);
    const found = [...search.extend([leaf])].map((path) => path.map(({ der }) => toHex(der)));
    return { found, problem: search.problem };
  };
  const hex = (...certificates: readonly Certificate[]) => certificates.map(({ der }) => toHex(der));
  const id = (value: number) => new Uint8Array([value]);

  it('finds all ways, those with the key that is named first, and those with another key last', () => {
    const [one, two, three] = [2, undefined, 1].map((value) =>
      authority('middle', 'root', { subjectKeyId: value === undefined ? undefined : id(value) }),
    ) as [Certificate, Certificate, Certificate];
    const given = [one, two, three];
    const named = certificate({ issuer: 'middle', authorityKeyId: id(1) });
    expect(ways(named, [root], given).found).toEqual([
      hex(named, three, root),
      hex(named, two, root),
      hex(named, one, root),
    ]);
    const unnamed = certificate({ issuer: 'middle' });
    expect(ways(unnamed, [root], given).found).toEqual(given.map((middle) => hex(unnamed, middle, root)));
  });

  it('ends at a root, visits nothing twice, and tries every issuer with the name', () => {
    const other = authority('root', 'elsewhere');
    const leaf = certificate({});
    expect(ways(leaf, [root], [other]).found).toEqual([hex(leaf, root)]);
    const [first, second] = [authority('first', 'second'), authority('second', 'first')];
    const looped = certificate({ issuer: 'first' });
    expect(ways(looped, [root], [first, second])).toEqual({
      found: [],
      problem: 'there is no certificate for the issuer CN=first',
    });
  });

  it('uses the same certificate once, and as a root if it is one', () => {
    const middle = authority('middle', 'root');
    const leaf = certificate({ issuer: 'middle' });
    const again = { ...middle };
    expect(ways(leaf, [root], [again, middle, { ...root }]).found).toEqual([hex(leaf, middle, root)]);
    const many = Array.from({ length: 99 }, () => ({ ...middle }));
    expect(ways(leaf, [root], [...many, middle]).found).toHaveLength(1);
  });

  it('reports the obstacle', () => {
    expect(ways(certificate({ issuer: 'x' }), [root]).problem).toBe('there is no certificate for the issuer CN=x');
    expect(ways(certificate({ signers: [] }), [root]).problem).toBe(
      'no given certificate of the issuer CN=root has the key that signed the certificate of CN=leaf',
    );
    const middle = authority('middle', 'x');
    expect(ways(certificate({ issuer: 'middle' }), [root], [middle]).problem).toBe(
      'there is no certificate for the issuer CN=x',
    );
    expect(ways(certificate({}), [root]).problem).toBe('');
  });

  it('accepts eight certificates above one, and no more', () => {
    const chain = (length: number) =>
      Array.from({ length }, (_, i) => authority(`a${i}`, i === length - 1 ? 'root' : `a${i + 1}`));
    const leaf = certificate({ issuer: 'a0' });
    expect(ways(leaf, [root], chain(7)).found).toHaveLength(1);
    expect(ways(leaf, [root], chain(8)).found).toHaveLength(0);
  });

  it('checks a hundred signatures, and says if there would be more', () => {
    const many = (length: number) => Array.from({ length }, () => authority('root', 'x'));
    const leaf = certificate({ signers: [toHex(root.der)] });
    expect(new PathSearch([...many(99), root], []).isExhausted).toBe(false);
    const enough = new PathSearch([...many(99), root], []);
    expect([...enough.extend([leaf])]).toHaveLength(1);
    expect(enough.isExhausted).toBe(false);
    const search = new PathSearch([...many(100), root], []);
    expect([...search.extend([leaf])]).toEqual([]);
    expect(search.isExhausted).toBe(true);
    expect(search.problem).toBe(
      'finding the issuers takes more than 100 signature checks: too many certificates have the same name',
    );
  });
});
