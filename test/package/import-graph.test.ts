import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);

/**
 * Limits for loading: our files and their KB. If you raise one, say why: a millisecond buys about one
 * file, or 25 KB. Two percent are left for small changes.
 */
const MOST: Readonly<Record<string, readonly [files: number, kilobytes: number]>> = {
  // Encoders and builders check every member that they are given, and name the wrong one.
  // Reading policy includes Windows' registry, and text in every encoding.
  // Choosing a TPM proves its passwords, and that a slot is free; a deleted key takes its count of PIN tries. Several calls
  // may share a TPM. Data to sign may come in pieces.
  keyprov: [13, 711],
  'keyprov/provisioning': [13, 702],
  'keyprov/keys': [8, 422],
  // Opening a TPM checks the names of the options.
  'keyprov/tpm': [7, 272],
  'keyprov/tpm/public-areas': [2, 121],
  'keyprov/tpm/transports': [6, 196],
  'keyprov/attestation': [6, 264],
  'keyprov/attestation/endorsement': [6, 253],
  'keyprov/formats/windows': [5, 265],
  'keyprov/formats/x509': [6, 245],
  'keyprov/formats/webauthn': [5, 283],
  'keyprov/formats/tcg': [4, 191],
  'keyprov/formats/services': [6, 296],
  'keyprov/policy': [4, 232],
  // And the certificates of TPM makers, in every encoding and in PKCS #7: TLS would leave out one that it cannot read.
  'keyprov/registration': [10, 439],
  'keyprov/windows': [5, 266],
  'keyprov/webcrypto': [7, 350],
  'keyprov/inspect': [15, 648],
  'keyprov/testing': [13, 648],
  '--version': [3, 169],
  // Includes code that the dashboard shares with other commands, which the bundler puts in the same file, and which checks
  // that no output replaces an input.
  'status --help': [14, 791],
  // And code that `verify` and `tpm` share to verify certificates, and statements, as attesting a key does.
  'create --help': [14, 824],
};

/** A module loader hook that writes the address of every module that is loaded, one a line. */
const HOOK = `
  import { writeSync } from 'node:fs';
  export async function load(url, context, next) { writeSync(1, url + '\\n'); return next(url, context); }`;
const REGISTER = `
  import { createRequire, register } from 'node:module';
  import { writeSync } from 'node:fs';
  register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(HOOK)}));
  process.on('exit', () => {
    for (const path of Object.keys(createRequire('file:///').cache)) writeSync(1, path + '\\n');
  });`;

/** Runs Node, and tells the modules that it loads, and the last line that the program itself prints. */
async function load(...args: readonly string[]): Promise<{ modules: string[]; said: string }> {
  const hook = `data:text/javascript,${encodeURIComponent(REGISTER)}`;
  const { stdout } = await run(process.execPath, ['--import', hook, ...args]);
  const lines = stdout.trimEnd().split('\n');
  const isModule = (line: string): boolean => /^(?:file:|node:|data:|\/)/.test(line);
  return { modules: lines.filter(isModule), said: lines.findLast((line) => !isModule(line)) ?? '' };
}

/** Imports `specifier` in a separate process. Returns the loaded files and the process's new resources. */
async function importOf(specifier: string): Promise<{ modules: string[]; left: unknown }> {
  const script = `
    const before = process.eventNames().length;
    await import('${specifier}');
    const left = [...process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|MessagePort/.test(name))];
    console.log(JSON.stringify({ left, events: process.eventNames().length - before }));`;
  const { modules, said } = await load('--input-type=module', '-e', script);
  return { modules, left: JSON.parse(said) };
}

/** The code of each file of ours. */
async function codeOf(modules: readonly string[]): Promise<string[]> {
  const own = modules.filter((module) => module.startsWith('file:') && module.includes('/dist/'));
  return await Promise.all(own.map((module) => readFile(fileURLToPath(module), 'utf8')));
}

function expectLittle(name: string, modules: readonly string[], codes: readonly string[]): void {
  expect(modules.filter((module) => /node_modules|\.node$/.test(module))).toEqual([]);
  // The bundler names the source of each part.
  const parts = codes.flatMap((code) =>
    [...code.matchAll(/^\/\/ ((?:src|native)\/.*\.ts)$/gm)].map(([, part]) => part),
  );
  expect(parts.length).toBeGreaterThan(5);
  expect(parts.filter((source) => source?.startsWith('native/'))).toEqual([]);
  // Errors are called by the names of their classes.
  expect(codes.join('').match(/\bclass \w+\$\d+|\w+\$\d+ = class\b/g)).toBeNull();
  const [files = 0, kilobytes = 0] = MOST[name] ?? [];
  expect(codes.length).toBeLessThanOrEqual(files);
  expect(codes.join('').length / 1000).toBeLessThanOrEqual(kilobytes);
}

const { exports } = JSON.parse(await readFile('package.json', 'utf8'));
const specifiers = Object.keys(exports)
  .filter((path) => path !== './package.json')
  .map((path) => `keyprov${path.slice(1)}`);

describe.each(specifiers)('import of %s', (specifier) => {
  it('loads no package and no native code, and little of ours, and leaves nothing running', async () => {
    const { modules, left } = await importOf(specifier);
    expect(modules.some((module) => module.includes('/dist/src/'))).toBe(true);
    expectLittle(specifier, modules, await codeOf(modules));
    expect(left).toEqual({ left: [], events: 0 });
  });
});

describe.each(['--version', 'status --help', 'create --help'])('keyprov %s', (line) => {
  it('loads no package and no native code, and little of ours', async () => {
    const { modules } = await load('dist/src/cli/main.js', ...line.split(' '));
    expectLittle(line, modules, await codeOf(modules));
  });
});

describe('the hook', () => {
  it('sees packages that are loaded', async () => {
    const { modules } = await importOf('koffi');
    expect(modules.filter((module) => module.includes('node_modules/koffi/'))).not.toEqual([]);
  });
});

/** Names of Node's modules that Node.js 16 lacks: a new one is in here, or in a module that it lacks too. */
const NEWER = new Set(
  [
    'File isAscii isUtf8 getRandomValues hash subtle addAbortListener getMaxListeners openAsBlob statfs statfsSync register',
    'getDefaultAutoSelectFamily setDefaultAutoSelectFamily availableParallelism matchesGlob duplexPair isWritable',
    'MIMEParams MIMEType aborted parseEnv styleText transferableAbortController transferableAbortSignal',
  ].flatMap((names) => names.split(' ')),
);

describe('files that an older Node.js loads', () => {
  it('has no syntax and imports no name that would stop it before keyprov says which version it needs', async () => {
    const wrong: string[] = [];
    for (const name of await readdir('dist', { recursive: true })) {
      if (!name.endsWith('.js') || name.startsWith('web/')) continue;
      const text = await readFile(`dist/${name}`, 'utf8');
      const imports = text.matchAll(/^import \{([^}]*)\} from ["']node:[^"']*["']/gm);
      const names = [...imports].flatMap(([, list = '']) =>
        list.split(',').map((one) => one.trim().split(' ')[0] ?? ''),
      );
      wrong.push(...names.filter((one) => NEWER.has(one)).map((one) => `${name} imports ${one}`));
      if (/^(?:import|export) [^;]*["'] (?:with|assert) \{/m.test(text)) wrong.push(`${name} has an import attribute`);
    }
    expect(wrong).toEqual([]);
  });
});
