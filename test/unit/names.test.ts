import { describe, expect, it } from 'vitest';
import { codeOf, filesIn } from './source-files.ts';

const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:const|let|function\*?|class|interface|type) (\w+)/gm;

/** Names with two declarations that are still to be settled: this list only shrinks. */
const UNSETTLED: readonly string[] = [];

describe('an exported name', () => {
  it('is declared in one file below src/, so that it means one thing', () => {
    const files = new Map<string, string[]>();
    for (const path of filesIn(['src'], '.ts')) {
      for (const name of new Set([...codeOf(path).matchAll(DECLARATION)].map(([, found = '']) => found))) {
        files.set(name, [...(files.get(name) ?? []), path]);
      }
    }
    expect(files.size).toBeGreaterThan(1000);
    const twice = [...files].filter(([name, paths]) => paths.length > 1 && !UNSETTLED.includes(name));
    expect(twice).toEqual([]);
  });
});
