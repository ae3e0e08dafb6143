import { beforeAll, describe, expect, it } from 'vitest';
import { readAuthority } from '../../../src/crypto/authority-cache.ts';
import { type ChainOptions, verifyChain } from '../../../src/crypto/verify-chain.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import { buildCommonName, issue, issueAuthority, type TestCertificate } from '../../certificates.ts';

let root: TestCertificate;
let middle: TestCertificate;
let leaf: TestCertificate;

beforeAll(async () => {
  root = await issueAuthority('root');
  middle = await issueAuthority('middle', root);
  leaf = await issue({ subject: buildCommonName('leaf') }, middle);
});

const verify = (options: Partial<ChainOptions> = {}) =>
  verifyChain(leaf.der, { roots: [root.der], intermediates: [middle.der], ...options });

describe('readAuthority', () => {
  it('reads a certificate once, and its key and its signature too', async () => {
    const [first, again] = [await readAuthority(root.der), await readAuthority(root.der.slice())];
    expect(again).toBe(first);
    expect(first.publicKey()).toBe(first.publicKey());
    const below = await readAuthority(middle.der);
    const stranger = await readAuthority((await issueAuthority('root')).der);
    for (let round = 0; round < 2; round++) {
      expect([below.isSignedBy(first), below.isSignedBy(stranger), first.isSignedBy(first)]).toEqual([
        true,
        false,
        true,
      ]);
    }
  });

  it("does not change if the caller's bytes change", async () => {
    const bytes = root.der.slice();
    const first = await readAuthority(bytes);
    bytes.fill(0);
    expect(first.der).toEqual(root.der);
    await expect(readAuthority(bytes)).rejects.toMatchObject({ code: 'certificate-invalid' });
    expect(await readAuthority(root.der)).toBe(first);
  });

  it('keeps 256 certificates, those that were used last', async () => {
    const first = await readAuthority(root.der);
    const others = await Promise.all(Array.from({ length: 256 }, (_, i) => issueAuthority(`${i}`)));
    for (const [i, { der }] of others.entries()) {
      await readAuthority(der);
      if (i === 200) expect(await readAuthority(root.der)).toBe(first);
    }
    expect(await readAuthority(root.der)).toBe(first);
    const oldest = others[0]?.der ?? root.der;
    expect(await readAuthority(oldest)).toBe(await readAuthority(oldest));
    for (const { der } of others.slice(1)) await readAuthority(der);
    expect(await readAuthority(root.der)).not.toBe(first);
  });

  it('keeps no word of an issuer that its owner can change', async () => {
    const [owned, other] = [
      await parseCertificate(root.der),
      await parseCertificate((await issueAuthority('root')).der),
    ];
    const ask = async () => (await verify({ roots: [owned] })).ok;
    expect(await ask()).toBe(true);
    const key = owned.spki.slice();
    owned.spki.set(other.spki);
    expect(await ask()).toBe(false);
    owned.spki.set(key);
    expect(await ask()).toBe(true);
  });

  it('does not keep long ones', async () => {
    const long = await issueAuthority('long', root, { extensions: [['1.2.3.4', false, new Uint8Array(8192)]] });
    expect(await readAuthority(long.der)).not.toBe(await readAuthority(long.der));
  });
});

describe('verifyChain', () => {
  it('has the same findings with kept authorities, whatever came before', async () => {
    const expired = { time: new Date('2000-01-01') };
    const foreign = { roots: [(await issueAuthority('root')).der] };
    const strict = { extendedKeyUsage: '1.2.3' };
    const variants: Partial<ChainOptions>[] = [{}, expired, foreign, strict, { intermediates: [] }];
    const alone = await Promise.all(variants.map((one) => verify({ ...one, keepAuthorities: false })));
    for (const order of [variants, variants.toReversed()]) {
      for (const one of order) expect(await verify(one)).toEqual(alone[variants.indexOf(one)]);
    }
  });

  it('returns paths that can be changed without harm', async () => {
    const { path } = await verify();
    for (const der of path) der.fill(0);
    expect((await verify()).path).toEqual([leaf.der, middle.der, root.der]);
  });

  it('refuses an intermediate with a good one behind it in the cache, byte by byte', async () => {
    await verify();
    for (let at = 0; at < middle.der.length; at += 7) {
      const changed = middle.der.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect((await verify({ intermediates: [changed] })).ok).toBe(false);
    }
  });
});
