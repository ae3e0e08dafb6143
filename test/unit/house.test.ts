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

  it('say "1 byte", with byteCount', () => {
    const beyondLimits = ['src/limits.ts', 'native/libtpms.ts'];
    const plural = sources.filter((path) => /\.length\} bytes/.test(textOf(path)));
    expect(plural.filter((path) => !beyondLimits.includes(path))).toEqual([]);
  });

  it("read a user's file only where its text is decoded: as UTF-16, too, and without a byte order mark", () => {
    const decoders = [
      'src/cli/commands/request.ts',
      'src/cli/options/format-options.ts',
      'src/cli/options/service-option.ts',
      'src/policy/policy-in-force.ts', // by readPolicyFile
      'src/policy/read-windows-registry.ts', // by readRegistryExport
      'src/registration/tpm-roots.ts', // by splitCertificates
      'src/tpm/transports/recording.ts',
    ];
    const readers = sources.filter((path) => /(?<!function )\breadInput\(/.test(textOf(path)));
    expect(readers.sort()).toEqual(decoders);
    const own = [...decoders.slice(0, 3), 'src/tpm/transports/recording.ts'];
    const texts = ['src/crypto/certificate-bytes.ts', 'src/policy/read-policy-file.ts', 'src/policy/read-registry.ts'];
    expect([...own, ...texts].filter((path) => !textOf(path).includes('decodeFileText('))).toEqual([]);
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

  it('in test/unit start no process and open no socket', () => {
    const unit = tests.filter((path) => path.startsWith('test/unit/'));
    const opens =
      /^import .* from '(?:node:)?(?:net|tls|dgram|https?|http2|child_process|cluster|worker_threads)';$|^import .*\/integration\//m;
    const found = unit.filter((path) => opens.test(textOf(path)));
    expect(found.filter((path) => !textOf(path).includes('patchBuiltin('))).toEqual([]); // replaces what starts processes
  });

  it('ask test/programs.ts what is missing: it fails them in continuous integration', () => {
    const own = /\benv(?:\??\.|\[['"])CI\b|\{[^}]*\bCI\b[^}]*\} = process\.env|\/usr\/bin\/(?:python3|ruby)\b/;
    expect(tests.filter((path) => own.test(textOf(path)) && !/programs\.ts|house/.test(path))).toEqual([]);
  });

  it('end without a check for no reason of the machine: vitest counts and shows what it skips', () => {
    const silent =
      /^ {2,4}(?:\/\/.*\n {2,4})?if \(.*(?:this machine|process\.platform|:memory:|\bmissing\b).*\) return;$/m;
    const cases = tests.flatMap((path) =>
      [...textOf(path).matchAll(/^( *)(?:it|test)\b[\s\S]*?^\1\}\);$/gm)].map(([text]) => ({ path, text })),
    );
    expect(cases.length).toBeGreaterThan(1000);
    expect(
      cases.filter(({ text }) => silent.test(text)).map(({ path, text }) => `${path}: ${text.split('\n')[0]}`),
    ).toEqual([]);
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

describe('the scripts', () => {
  it("use the machine's npm settings, which --prefix replaces, and show why npm fails", () => {
    const calls = filesIn(['scripts'], '.sh').flatMap(
      (path) =>
        textOf(path)
          .replaceAll('\\\n', '')
          .match(/\bnpm (?:ci|install|pack) .*/g) ?? [],
    );
    expect(calls.length).toBeGreaterThan(5);
    expect(calls.filter((call) => /--(?:prefix|silent)\b/.test(call))).toEqual([]);
  });
});

describe('the docs', () => {
  const codesByClass = [
    ...textOf('src/errors/error-by-code.ts').matchAll(/^ {2}readonly '?([a-z-]+)'?: (\w+);$/gm),
  ].map(([, code, name]) => [code, name]);

  it('explain every error code, and no other', () => {
    const rows = textOf('docs/errors.md').matchAll(/^\| `([a-z-]+)` \|(?:[^|]*\|){2}$/gm);
    expect(codesByClass.length).toBeGreaterThan(40);
    expect([...rows].map(([, code]) => code)).toEqual(codesByClass.map(([code]) => code));
  });

  it('list the codes and the members of every class of errors', () => {
    const classes = filesIn(['src/errors'], '.ts').flatMap((path) => {
      const [, name, body = ''] =
        /class (\w+) extends KeyprovError \{([\s\S]*?)\n {2}constructor/.exec(textOf(path)) ?? [];
      const codes = codesByClass.flatMap(([code, of]) => (of === name ? [code] : []));
      const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+): /gm)].map(([, member]) => member);
      return name === undefined || codes.length === 0 ? [] : [[name, codes, members]];
    });
    const rows = textOf('docs/error-handling.md').matchAll(/^\| `([A-Z]\w+Error)` \| (.*) \| (.*) \|$/gm);
    const wordsIn = (cell = '') => [...cell.matchAll(/`([\w-]+)`/g)].map(([, word]) => word);
    expect(classes.length).toBeGreaterThan(5);
    expect([...rows].map(([, name, codes, members]) => [name, wordsIn(codes), wordsIn(members)]).sort()).toEqual(
      classes.sort(),
    );
  });

  it('name every source file in docs/source-files.md, and no other', () => {
    const sections = textOf('docs/source-files.md').split(/^## /m).slice(1);
    const named = sections.flatMap((section) => {
      const folder = /^`([^`]+)`/.exec(section)?.[1] ?? '';
      return [...section.matchAll(/^\| `([^`]+\.ts)` \|/gm)].map(([, file]) => `${folder}${file}`);
    });
    expect(named.sort()).toEqual(sources);
  });
});
