// Draws docs/run.svg, the output of `keyprov provision --demo` in a terminal.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import './build.mjs'; // builds dist/

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'keyprov-run-'));
const [CHARACTER, LINE, MARGIN, COLUMNS] = [7.8, 18, 16, 124];

/** The demo's standard error and output in order, without the path of the temporary directory. */
function demo() {
  const command = `"$0" "$1" provision --demo --out demo 2>&1`;
  const main = join(root, 'dist', 'src', 'cli', 'main.js');
  const options = { cwd: folder, encoding: 'utf8', input: '' };
  const { status, stdout } = spawnSync('sh', ['-c', command, process.execPath, main], options);
  if (status !== 0) throw new Error(`the demo ended with ${status}\n${stdout}`);
  return stdout.replaceAll(`${folder}/`, '').trimEnd().split('\n');
}

/** As in a terminal, the outcome of a step replaces its beginning, and an unchanged state is shown once. */
function asOnTerminal(lines) {
  const step = (line) => /^([\w-]+): /.exec(line ?? '')?.[1];
  const isReplaced = (line, at) => {
    const name = step(line);
    const outcome = lines.slice(at + 1).find((later) => step(later) === name);
    return name !== undefined && !line.endsWith(' s)') && outcome?.endsWith(' s)');
  };
  return lines.filter((line, at) => line !== lines[at + 1] && !isReplaced(line, at));
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function draw(lines) {
  const shown = lines.flatMap((line) => line.match(new RegExp(`.{1,${COLUMNS}}`, 'g')) ?? ['']);
  const [width, height] = [COLUMNS * CHARACTER + 2 * MARGIN, shown.length * LINE + 2 * MARGIN];
  const rows = shown.map((line, index) => {
    const [, name, rest] = /^([\w-]+:|\$ .*|[A-Za-z]+(?: ID)?(?= {2,}))(.*)$/.exec(line) ?? [];
    const text = name === undefined ? escaped(line) : `<tspan class="n">${escaped(name)}</tspan>${escaped(rest)}`;
    return `<text x="${MARGIN}" y="${MARGIN + (index + 0.75) * LINE}" xml:space="preserve">${text}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(width)} ${height}" role="img">
<title>A run of keyprov provision --demo</title>
<style>text{font:13px monospace;fill:#d8dee9}.n{fill:#88c0d0}</style>
<rect width="100%" height="100%" rx="8" fill="#1b2028"/>
${rows.join('\n')}
</svg>
`;
}

try {
  const lines = ['$ keyprov provision --demo --out demo', ...asOnTerminal(demo())];
  writeFileSync(join(root, 'docs', 'run.svg'), draw(lines));
  console.log(`docs/run.svg: ${lines.length} lines`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
