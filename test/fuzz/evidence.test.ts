import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Evidence,
  type EvidenceResult,
  type VerifyEvidenceOptions,
  verifyEvidence,
} from '../../src/attestation/index.ts';
import { concat, equal, fromHex } from '../../src/bytes.ts';
import { onlyCertificate } from '../../src/crypto/certificate-bytes.ts';
import { derSequence } from '../../src/crypto/der-write.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { buildCommonName, issue } from '../certificates.ts';
import { cpuCost } from '../cpu-cost.ts';
import { type Authorities, fullOptions, issueAuthorities, paperEvidence } from '../unit/attestation/paper-evidence.ts';
import { flipped } from '../unit/attestation/paper-tpm.ts';

type FullEvidence = Awaited<ReturnType<typeof paperEvidence>>;
type Part = readonly [
  name: string,
  get: (evidence: FullEvidence) => Uint8Array,
  set: (evidence: FullEvidence, bytes: Uint8Array) => FullEvidence,
];

const EMPTY = new Uint8Array(0);

/** Every byte string in evidence. */
const PARTS: readonly Part[] = [
  ...(['pubArea', 'certInfo', 'signature'] as const).map(
    (name): Part => [name, (one) => one[name], (one, bytes) => ({ ...one, [name]: bytes })],
  ),
  ...(['creation', 'akCreation'] as const).flatMap((proof) =>
    (['creationData', 'certInfo', 'signature'] as const).map(
      (name): Part => [
        `${proof}.${name}`,
        (one) => one[proof]?.[name] ?? EMPTY,
        (one, bytes) => ({ ...one, [proof]: { ...one[proof], [name]: bytes } }),
      ],
    ),
  ),
  ...(['ak', 'ek'] as const).flatMap((key): Part[] => [
    [`${key}.pubArea`, (one) => one[key].pubArea, (one, bytes) => ({ ...one, [key]: { ...one[key], pubArea: bytes } })],
    [
      `${key}.certificates`,
      (one) => one[key].certificates?.[0] ?? EMPTY,
      (one, bytes) => ({ ...one, [key]: { ...one[key], certificates: [bytes] } }),
    ],
  ]),
];

/** After so long a run its cost is looked at. */
const SUSPECT_MS = 20;
/** Cost limit for evidence, as a multiple of {@link cpuCost}'s reference. The most expensive evidence costs 4. */
const LIMIT = 16;

let authorities: Authorities;
let full: FullEvidence;
let options: VerifyEvidenceOptions;
beforeAll(async () => {
  authorities = await issueAuthorities();
  full = await paperEvidence(authorities);
  options = fullOptions(authorities, full);
  for (let i = 0; i < 100; i++) expect((await verifyEvidence(full, options)).tier).toBe('activated');
});

/** Verifies, and measures the cost if it took long. */
async function verifyCheaply(evidence: Evidence): Promise<EvidenceResult> {
  const start = performance.now();
  const result = await verifyEvidence(evidence, options);
  if (performance.now() - start > SUSPECT_MS) {
    expect(await cpuCost(() => verifyEvidence(evidence, options), LIMIT)).toBeLessThan(LIMIT);
  }
  return result;
}

/** Endorsement key certificates may be padded, as TPMs keep them. */
function withoutPadding(name: string, bytes: Uint8Array): Uint8Array {
  if (name !== 'ek.certificates') return bytes;
  try {
    return onlyCertificate(bytes);
  } catch {
    return bytes;
  }
}

describe('verifyEvidence', () => {
  it.each(PARTS)('never reaches the same tier with a changed byte of %s', async (name, get, set) => {
    const bytes = get(full);
    expect(bytes.length).toBeGreaterThan(50);
    for (let at = 0; at < bytes.length; at++) {
      const mask = [0x01, 0x80, 0xff, 0x10][at % 4];
      const result = await verifyCheaply(set(full, flipped(bytes, at, mask)));
      if (result.ok && result.tier === 'activated') expect.fail(`${name}, byte ${at}, mask ${mask}`);
    }
  });

  const mutation = fc.record({
    part: fc.constantFrom(...PARTS),
    kind: fc.constantFrom('cut', 'insert', 'overwrite', 'repeat', 'other', 'random'),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    other: fc.constantFrom(...PARTS),
  });
  const mutate = (
    evidence: FullEvidence,
    { part, kind, at, bytes, other }: typeof mutation extends fc.Arbitrary<infer T> ? T : never,
  ) => {
    const [, get, set] = part;
    const old = get(evidence);
    const index = Math.floor(at * old.length);
    const [head, tail] = [old.subarray(0, index), old.subarray(index)];
    switch (kind) {
      case 'cut':
        return set(evidence, head);
      case 'insert':
        return set(evidence, concat(head, bytes, tail));
      case 'overwrite':
        return set(evidence, concat(head, bytes, tail.subarray(bytes.length)));
      case 'repeat':
        return set(evidence, concat(old, tail));
      case 'other':
        return set(evidence, other[1](full));
      default:
        return set(evidence, bytes);
    }
  };

  it('neither throws nor takes long for any change to evidence', async () => {
    const mutations = fc.array(mutation, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(mutations, async (list) => {
        const evidence = list.reduce(mutate, full);
        const result = await verifyCheaply(evidence);
        const isSame = PARTS.every(([name, get]) =>
          equal(withoutPadding(name, get(evidence)), withoutPadding(name, get(full))),
        );
        expect(result.ok && result.tier === 'activated').toBe(isSame);
        expect(result.findings.length).toBeGreaterThan(1);
      }),
      { numRuns: 2000 },
    );
  });

  it('neither throws nor takes long for hostile certificates', async () => {
    const [own = EMPTY] = full.ak.certificates ?? [];
    const sequence = (content: Uint8Array) => derSequence(content);
    const sized = (unit: string) => sequence(fromHex(unit.repeat(9600 / (unit.length / 2))));
    let deep = fromHex('0500');
    while (deep.length < 9600) deep = sequence(deep);
    const costly = encodeSpki({ kty: 'RSA', n: new Uint8Array(1024).fill(0xff), e: fromHex('ffffffff') });
    const looping = { ...authorities.ak, subject: buildCommonName('loop') };
    const loop = (spec: object = {}) =>
      issue({ subject: buildCommonName('loop'), ca: true, keyUsage: [5], ...spec }, looping).then(({ der }) => der);
    const several = (count: number, spec = {}) => Promise.all(Array.from({ length: count }, () => loop(spec)));
    const leaf = await loop({ subject: [], ca: false });

    const chains: Readonly<Record<string, readonly Uint8Array[]>> = {
      'nested deeply': [deep],
      'of many parts': [sized('0500')],
      'of indefinite length': [fromHex('3080'.repeat(5000))],
      'with many names': [await loop({ extensions: [['2.5.29.17', false, sized('820161')]] })],
      'above a good one': [own, sized('3000')],
      'that issued each other': [leaf, ...(await several(9))],
      'with costly keys': [leaf, ...(await several(6, { spki: costly }))],
    };
    for (const [name, certificates] of Object.entries(chains)) {
      const result = await verifyCheaply({ ...full, ak: { ...full.ak, certificates } });
      expect([name, result.ok]).toEqual([name, name === 'above a good one']);
      expect(result.findings.find(({ id }) => id === 'certificates')?.detail).toContain('within the limits');
    }
  });
});
