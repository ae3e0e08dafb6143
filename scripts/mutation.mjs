// Mutation testing: `node scripts/mutation.mjs session crypto`; all areas without a name. It works in a copy of the checkout and
// installs Stryker there, so that the tests do not depend on it. docs/reliability.md has the results. test/surviving-mutants.md
// gives the reason for each surviving mutant. Exit code 1: a surviving mutant is not on that page.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The files of `src/` to mutate, and the tests in `test/unit/` that must find the mutants. Files of `src/attestation/` that need a
 * TPM are left out, because only slow tests cover them.
 */
const AREAS = {
  session: [['tpm/{session,session-slots,exchange}', 'tpm/{session,session-vectors,session-slots,exchange}']],
  crypto: [
    ['crypto/cbor', 'crypto/cbor'],
    ['crypto/{der-read,der-write}', 'crypto/der'],
    ['crypto/{kdf,scrypt}', 'crypto/{kdf,scrypt}'],
    ['crypto/{pem,certificate-bytes}', 'crypto/{pem,certificate-bytes}'],
    ['crypto/{public-key,curve,jwk,roca,key-strength}', 'crypto/{public-key,roca}'],
    ['crypto/{verify-signature,ecdsa-signature,certificate-signature}', 'crypto/{verify,certificate}-signature'],
    [
      'crypto/{x509,x509-names,verify-chain,path-search,name-constraints,distinguished-name}',
      'crypto/{x509,verify-chain,chain-rules,name-constraints,distinguished-name}',
    ],
  ],
  attestation: [
    ['attestation/{credential,activation-challenge}', 'attestation/{credential,activation-challenge}'],
    ['attestation/{ek-certificate,verify-ek-certificate}', 'attestation/ek-certificate'],
    ['attestation/{statement,signature}', 'attestation/{statement,signature,verify}'],
    [
      'attestation/{verify,verify-certification,verify-evidence,verify-ak-certificate,findings,key-checks,trust-attestation-key}',
      'attestation/{verify,verify-evidence,findings}',
    ],
  ],
  selection: [['keys/{select-provider,fallback}', 'keys/{fallback,select-provider}']],
  journal: [
    ['provisioning/run-journal', 'provisioning/run-journal'],
    ['storage/record-file', 'storage/record-file'],
  ],
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const copy = mkdtempSync(join(tmpdir(), 'keyprov-mutation-'));

function run(command, ...args) {
  const { status } = spawnSync(command, args, { cwd: copy, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`);
}

/** Formats text as Markdown code. */
const code = (text) => (text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``);

/** The line that a mutant changes, before and after, as test/surviving-mutants.md writes it. */
function changeOf(source, { location: { start, end }, replacement }) {
  const lines = source.split('\n');
  const [first, last] = [lines[start.line - 1], lines[end.line - 1]];
  const before = start.line === end.line ? first : `${first} …`;
  const after = first.slice(0, start.column - 1) + replacement + last.slice(end.column - 1);
  return [before, after].map((text) => code(text.replaceAll(/\s+/g, ' ').trim())).join(' → ');
}

/** The changes to a file that test/surviving-mutants.md lists. */
function judgedOf(path) {
  const page = readFileSync(join(root, 'test/surviving-mutants.md'), 'utf8');
  const part = page.split('\n## ').find((one) => one.startsWith(`${path}\n`)) ?? '';
  return [...part.matchAll(/^- (.*`): /gm)].map(([, change]) => `${path}: ${change}`);
}

/** Counts how many mutants Stryker found and missed. Prints surviving mutants that the page does not list. */
function countResult() {
  const { files } = JSON.parse(readFileSync(join(copy, 'mutation.json'), 'utf8'));
  const all = Object.entries(files).flatMap(([path, { source, mutants }]) =>
    mutants.map((mutant) => ({ path: path.replace(/^src\//, ''), source, ...mutant })),
  );
  const withStatus = (...statuses) => all.filter(({ status }) => statuses.includes(status));
  const missed = withStatus('Survived', 'NoCoverage');
  const survivors = new Set(missed.map((mutant) => `${mutant.path}: ${changeOf(mutant.source, mutant)}`));
  const judged = new Set(Object.keys(files).flatMap((path) => judgedOf(path.replace(/^src\//, ''))));
  const unjudged = [...survivors].filter((one) => !judged.has(one));
  for (const one of unjudged) console.log(`not judged: ${one}`);
  for (const one of judged) if (!survivors.has(one)) console.log(`judged, but now found by the tests: ${one}`);
  return { found: withStatus('Killed', 'Timeout').length, missed: missed.length, unjudged: unjudged.length };
}

try {
  const skipped = /(?:^|\/)(?:node_modules|dist|\.git|\.stryker-tmp)$/;
  cpSync(root, copy, { recursive: true, filter: (path) => !skipped.test(path) });
  run('npm', 'ci', '--no-audit', '--no-fund');
  const packages = ['@stryker-mutator/core@9', '@stryker-mutator/vitest-runner@9'];
  run('npm', 'install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', ...packages);
  for (const [name, parts] of Object.entries(AREAS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    let [found, missed, unjudged] = [0, 0, 0];
    for (const [sources, tests] of parts) {
      // All files run in one process, which unit tests support; otherwise starting processes would take most of the time.
      const test = { include: [`test/unit/${tests}.test.ts`], testTimeout: 120_000, maxWorkers: 1, isolate: false };
      writeFileSync(join(copy, 'vitest.mutation.config.ts'), `export default ${JSON.stringify({ test })};\n`);
      const options = {
        ...{ testRunner: 'vitest', plugins: ['@stryker-mutator/vitest-runner'], inPlace: true, concurrency: 2 },
        ...{
          vitest: { configFile: 'vitest.mutation.config.ts', related: false },
          ignoreStatic: true,
          timeoutMS: 20_000,
        },
        ...{ reporters: ['json', 'progress-append-only'], jsonReporter: { fileName: 'mutation.json' } },
        mutate: [`src/${sources}.ts`],
      };
      writeFileSync(join(copy, 'stryker.config.json'), JSON.stringify(options));
      run('npx', 'stryker', 'run');
      const counts = countResult();
      [found, missed] = [found + counts.found, missed + counts.missed];
      unjudged += counts.unjudged;
    }
    console.log(
      `${name}: ${found} of ${found + missed} found, ${((100 * found) / (found + missed)).toFixed(1)} %, ${unjudged} not judged`,
    );
    if (unjudged > 0) process.exitCode = 1;
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
