// Runs the WebCryptoAPI Web Platform Tests from a directory (Node.js' test/fixtures/wpt), each file in a worker whose global
// `crypto` comes from keyprov/webcrypto, with the tests' own testharness.js. See web-platform-tests.sh.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runInThisContext } from 'node:vm';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Files that test the platform: its interfaces, windows and structured clone. */
const OF_PLATFORM = /idlharness|historical|serialization|algorithm-discards-context/;
/**
 * Tests that do not count: tests for the 448 curves and for tentative features, which are not in the standard; tests for
 * X25519 with a key on curve 448; and tests that expect PBKDF2 to refuse zero bits, which the standard now allows.
 */
const NOT_STANDARD = /448|tentative|X25519 mismatched algorithms|pbkdf2.*with 0 length/i;
/** A test for a feature that the standard leaves optional, such as compressed points (PRECONDITION_FAILED). */
const OPTIONAL = 4;

function runFile(root, file) {
  const path = join(root, file);
  const text = readFileSync(path, 'utf8');
  const scripts = [...text.matchAll(/^\/\/ META: script=(.*)$/gm)].map(([, name]) =>
    name.startsWith('/') ? join(root, name) : join(dirname(path), name),
  );
  return new Promise((resolve, reject) => {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { root, path, scripts } });
    worker.once('message', (results) => {
      resolve(results);
      worker.terminate();
    });
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error(`${file}: ended without results`)));
  });
}

async function runAll(root) {
  const files = readdirSync(join(root, 'WebCryptoAPI'), { recursive: true })
    .filter((name) => name.endsWith('.any.js') && !OF_PLATFORM.test(name))
    .sort();
  if (files.length === 0) throw new Error(`no tests in ${root}`);
  let passed = 0;
  let others = 0;
  const failed = [];
  for (const name of files) {
    const results = await runFile(root, join('WebCryptoAPI', name));
    const counts = { passed: 0, failed: 0, others: 0 };
    for (const { test, status, message } of results) {
      if (status === 0) counts.passed++;
      else if (status === OPTIONAL || NOT_STANDARD.test(`${name} ${test}`)) counts.others++;
      else {
        counts.failed++;
        failed.push(`${name}: ${test}: ${message}`);
      }
    }
    passed += counts.passed;
    others += counts.others;
    console.log(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.others} that do not count`);
  }
  for (const one of failed) console.log(one);
  console.log(`${passed} passed, ${failed.length} failed, ${others} that do not count`);
  if (failed.length > 0) process.exitCode = 1;
}

/** Runs in the worker: testharness.js, the scripts that the file requests, and the file, in one global scope. */
async function runHere({ root, path, scripts }) {
  const { createCrypto, CryptoKey } = await import('../dist/src/webcrypto/index.js');
  const define = (name, value) =>
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define('crypto', createCrypto());
  define('CryptoKey', CryptoKey);
  define('self', globalThis);
  define('location', { href: '', search: '', pathname: path });
  define('isSecureContext', true);
  define('GLOBAL', { isWindow: () => false, isWorker: () => true, isShadowRealm: () => false });
  const load = (file) => runInThisContext(readFileSync(file, 'utf8'), { filename: file });
  load(join(root, 'resources/testharness.js'));
  globalThis.add_completion_callback((tests) => {
    parentPort.postMessage(tests.map(({ name, status, message }) => ({ test: name, status, message })));
  });
  for (const script of scripts) load(script);
  load(path);
  globalThis.done();
}

if (isMainThread) await runAll(process.argv[2]);
else await runHere(workerData);
