import { describe, expect, it } from 'vitest';
import { filesIn, textOf } from './source-files.ts';

const sources = filesIn(['src', 'native'], '.ts');
const tests = filesIn(['test'], '.ts');

describe('the sources', () => {
  it('have at most 400 lines per file', () => {
    expect(sources.filter((path) => textOf(path).trimEnd().split('\n').length > 400)).toEqual([]);
  });

  it('have kebab-case names', () => {
    expect(sources.filter((path) => !/\/[a-z0-9]+(-[a-z0-9]+)*\.ts$/.test(path))).toEqual([]);
  });

  it('contain nothing unfinished', () => {
    const unfinished = /\b(?:TO(?:DO)|FIX(?:ME)|XX(?:X))\b/;
    expect([...sources, ...tests].filter((path) => unfinished.test(textOf(path)))).toEqual([]);
  });
});

describe('the tests', () => {
  it('are never narrowed to one or switched off for good', () => {
    const switched = /\b(?:it|test|describe)\.(?:only|skip|todo)\b/;
    expect(tests.filter((path) => switched.test(textOf(path)))).toEqual([]);
  });

  it('that share loaded modules neither replace nor change one', () => {
    const replaces = /\bvi\.mock\(|cheap-scrypt/;
    const unit = tests.filter((path) => path.startsWith('test/unit/') && !path.endsWith('house.test.ts'));
    expect(unit.length).toBeGreaterThan(100);
    expect(unit.filter((path) => replaces.test(textOf(path)))).toEqual([]);
  });

  it('list no characters first to make any text of them', () => {
    expect(tests.filter((path) => /[uU]nit: 'binary'/.test(textOf(path)) && !/any-text|house/.test(path))).toEqual([]);
  });
});

describe('the docs', () => {
  it('explain every error code with its members, and no other', () => {
    const members = new Map(
      filesIn(['src/errors'], '.ts').flatMap((path) => {
        const [, name = '', body = ''] =
          /class (\w+) extends KeyprovError \{([\s\S]*?)\n {2}constructor/.exec(textOf(path)) ?? [];
        return [[name, [...body.matchAll(/^ {2}(?:readonly )?(\w+): /gm)].map(([, member]) => member)]];
      }),
    );
    const codes = [...textOf('src/errors/error-by-code.ts').matchAll(/^ {2}readonly '?([a-z-]+)'?: (\w+);$/gm)].map(
      ([, code, name = '']) => [code, ...(members.get(name) ?? [])],
    );
    const rows = textOf('docs/errors.md').matchAll(/^\| `([a-z-]+)` \|(?:[^|]*\|){2}([^|]*)\|$/gm);
    const explained = [...rows].map(([, code, last = '']) => [
      code,
      ...[...last.matchAll(/`(\w+)`/g)].map(([, member]) => member),
    ]);
    expect(codes.length).toBeGreaterThan(40);
    expect(explained).toEqual(codes);
  });

  it('name every source file in docs/architecture.md, and no other', () => {
    const named = [...textOf('docs/architecture.md').matchAll(/^\| `((?:src|native)\/[^`]+\.ts)` \|/gm)];
    expect(named.map(([, path]) => path).sort()).toEqual(sources);
  });
});
