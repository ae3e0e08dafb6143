import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { codeOf, filesIn, textOf } from '../source-files.ts';

const FAMILIES = ['windows', 'x509', 'webauthn', 'tcg', 'services'];
const sources = filesIn(['src'], '.ts');

/** The names that a file gives on from others, each with the file that it is from. */
function givenOn(path: string): { readonly name: string; readonly from: string }[] {
  const lists = codeOf(path).matchAll(/^(?:export|import)\s+(?:type\s+)?\{([^}]*)\}\s*from\s+'(\.[^']+)'/gm);
  return [...lists].flatMap(([, list = '', target = '']) =>
    [...list.matchAll(/(?:type\s+)?(\w+)(?:\s+as\s+\w+)?\s*(?:,|$)/g)].map(([, name = '']) => ({
      name,
      from: posix.join(posix.dirname(path), target),
    })),
  );
}

/** The functions and classes that a file exports. */
const functionsOf = (path: string): string[] => [
  ...[...codeOf(path).matchAll(/^export (?:async )?(?:function|class) (\w+)/gm)].map(([, name = '']) => name),
  ...[...codeOf(path).matchAll(/^export const (\w+)(?:: [^=]+)? = (?:async )?(?:<[^>]*>)?\(/gm)].map(([, n = '']) => n),
];

describe('the formats', () => {
  it('are exported by their families, or used by another file', () => {
    const used = new Set(sources.flatMap(givenOn).map(({ name, from }) => `${from} ${name}`));
    const formats = sources.filter((path) => path.startsWith('src/formats/') && !path.endsWith('/index.ts'));
    const functions = formats.flatMap((path) => functionsOf(path).map((name) => `${path} ${name}`));
    expect(functions.length).toBeGreaterThan(120);
    expect(functions.filter((one) => !used.has(one))).toEqual([]);
  });
});

/** The verbs of docs/formats.md; those for work with a TPM are of TPM 2.0, Part 3. */
const VERBS = ['encode', 'decode', 'build', 'parse', 'statementFrom', 'verify', 'is', 'find', 'compute', 'decrypt'];
const TPM_VERBS = ['open', 'create', 'load', 'certify', 'attest', 'make', 'activate', 'answer', 'read'];

/** The public functions of an index, which constants and types aside are all that begins with a small letter. */
const verbsOf = (index: string): string[] =>
  givenOn(index)
    .map(({ name }) => name)
    .filter((name) => /^[a-z]/.test(name))
    .map((name) => (name.startsWith('statementFrom') ? 'statementFrom' : (/^[a-z]+/.exec(name)?.[0] ?? name)));

describe('the verbs', () => {
  it.each(FAMILIES)('of keyprov/formats/%s follow the rule', (family) => {
    const verbs = verbsOf(`src/formats/${family}/index.ts`);
    expect(verbs.length).toBeGreaterThan(5);
    expect(verbs.filter((verb) => !VERBS.includes(verb))).toEqual([]);
  });

  it.each(['index', 'endorsement'])('of keyprov/attestation, %s, follow the rule or Part 3', (name) => {
    const verbs = verbsOf(`src/attestation/${name}.ts`);
    expect(verbs.length).toBeGreaterThan(3);
    expect(verbs.filter((verb) => ![...VERBS, ...TPM_VERBS].includes(verb))).toEqual([]);
  });

  it('are explained in docs/formats.md', () => {
    const explained = [...textOf('docs/formats.md').matchAll(/^\| `([a-zA-Z]+)…?`(?:, `([a-zA-Z]+)…?`)?.* \|/gm)];
    expect(explained.flatMap(([, ...names]) => names.filter((name) => name !== undefined))).toEqual(
      expect.arrayContaining(VERBS),
    );
  });
});

describe('options', () => {
  it('may be undefined, so that callers can pass on absent options', () => {
    const folders = sources.filter((path) => /^src\/(?:formats|attestation)\//.test(path));
    const interfaces = folders.flatMap((path) => [
      ...codeOf(path).matchAll(/^export interface (\w*(?:Options|Input|Expectations))\b[^{]*\{([\s\S]*?)^\}/gm),
    ]);
    expect(interfaces.length).toBeGreaterThan(20);
    const optional = interfaces.flatMap(([, name, body = '']) =>
      [...body.matchAll(/^ {2}readonly \w+\?: [^;{]+;/gm)].map(([line]) => `${name}: ${line.trim()}`),
    );
    expect(optional.length).toBeGreaterThan(50);
    expect(optional.filter((line) => !line.endsWith('| undefined;'))).toEqual([]);
  });
});

describe('messages and comments', () => {
  it('say "is not a", and never "is no"', () => {
    const folders = sources.filter((path) => /^src\/(?:formats|attestation)\//.test(path));
    const found = folders.flatMap((path) =>
      [...textOf(path).matchAll(/.*(?<!there )\b(?:is|are) (?:no|none)\b(?! longer).*/g)].map(
        ([line]) => `${path}: ${line}`,
      ),
    );
    expect(found).toEqual([]);
  });
});

describe('the examples of verifyEvidence', () => {
  it('say which key the evidence must be about, so that nobody registers another key with it', () => {
    const pages = filesIn(['docs', 'examples', 'src'], '').filter((path) => /\.(md|mjs|ts)$/.test(path));
    const examples = pages.flatMap((path) => {
      const text = textOf(path);
      if (path.endsWith('.mjs')) return [{ path, code: text }];
      const block = path.endsWith('.md') ? /^```(?:ts|js)\n([\s\S]*?)^```$/gm : /^ +\* ```ts\n([\s\S]*?)^ +\* ```$/gm;
      return [...text.matchAll(block)].map(([, code = '']) => ({ path, code }));
    });
    const calls = examples.filter(({ code }) => /^(?:(?!\/\/).)*\bverifyEvidence\(/m.test(code));
    expect(calls.length).toBeGreaterThan(5);
    expect(calls.filter(({ code }) => !code.includes('expectedKey')).map(({ path }) => path)).toEqual([]);
  });
});

/** The text of the sources' comments, without comment markers. */
const shown = filesIn(['src/formats', 'src/crypto'], '.ts')
  .map((path) => textOf(path).replace(/^ \* ?/gm, ''))
  .join('\n');

describe.each(FAMILIES)('docs/formats/%s.md', (family) => {
  const page = textOf(`docs/formats/${family}.md`);
  const rows = [...page.matchAll(/^\| \[([^\]]+)\]\(#[\w-]+\) \| (`.*?) \| .+ \|$/gm)];
  const examples = [...page.matchAll(/^```ts\n([\s\S]*?)\n```$/gm)].map(([, code = '']) => code);
  const functions = givenOn(`src/formats/${family}/index.ts`)
    .map(({ name }) => name)
    .filter((name) => /^[a-z]/.test(name));

  it('lists each function once, with its independent check', () => {
    const named = rows.flatMap(([, , list = '']) => [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(named.sort()).toEqual(functions.sort());
  });

  it('has a section with an example for each format', () => {
    const sections = page.split(/^## /m).slice(1);
    expect(sections.map((section) => section.slice(0, section.indexOf('\n')))).toEqual(rows.map(([, title]) => title));
    expect(sections.filter((section) => !section.includes('```ts\n'))).toEqual([]);
  });

  it('calls each function in an example', () => {
    const code = examples.join('\n').replace(/\/\/.*$/gm, '');
    expect(functions.filter((name) => !new RegExp(`\\b${name}\\(`).test(code))).toEqual([]);
  });

  it('has examples of at most 8 lines that the editor shows too', () => {
    expect(examples.filter((code) => code.split('\n').length > 8)).toEqual([]);
    expect(examples.filter((code) => !shown.includes(`@example\n\`\`\`ts\n${code}\n`))).toEqual([]);
  });
});

describe.each(FAMILIES)('keyprov/formats/%s', (family) => {
  const index = `src/formats/${family}/index.ts`;

  it('explains itself in one sentence', () => {
    expect(textOf(index)).toMatch(/^\/\*\* [A-Z].+\. \*\/\n/);
  });

  it('has at most 80 names', () => {
    const count = givenOn(index).length;
    expect(count).toBeGreaterThan(10);
    expect(count).toBeLessThanOrEqual(80);
  });
});
