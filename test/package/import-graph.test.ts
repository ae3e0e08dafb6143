import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);

/** A module loader hook that writes the address of every module that is loaded, one a line. */
const HOOK = `
  import { writeSync } from 'node:fs';
  export async function load(url, context, next) { writeSync(1, url + '\\n'); return next(url, context); }`;

/** Imports `specifier` in a process of its own; what was loaded, and what the process has that it had not before. */
async function load(specifier: string): Promise<{ modules: string[]; left: unknown }> {
  const script = `
    import { createRequire, register } from 'node:module';
    import { writeSync } from 'node:fs';
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(HOOK)}));
    const before = process.eventNames().length;
    await import('${specifier}');
    const left = [...process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|MessagePort/.test(name))];
    for (const path of Object.keys(createRequire('file:///').cache)) writeSync(1, path + '\\n');
    console.log(JSON.stringify({ left, events: process.eventNames().length - before }));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
  const lines = stdout.trimEnd().split('\n');
  return { modules: lines.slice(0, -1), left: JSON.parse(lines.at(-1) ?? '') };
}

const { exports } = JSON.parse(await readFile('package.json', 'utf8'));
const specifiers = Object.keys(exports)
  .filter((path) => path !== './package.json')
  .map((path) => `keyprov${path.slice(1)}`);

describe.each(specifiers)('import of %s', (specifier) => {
  it('loads no heavy package and no native code, and leaves nothing running', async () => {
    const { modules, left } = await load(specifier);
    expect(modules.some((module) => module.includes('/dist/src/'))).toBe(true);
    expect(modules.filter((module) => /node_modules|\.node$/.test(module))).toEqual([]);
    const own = modules.filter((module) => module.startsWith('file:') && module.includes('/dist/'));
    // The bundler names the source of each part.
    const parts = (await Promise.all(own.map((module) => readFile(fileURLToPath(module), 'utf8')))).flatMap((code) =>
      [...code.matchAll(/^\/\/ ((?:src|native)\/.*\.ts)$/gm)].map(([, source]) => source),
    );
    expect(parts.length).toBeGreaterThan(5);
    expect(parts.filter((source) => source?.startsWith('native/'))).toEqual([]);
    expect(left).toEqual({ left: [], events: 0 });
  });
});

describe('the hook', () => {
  it('sees packages that are loaded', async () => {
    const { modules } = await load('koffi');
    expect(modules.filter((module) => module.includes('node_modules/koffi/'))).not.toEqual([]);
  });
});
