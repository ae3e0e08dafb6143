import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { KeyprovError } from '../../src/errors.ts';
import { LIMIT } from '../../src/limits.ts';
import type { Entrance } from '../entrances/entrance.ts';
import { entrances, publicInputs } from '../entrances.ts';

const all = await entrances();
const list = Object.entries(all);

/** Readers of free text, which never throw: they read the beginning. */
const READS_BEGINNING = ['[parseErrorDetails]', 'parseAdSyncScheduler', 'parseDsregStatus', 'readDsregFacts'];

/** Those that say something else, with the reason. */
const SAYS_OTHERWISE: Readonly<Record<string, RegExp>> = {
  pinFromFile: /in the PIN file is longer than a PIN can be/, // it does not say how long a PIN in a file is
  'findCertifiedAk.certificates': /^undefined$/, // certificates that cannot be read are of no key
  'verifyEkCertificate.intermediates': /^\{"ok":true/, // those that cannot be read lead nowhere
};

/** An entrance's verdict on an input, thrown or returned. */
async function said(entrance: Entrance, input: string): Promise<string> {
  try {
    const found = await (entrance.kind === 'text' ? entrance.read(input) : entrance.read(utf8(input)));
    return JSON.stringify(found, (_, value) => (typeof value === 'bigint' ? `${value}` : value)) ?? 'undefined';
  } catch (error) {
    if (error instanceof KeyprovError || error instanceof TypeError) return error.message;
    throw error;
  }
}

/** The limit and the size that a refusal names. */
function numbersIn(text: string): { readonly size: number; readonly limit: number } | undefined {
  const [, size, limit] =
    /(\d+) (?:bytes|characters); (?:the limit is|the limits are|an? [A-Z]+ has) (\d+)/.exec(text) ?? [];
  return limit === undefined ? undefined : { size: Number(size), limit: Number(limit) };
}

describe('the entrances', () => {
  it('are all public functions that read bytes or text from outside', async () => {
    const { names, without } = await publicInputs();
    const named = list.map(([name]) => name.split('.')[0] ?? '').filter((name) => !name.startsWith('['));
    expect([...new Set([...named, ...without])].sort()).toEqual(names);
  });

  it.each(list)('%s accepts its sample', async (_, entrance) => {
    expect(await entrance.judge(entrance.sample)).toEqual({ accepted: true });
  });

  it.each(list)('%s refuses input that is too large, and reports limit and size', async (name, entrance) => {
    const input = 'A'.repeat(LIMIT.export + 1);
    const text = await said(entrance, input);
    if (READS_BEGINNING.includes(name)) {
      expect(text).toBe(await said(entrance, input.slice(0, LIMIT.document)));
      return;
    }
    const otherwise = SAYS_OTHERWISE[name];
    if (otherwise !== undefined) {
      expect(text).toMatch(otherwise);
      return;
    }
    const { size, limit } = numbersIn(text) ?? { size: 0, limit: 0 };
    expect([text, size, limit > 0 && limit <= LIMIT.export]).toEqual([text, input.length, true]);
  });
});
