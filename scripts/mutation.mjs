// Mutation testing: `node scripts/mutation.mjs session crypto`, without a name all areas. It works in a copy of the
// checkout, and adds Stryker there, which would be too much for everybody who installs what the tests need.
// docs/reliability.md has the results.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * What is mutated, and which tests must find it: files of `src/`, and of `test/unit/`. The files of `src/attestation/` that are
 * missing need a TPM, so that only slow tests see them.
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
      'attestation/{verify,verify-evidence}',
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

/** What Stryker counts: how many mutants were found, and how many not, which are printed. */
function countResult() {
  const { files } = JSON.parse(readFileSync(join(copy, 'mutation.json'), 'utf8'));
  const all = Object.entries(files).flatMap(([path, { mutants }]) => mutants.map((mutant) => ({ path, ...mutant })));
  const count = (...statuses) => all.filter(({ status }) => statuses.includes(status)).length;
  for (const { path, location, mutatorName, replacement, status } of all) {
    if (status !== 'Survived' && status !== 'NoCoverage') continue;
    console.log(`${path}:${location.start.line} ${mutatorName} ${status}: ${replacement?.replaceAll(/\s+/g, ' ')}`);
  }
  return { found: count('Killed', 'Timeout'), missed: count('Survived', 'NoCoverage') };
}

try {
  const skipped = /(?:^|\/)(?:node_modules|dist|\.git|\.stryker-tmp)$/;
  cpSync(root, copy, { recursive: true, filter: (path) => !skipped.test(path) });
  run('npm', 'ci', '--no-audit', '--no-fund');
  const packages = ['@stryker-mutator/core@9', '@stryker-mutator/vitest-runner@9'];
  run('npm', 'install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', ...packages);
  for (const [name, parts] of Object.entries(AREAS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    let [found, missed] = [0, 0];
    for (const [sources, tests] of parts) {
      // In one process for all files, which the tests of test/unit/ are made for: their start would take most of the time.
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
    }
    console.log(`${name}: ${found} of ${found + missed} found, ${((100 * found) / (found + missed)).toFixed(1)} %`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
