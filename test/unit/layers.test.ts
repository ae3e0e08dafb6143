import { describe, expect, it } from 'vitest';
import { codeOf, filesIn, importsOf } from './source-files.ts';

/** For each folder of src/, and each file directly in it, the permitted imports. */
const BASE = [
  'errors',
  'bytes',
  'limits',
  'nearest',
  'known-members',
  'finding',
  'json',
  'printable',
  'signal',
  'text',
  'aes-cfb',
  'pieces',
  'primitives',
  'crypto',
  'storage',
  'tpm',
];
const CHAIN = ['policy', 'keys', 'webcrypto', 'attestation', 'formats', 'registration', 'provisioning'];
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  errors: ['printable'],
  printable: [],
  finding: [],
  'aes-cfb': [],
  pieces: [],
  primitives: ['aes-cfb', 'pieces'],
  'primitives-web': ['primitives'],
  bytes: ['primitives'],
  limits: [],
  nearest: [],
  'known-members': ['bytes', 'nearest'],
  json: ['bytes', 'limits'],
  signal: ['bytes'],
  text: [],
  crypto: ['errors', 'bytes', 'limits', 'finding', 'json', 'printable', 'primitives', 'text'],
  storage: ['errors', 'bytes', 'limits', 'json', 'signal', 'crypto', 'native'],
  tpm: [
    'errors',
    'bytes',
    'limits',
    'nearest',
    'known-members',
    'json',
    'signal',
    'text',
    'primitives',
    'crypto',
    'storage',
    'native',
  ],
  ...Object.fromEntries(CHAIN.map((folder, index) => [folder, [...BASE, ...CHAIN.slice(0, index)]])),
  index: [...BASE, ...CHAIN],
  testing: [...BASE, ...CHAIN],
  inspect: [...BASE, ...CHAIN.slice(0, CHAIN.indexOf('formats') + 1)],
  cli: [...BASE, ...CHAIN, 'inspect', 'testing', 'native'],
};

const sources = filesIn(['src', 'native'], '.ts');
const nativeFiles = sources.filter((path) => path.startsWith('native/'));

/** `src/tpm/x.ts` is of `tpm`, `src/errors.ts` of `errors`, `native/x.ts` of `native`; undefined for a package. */
function layerOf(target: string): string | undefined {
  if (target.startsWith('native/')) return 'native';
  return /^src\/([^/.]+)/.exec(target)?.[1];
}

/** Every file and package that loading `start` can lead to, also lazily; with `types`, all whose types it names at load. */
function reachableFrom(start: readonly string[], types = false): Set<string> {
  const seen = new Set(start);
  for (const path of seen) {
    if (!path.endsWith('.ts')) continue;
    for (const { target, typeOnly, dynamic } of importsOf(path)) if (types ? !dynamic : !typeOnly) seen.add(target);
  }
  return seen;
}

describe('importsOf', () => {
  it('reads what a file imports', () => {
    expect(importsOf('src/policy/define-policy.ts')).toEqual([
      { target: 'src/errors/policy-error.ts', typeOnly: false, dynamic: false },
      { target: 'src/json.ts', typeOnly: false, dynamic: false },
      { target: 'src/policy/algorithm.ts', typeOnly: false, dynamic: false },
      { target: 'src/policy/pin-policy.ts', typeOnly: false, dynamic: false },
      { target: 'src/policy/windows-settings.ts', typeOnly: true, dynamic: false },
      { target: 'src/policy/wording.ts', typeOnly: false, dynamic: false },
    ]);
    expect(importsOf('src/tpm/tpm-object.ts')).toEqual([
      { target: 'src/bytes.ts', typeOnly: true, dynamic: false },
      { target: 'src/tpm/structures/context.ts', typeOnly: true, dynamic: false },
    ]);
  });
});

describe('the layers', () => {
  it('follow the table: a folder imports only what is below it', () => {
    const wrong: string[] = [];
    for (const path of sources.filter((path) => path.startsWith('src/'))) {
      const from = layerOf(path) ?? path;
      for (const { target } of importsOf(path)) {
        const to = layerOf(target);
        if (to !== undefined && to !== from && !MAY_IMPORT[from]?.includes(to)) wrong.push(`${path} → ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('let cli load the test kit only for its demo, and not before the demo begins', () => {
    const uses = sources
      .filter((path) => path.startsWith('src/cli/'))
      .flatMap((path) => importsOf(path).map((used) => ({ path, ...used })))
      .filter(({ target, typeOnly }) => layerOf(target) === 'testing' && !typeOnly);
    expect(uses.length).toBeGreaterThan(0);
    expect(uses.filter(({ path, dynamic }) => !dynamic || !path.startsWith('src/cli/commands/demo/'))).toEqual([]);
  });

  it('end at native/, which imports nothing of src/', () => {
    const outside = nativeFiles.flatMap((path) => importsOf(path).filter(({ target }) => target.startsWith('src/')));
    expect(outside).toEqual([]);
  });

  it('confine koffi to native/', () => {
    expect(
      sources.filter((path) => /['"]koffi['"]/.test(codeOf(path))).filter((path) => !nativeFiles.includes(path)),
    ).toEqual([]);
  });

  it('confine fetch to src/registration/', () => {
    const callers = sources.filter((path) => /(?<![\w.])fetch\(/.test(codeOf(path)));
    expect(callers.filter((path) => !path.startsWith('src/registration/'))).toEqual([]);
  });

  it('let the verifier be loaded without any way to a TPM', () => {
    const verifier = sources.filter((path) => /^src\/attestation\/(?:verify|index)/.test(path));
    expect(verifier.length).toBeGreaterThan(0);
    const reached = [...reachableFrom(verifier)];
    expect(reached.length).toBeGreaterThan(verifier.length);
    expect(reached.filter((target) => /^native\/|^src\/tpm\/(transports\/|tpm\.ts)|^koffi$/.test(target))).toEqual([]);
  });

  it('are free of import cycles between files, imports of types included', () => {
    // The base class of errors is typed by the map from codes to classes, so that no code is thrown without its class.
    const isOfErrors = (path: string): boolean => /^src\/errors[/.]/.test(path);
    const cyclic = sources.filter((path) => {
      const next = importsOf(path).filter(({ dynamic }) => !dynamic);
      const reached = reachableFrom(
        next.map(({ target }) => target),
        true,
      );
      return reached.has(path) && !isOfErrors(path);
    });
    expect(cyclic).toEqual([]);
  });
});

describe('modules', () => {
  it.each([
    ['export everything of another under its own names', /^export\s+\*(?!\s+as\b)/m],
    ['have a default export', /^export\s+default\b/m],
    ['load without a statement that takes effect', /^import\s+'/m],
  ])('never %s', (_, pattern) => {
    expect(sources.filter((path) => pattern.test(codeOf(path)))).toEqual([]);
  });

  it('write to the console in src/cli/ only', () => {
    const writers = sources.filter((path) => /(?<![#.\w])(?:console\.|process\.std(?:out|err)\b)/.test(codeOf(path)));
    expect(writers.filter((path) => !path.startsWith('src/cli/'))).toEqual([]);
  });
});
