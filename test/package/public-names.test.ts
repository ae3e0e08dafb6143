import { describe, expect, it } from 'vitest';
import { filesIn, textOf } from '../unit/source-files.ts';
import {
  examplesOf,
  namesWithoutSentence,
  namesWithTwoMeanings,
  readPublicSurface,
  typesThatCannotBeNamed,
} from './public-surface.ts';
import { readThrowingFunctions } from './throwing-functions.ts';

const surface = readPublicSurface();

/** A name, and the subpath from which a text says that it comes. */
const CLAIM = /`(\w+)(?:\(\))?` (?:from|of|in) `(keyprov(?:\/[\w/-]+)?)`/g;

/** Functions that throw nothing although their calls look as if they might, with the reason. */
const CANNOT_THROW: Record<string, string> = {
  'keyprov/tpm/public-areas: ekTemplate': 'no name of a template leads to SHA-1, which has no PolicyC',
  'keyprov/tpm/public-areas: windowsHelloBranches': 'its hash is SHA-256',
  'keyprov/tpm/public-areas: windowsHelloPolicy': 'its hash is SHA-256',
  'keyprov/testing: createTestAuthority': 'its serial number and object identifiers are its own',
};

/** The entry points for new users. Each has an example that the editor shows and `npm run docs` compiles. */
const ENTRY_POINTS = [
  'attestKey',
  'buildCertificateRequest',
  'checkPrerequisites',
  'createCrypto',
  'createKeyPool',
  'createServiceFetch',
  'definePolicy',
  'discoverServices',
  'inspect',
  'isKeyprovError',
  'keySources',
  'openKey',
  'openKeyRegistrar',
  'openKeyStore',
  'openTpm',
  'openTpmKeyProvider',
  'parseKeyRegistration',
  'policyInForce',
  'provision',
  'provisionKey',
  'recordTransport',
  'startIdentityService',
  'syncStatus',
  'verifyEvidence',
  'withTpm',
];

describe('the public names', () => {
  it('are found', () => {
    expect(surface.subpaths.get('keyprov')?.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['provision', 'ProvisionOptions']),
    );
    expect(surface.names.filter(({ namespace }) => namespace === 'structures').length).toBeGreaterThan(150);
  });

  it('are at most 80 for each subpath', () => {
    const large = [...surface.subpaths].filter(([, names]) => names.length > 80).map(([subpath]) => subpath);
    expect(large).toEqual([]);
  });

  it('are in the subpath from which a comment, or a page, takes them', () => {
    const pages = [...filesIn(['src'], '.ts'), ...filesIn(['docs'], '.md'), 'README.md'];
    const claims = pages.flatMap((path) =>
      [
        ...textOf(path)
          .replaceAll(/\s+(?:\* )?/g, ' ')
          .matchAll(CLAIM),
      ].map(([, name = '', subpath = '']) => ({
        ...{ path, name, subpath },
      })),
    );
    expect(claims.length).toBeGreaterThan(5);
    const isThere = (name: string, subpath: string) => surface.subpaths.get(subpath)?.some((one) => one.name === name);
    expect(claims.filter(({ name, subpath }) => !isThere(name, subpath))).toEqual([]);
  });

  it('mean one thing each in the entire package', () => {
    expect(namesWithTwoMeanings(surface)).toEqual([]);
  });

  it('include every type that a public signature names', () => {
    expect(typesThatCannotBeNamed(surface)).toEqual([]);
  });

  it('have a sentence each that the editor shows, and so have the methods of classes', () => {
    expect(namesWithoutSentence(surface)).toEqual([]);
  });

  it('lead into no type of a dependency but Node', () => {
    const packages = surface.files.map((file) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? 'keyprov');
    expect([...new Set(packages)].sort()).toEqual(['@types/node', 'keyprov', 'typescript-api', 'undici-types']);
  });
});

describe('the public functions', () => {
  it('name their errors with @throws, as far as the calls in the sources tell that they throw', () => {
    const { count, silent } = readThrowingFunctions();
    expect(count).toBeGreaterThan(250);
    expect([...silent].sort()).toEqual(Object.keys(CANNOT_THROW).sort());
  });
});

describe('the entry points', () => {
  it('are 25, and can be imported', () => {
    expect(new Set(ENTRY_POINTS).size).toBe(25);
    expect(ENTRY_POINTS.filter((entry) => !surface.names.some(({ name }) => name === entry))).toEqual([]);
  });

  it('have an example each', () => {
    const without = ENTRY_POINTS.filter((entry) => {
      const found = surface.names.find(({ name }) => name === entry);
      return found === undefined || examplesOf(found.symbol, surface.checker).length === 0;
    });
    expect(without).toEqual([]);
  });
});
