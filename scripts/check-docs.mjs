// Checks the pages in the root and in docs/, and two pages for contributors. Every `ts` block compiles against the sources. Every
// `sh run` block runs, in an empty directory with `keyprov` and `scripts/` available. A block that names a file in examples/ is
// an excerpt of that file. Links lead to existing files and headings. docs/README.md lists every page of docs/. The README has at
// most 150 lines. Prose has at most 130 columns. `@example` blocks in src/ compile too.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import './need-packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'keyprov-docs-'));
const counted = { lines: 0, links: 0, ts: 0, sh: 0, excerpts: 0 };
const problems = [];

/** The fenced blocks of a page: the text after the fence, the number of the first line, the lines. */
function blocksOf(page) {
  const lines = page.split('\n');
  const fences = [...lines.keys()].filter((index) => /^\s*```/.test(lines[index]));
  const blocks = [];
  for (let at = 0; at < fences.length; at += 2) {
    const [open, close] = [fences[at], fences[at + 1] ?? lines.length];
    const info = lines[open].replace(/^\s*```/, '').trim();
    blocks.push({ info, line: open + 2, lines: lines.slice(open + 1, close) });
  }
  return blocks;
}

/** The `@example` blocks of a source file: the number of the first line, the lines. */
function examplesIn(source) {
  const lines = source.split('\n');
  const starts = [...lines.keys()].filter((index) => /^\s*\* @example\b/.test(lines[index]));
  return starts.map((start) => {
    const rest = lines.slice(start + 1);
    const code = rest.slice(
      0,
      rest.findIndex((line) => /^\s*\*(\/| @)/.test(line)),
    );
    return { line: start + 2, lines: code.map((line) => line.replace(/^\s*\* ?(```.*)?/, '')) };
  });
}

/** Writes a block for the compiler, after as many empty lines as precede it on the page, so that line numbers match. */
function keepForCompiler(file, { line, lines }) {
  counted.ts++;
  const name = file.replace(/\.\w+$/, '').replaceAll('/', '-');
  writeFileSync(join(folder, 'ts', `${name}-${line}.ts`), `${'\n'.repeat(line - 1)}${lines.join('\n')}\nexport {};\n`);
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(path) {
  const headings = readFileSync(join(root, path), 'utf8').match(/^#+ .+$/gm) ?? [];
  return new Set(
    headings.map((heading) =>
      heading
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

function checkLinks(file, page) {
  for (const [, target] of page.replace(/^\s*```[\s\S]*?^\s*```/gm, '').matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?:|mailto:)/.test(target)) continue;
    counted.links++;
    const [path, anchor] = target.startsWith('#') ? [file, target.slice(1)] : join(dirname(file), target).split('#');
    if (!existsSync(join(root, path))) problems.push(`${file}: no file ${target}`);
    else if (anchor !== undefined && !anchorsOf(path).has(anchor)) problems.push(`${file}: no heading for ${target}`);
  }
}

/** Checks the width of prose. Tables and code may be wider. */
function checkWidth(file, page) {
  let isCode = false;
  for (const [index, line] of page.split('\n').entries()) {
    if (/^\s*```/.test(line)) isCode = !isCode;
    const isProse = !isCode && !line.startsWith('|');
    if (isProse && line.length > 130) problems.push(`${file}:${index + 1}: ${line.length} columns, 130 are allowed`);
  }
}

/** The source file of each subpath in package.json. */
function sourcePaths() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const targets = Object.entries(exports).filter(([, target]) => target.default !== undefined);
  return Object.fromEntries(
    targets.map(([path, target]) => [
      `keyprov${path.slice(1)}`,
      [join(root, target.default.replace('./dist/', '').replace(/\.js$/, '.ts'))],
    ]),
  );
}

function compileAll() {
  const options = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      rootDir: '/',
      typeRoots: [join(root, 'node_modules', '@types')],
      paths: sourcePaths(),
      noUnusedLocals: false,
    },
    include: [join(folder, 'ts')],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
  if (status !== 0) problems.push(`blocks that do not compile (the line is that of the page):\n${stdout}`);
}

/** Checks that a block whose fence names a file contains consecutive lines of that file. */
function checkExcerpt(file, { info, line, lines }) {
  counted.excerpts++;
  const [, path] = info.split(' ');
  const trimmed = (text) => text.split('\n').map((row) => row.trim());
  const whole = existsSync(join(root, path)) ? trimmed(readFileSync(join(root, path), 'utf8')).join('\n') : '';
  if (!whole.includes(trimmed(lines.join('\n')).join('\n'))) problems.push(`${file}:${line}: not in ${path}`);
}

function run(file, { line, lines }) {
  const cwd = mkdtempSync(join(folder, 'sh-'));
  symlinkSync(join(root, 'scripts'), join(cwd, 'scripts'));
  const env = { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}` };
  const options = { cwd, env, encoding: 'utf8', timeout: 300_000 };
  const { status, signal, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', '-c', lines.join('\n')], options);
  if (status !== 0) problems.push(`${file}:${line}: ended with ${status ?? signal}\n${stdout}${stderr}`);
}

try {
  for (const name of ['ts', 'bin']) mkdirSync(join(folder, name));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules')); // for the packages that blocks import
  const main = join(root, 'dist', 'src', 'cli', 'main.js');
  writeFileSync(join(folder, 'bin', 'keyprov'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`, {
    mode: 0o755,
  });

  const index = readFileSync(join(root, 'docs', 'README.md'), 'utf8');
  const pages = [
    ...readdirSync(root),
    ...readdirSync(join(root, 'docs'), { recursive: true }).map((name) => `docs/${name}`),
    ...['bench/README.md', 'test/surviving-mutants.md'],
  ];
  for (const file of pages.filter((name) => name.endsWith('.md'))) {
    const page = readFileSync(join(root, file), 'utf8');
    const length = page.trimEnd().split('\n').length;
    counted.lines += length;
    if (file === 'README.md' && length > 150) problems.push(`${file}: ${length} lines, 150 are allowed`);
    checkLinks(file, page);
    if (!/^(?:bench|test)\//.test(file)) checkWidth(file, page); // their lists have one line per item
    const own = file.replace(/^docs\//, '');
    if (own !== file && own !== 'README.md' && !index.includes(`](${own})`)) problems.push(`docs/README.md: no ${own}`);
    for (const block of blocksOf(page)) {
      if (block.info === 'ts') {
        keepForCompiler(file, block);
      } else if (block.info === 'sh run') {
        counted.sh++;
        run(file, block);
      } else if (/ examples\//.test(block.info)) {
        checkExcerpt(file, block);
      }
    }
  }
  for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    for (const example of examplesIn(readFileSync(path, 'utf8'))) keepForCompiler(path.slice(root.length + 1), example);
  }
  if (counted.ts > 0) compileAll();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

for (const problem of problems) console.error(`docs: ${problem}`);
console.log(
  `docs: ${counted.lines} lines, ${counted.links} links, ${counted.ts} ts blocks compiled, ${counted.sh} sh blocks run, ${counted.excerpts} excerpts`,
);
process.exitCode = problems.length > 0 ? 1 : 0;
