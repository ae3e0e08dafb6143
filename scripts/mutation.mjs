// Mutation testing: `node scripts/mutation.mjs session crypto`, without a name all areas. It works in a copy of the
// checkout, and adds Stryker there, which would be too much for everybody who installs what the tests need.
// docs/reliability.md has the results.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What is mutated, and by which tests a mutant must be found. */
const AREAS = {
  session: {
    mutate: ['src/tpm/session.ts', 'src/tpm/session-slots.ts', 'src/tpm/exchange.ts'],
    tests: ['test/unit/tpm/{session,session-vectors,session-slots,exchange}.test.ts'],
  },
  crypto: {
    mutate: ['src/crypto/**/*.ts'],
    tests: ['test/unit/{crypto,attestation,inspect}/**/*.test.ts', 'test/unit/formats/**/*.test.ts'],
  },
  attestation: {
    mutate: ['src/attestation/**/*.ts'],
    tests: ['test/unit/{attestation,formats}/**/*.test.ts', 'test/integration/{attestation,activation}.test.ts'],
  },
  selection: {
    mutate: ['src/keys/select-provider.ts', 'src/keys/fallback.ts'],
    tests: ['test/unit/keys/{fallback,select-provider}.test.ts'],
  },
  journal: {
    mutate: ['src/provisioning/run-journal.ts', 'src/storage/record-file.ts'],
    tests: ['test/unit/{provisioning/run-journal,storage/record-file}.test.ts'],
  },
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const copy = mkdtempSync(join(tmpdir(), 'keyprov-mutation-'));

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: copy, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`);
}

/** Scores as Stryker counts them: what was found of what could be, and each mutant that was not. */
function printResult(name) {
  const { files } = JSON.parse(readFileSync(join(copy, 'mutation.json'), 'utf8'));
  const all = Object.entries(files).flatMap(([path, { mutants }]) => mutants.map((mutant) => ({ path, ...mutant })));
  const count = (...statuses) => all.filter(({ status }) => statuses.includes(status)).length;
  const [found, missed] = [count('Killed', 'Timeout'), count('Survived', 'NoCoverage')];
  for (const { path, location, mutatorName, replacement, status } of all) {
    if (status !== 'Survived' && status !== 'NoCoverage') continue;
    console.log(`${path}:${location.start.line} ${mutatorName} ${status}: ${replacement?.replaceAll(/\s+/g, ' ')}`);
  }
  console.log(`${name}: ${found} of ${found + missed} found, ${((100 * found) / (found + missed)).toFixed(1)} %`);
}

try {
  const skipped = /(?:^|\/)(?:node_modules|dist|\.git|\.stryker-tmp)$/;
  cpSync(root, copy, { recursive: true, filter: (path) => !skipped.test(path) });
  run('npm', 'ci', '--no-audit', '--no-fund');
  const packages = ['@stryker-mutator/core@9', '@stryker-mutator/vitest-runner@9'];
  run('npm', 'install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', ...packages);
  for (const [name, { mutate, tests }] of Object.entries(AREAS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    writeFileSync(
      join(copy, 'vitest.mutation.config.ts'),
      `export default { test: { include: ${JSON.stringify(tests)}, testTimeout: 120_000, maxWorkers: 1 } };\n`,
    );
    const options = {
      ...{ testRunner: 'vitest', plugins: ['@stryker-mutator/vitest-runner'], mutate, inPlace: true },
      ...{ vitest: { configFile: 'vitest.mutation.config.ts', related: false }, ignoreStatic: true },
      ...{
        reporters: ['json', 'progress-append-only'],
        jsonReporter: { fileName: 'mutation.json' },
        timeoutMS: 20_000,
        concurrency: 2,
      },
    };
    writeFileSync(join(copy, 'stryker.config.json'), JSON.stringify(options));
    run('npx', 'stryker', 'run');
    printResult(name);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
