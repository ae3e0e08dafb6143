import { afterEach, expect, it, vi } from 'vitest';
import { loadLdapts } from '../../../src/registration/ldap-client.ts';
import { startDirectory } from '../../../src/testing/directory/slapd.ts';
import { asyncRefusal } from '../../refusal.ts';

afterEach(() => vi.doUnmock('ldapts'));

it('loads ldapts', async () => {
  expect(typeof (await loadLdapts()).Client).toBe('function');
});

it('says how to install ldapts if it is missing, before anything is started', async () => {
  vi.resetModules();
  vi.doMock('ldapts', () => {
    throw new Error('Cannot find package');
  });
  const expected = 'library-missing: the package ldapts cannot be loaded; run npm install ldapts@8';
  expect(await asyncRefusal(loadLdapts)).toBe(expected);
  expect(await asyncRefusal(() => startDirectory())).toBe(expected);
});
