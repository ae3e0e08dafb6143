import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../../src/bytes.ts';
import { deriveScrypt, scryptProblem } from '../../../src/crypto/scrypt.ts';
import { codeOf, filesIn } from '../source-files.ts';

describe('deriveScrypt', () => {
  it('gives the vector of RFC 7914, section 12', async () => {
    const work = { cost: 1024, blockSize: 8, parallelization: 16 };
    expect(toHex(await deriveScrypt(utf8('password'), utf8('NaCl'), 64, work))).toBe(
      'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640',
    );
  });

  it.each([
    [2 ** 20, 32, 16, undefined],
    [2, 1, 1, undefined],
    [2 ** 21, 8, 1, /exceed the limits: N = 2097152/],
    [2 ** 14, 33, 1, /exceed the limits/],
    [2 ** 14, 8, 17, /exceed the limits/],
    [1, 8, 1, /parameters are not valid/],
    [0, 8, 1, /parameters are not valid/],
    [1000, 8, 1, /parameters are not valid/],
    [2 ** 14, 0, 1, /parameters are not valid/],
    [2 ** 14, 8, -1, /parameters are not valid/],
    [1.5, 8, 1, /parameters are not valid/],
    [Number.NaN, 8, 1, /parameters are not valid/],
    [Infinity, 8, 1, /parameters are not valid/],
  ])('is held to bounds: N %d, r %d, p %d', async (cost, blockSize, parallelization, problem) => {
    const work = { cost, blockSize, parallelization };
    if (problem === undefined) return expect(scryptProblem(work)).toBe(undefined);
    expect(scryptProblem(work)).toMatch(problem);
    await expect(deriveScrypt(utf8('p'), utf8('s'), 32, work)).rejects.toThrow(RangeError);
  });
});

describe('the sources', () => {
  it('call scrypt in one place', () => {
    const callers = filesIn(['src'], '.ts').filter((path) =>
      /\bscrypt(?:Sync)?\b[^'"]*\} from 'node:crypto'/.test(codeOf(path)),
    );
    expect(callers).toEqual(['src/crypto/scrypt.ts']);
  });

  it('load pkijs and asn1js only to build or read external formats', () => {
    const users = filesIn(['src'], '.ts').filter((path) => /['"](?:pkijs|asn1js)['"]/.test(codeOf(path)));
    expect(users).toEqual([
      'src/formats/x509/certificate-request.ts',
      'src/formats/x509/issue-certificate.ts',
      'src/formats/x509/signing-engine.ts',
      'src/testing/identity-service/cms.ts',
    ]);
  });
});
