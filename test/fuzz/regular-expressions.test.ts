import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import ts from 'typescript-api';
import { describe, expect, it } from 'vitest';
import { filesIn, textOf } from '../unit/source-files.ts';

// recheck can also use a native program or Java, which package.json leaves out. Its JavaScript gives the same answers.
process.env.RECHECK_BACKEND = 'pure';
const { checkSync } = await import('recheck');

/**
 * Earlier results of recheck, with its version. Only new expressions are checked, because checking all takes half a minute. To
 * update the file, run this test with `--update`; to check all expressions, delete the file first.
 */
const JUDGED = 'test/fuzz/judged-expressions.txt';
const JUDGE = `recheck ${JSON.parse(textOf('node_modules/recheck/package.json')).version}`;

interface Pattern {
  readonly where: string;
  readonly source: string;
  readonly flags: string;
}

/** Every regular expression that is written in the sources, and how many are made from text. */
function written(path: string): { readonly literals: Pattern[]; readonly made: number } {
  const file = ts.createSourceFile(path, textOf(path), ts.ScriptTarget.Latest, true);
  const literals: Pattern[] = [];
  let made = 0;
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/');
      const line = file.getLineAndCharacterOfPosition(node.getStart()).line + 1;
      literals.push({ where: `${path}:${line}`, source: node.text.slice(1, end), flags: node.text.slice(end + 1) });
    } else if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && node.expression.getText() === 'RegExp') {
      made += 1;
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return { literals, made };
}

/** The regular expressions that a file makes from text when it is loaded. */
async function made(path: string): Promise<Pattern[]> {
  const patterns: Pattern[] = [];
  const original = globalThis.RegExp;
  globalThis.RegExp = new Proxy(original, {
    construct(target, [source, flags]: [string, string?]) {
      patterns.push({ where: path, source, flags: flags ?? '' });
      return new target(source, flags);
    },
  });
  try {
    await import(`${resolve(path)}?made`);
  } finally {
    globalThis.RegExp = original;
  }
  return patterns;
}

/** recheck's objection to a pattern: a text on which it takes more than linear time. */
function flaw({ where, source, flags }: Pattern): string | undefined {
  const found = checkSync(source, flags, { timeout: 60_000, randomSeed: 1 });
  if (found.status === 'safe') return undefined;
  const why = found.status === 'vulnerable' ? `${found.complexity.summary}, ${found.attack.pattern}` : found.error.kind;
  return `${where} /${source}/${flags}: ${why}`;
}

describe('a regular expression', () => {
  it('that takes more than linear time is found', () => {
    const bad: readonly [source: string, flags: string][] = [
      ['[ \\t]*\\r?\\n', ''],
      ['=*$', ''],
      ['<[^>]*>', 'g'],
      ['\\s*(?<!\\\\)([,=])\\s*', 'g'],
    ];
    expect(bad.map(([source, flags]) => flaw({ where: 'here', source, flags }) !== undefined)).toEqual(
      bad.map(() => true),
    );
  });

  it('of the sources takes linear time', async () => {
    const patterns = new Map<string, Pattern>();
    for (const path of filesIn(['src', 'native'], '.ts')) {
      const found = written(path);
      const dynamic = found.made === 0 ? [] : await made(path);
      // An expression that is built from text at run time cannot be checked.
      expect([path, dynamic.length]).toEqual([path, found.made]);
      for (const one of [...found.literals, ...dynamic]) patterns.set(`/${one.source}/${one.flags}`, one);
    }
    expect(patterns.size).toBeGreaterThan(100);
    const [judge, ...judged] = existsSync(JUDGED) ? textOf(JUDGED).split('\n') : [];
    const known = new Set(judge === JUDGE ? judged : []);
    const isNew = ([text]: [string, Pattern]) => !known.has(text);
    const flaws = [...patterns].filter(isNew).flatMap(([, pattern]) => flaw(pattern) ?? []);
    expect(flaws).toEqual([]);
    await expect([JUDGE, ...[...patterns.keys()].sort()].join('\n')).toMatchFileSnapshot(resolve(JUDGED));
  }, 120_000);
});
