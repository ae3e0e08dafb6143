// Checks whether the packed and installed keyprov works on this platform. Prints one line for each check and a count. Exit code
// 1: a check failed. scripts/runtimes.sh, arm64.sh and windows-abi.sh run it. It needs only Node's own modules and a
// node_modules with keyprov next to it:
//
//   node smoke.mjs TPM [REPORT]     TPM: the address of an unused TPM. REPORT: a file to which the output is appended
import { spawn } from 'node:child_process';
import { createPublicKey, randomBytes, verify, webcrypto } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const [address = 'none', reportFile, ...child] = process.argv.slice(2);
const isWindows = process.platform === 'win32';
// Not from `process.versions`, which arm64.sh changes.
const isOlder = process.version.startsWith('v20.') && Number(process.version.split('.')[1]) < 19;
const OLDER = 'this Node.js is older than the 20.19 that keyprov asks for, and loads no package of this kind';
const installed = join(here, 'node_modules', 'keyprov');
const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
const subpaths = Object.keys(manifest.exports).filter((path) => path !== './package.json');

const utf8 = (text) => new TextEncoder().encode(text);
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const PIN = '271828';
const data = utf8('what is signed');
const KEY = 'SOFTWARE\\Policies\\Microsoft\\PassportForWork';

if (child[0] === 'add-keys') {
  await addKeys(child[1], Number(child[2]));
  process.exit();
}

const counts = { passed: 0, failed: 0, skipped: 0 };

class Skipped extends Error {}
const skip = (reason) => {
  throw new Skipped(reason);
};

function say(line) {
  console.log(line);
  if (reportFile !== undefined) appendFileSync(reportFile, `${line}\n`);
}

/** Runs one check: `work` throws if it fails, and may return a remark. */
async function check(name, work) {
  try {
    const detail = await work();
    counts.passed++;
    say(`ok       ${name}${detail === undefined ? '' : `: ${detail}`}`);
  } catch (error) {
    const isSkipped = error instanceof Skipped;
    counts[isSkipped ? 'skipped' : 'failed']++;
    const text = isSkipped ? error.message : `${error?.code ?? ''} ${error?.stack ?? error}${causes(error)}`;
    say(`${isSkipped ? 'skipped ' : 'FAILED  '} ${name}: ${text.trim()}`);
  }
}

function causes({ cause } = {}) {
  return cause === undefined ? '' : `\n  because: ${cause?.stack ?? cause}${causes(cause)}`;
}

function equal(actual, expected, what = 'value') {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}

/** The code of the error that `work` must throw. */
async function codeOf(work) {
  try {
    await work();
  } catch (error) {
    return error?.code ?? String(error);
  }
  return 'no error';
}

/** Runs the command line and returns its JSON output. */
async function cli(args, { env = {}, cwd = directory, input } = {}) {
  const { status, stdout, stderr } = await cliText([...args, '--json'], { env, cwd, input });
  try {
    return { ...JSON.parse(stdout), status };
  } catch {
    throw new Error(`keyprov ${args.join(' ')} ended with ${status}: ${stdout} ${stderr}`);
  }
}

function cliText(args, options = {}) {
  return ended(startCli(args, options));
}

function startCli(args, { env = {}, cwd = directory, input } = {}) {
  const started = start([join(installed, manifest.bin.keyprov), ...args], { ...process.env, ...env }, cwd);
  if (input !== 'open') started.stdin.end(input);
  return started;
}

/** Starts a JavaScript program with the runtime of this one. */
function start([program, ...args], env, cwd) {
  const runtime = process.versions.deno === undefined ? [] : ['run', '-A', '--no-prompt'];
  const [command, ...before] = (process.env.SMOKE_RUNTIME ?? process.execPath).split(' ');
  return spawn(command, [...before, ...runtime, program, ...args], { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
}

async function ended(started) {
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'])
    started[name].setEncoding('utf8').on('data', (text) => (printed[name] += text));
  const [status, signal] = await new Promise((resolve, reject) => {
    started.on('error', reject).on('close', (...how) => resolve(how));
  });
  return { status, signal, ...printed };
}

const directory = mkdtempSync(join(tmpdir(), 'keyprov-smoke-'));
const path = (...names) => join(directory, ...names);

say(`keyprov ${manifest.version} on ${runtimeName()}, ${process.platform} ${process.arch}, TPM ${address}`);
for (const subpath of subpaths) {
  const name = `keyprov${subpath.slice(1)}`;
  await check(`import ${name}`, async () => `${Object.keys(await import(name)).length} names`);
}
for (const subpath of subpaths) {
  const name = `keyprov${subpath.slice(1)}`;
  await check(`require ${name}`, () => {
    if (isOlder) skip(OLDER);
    return `${Object.keys(createRequire(import.meta.url)(name)).length} names`;
  });
}

const {
  keySources,
  openKey,
  openKeyStore,
  openSoftwareKeyProvider,
  openTpm,
  openTpmKeyProvider,
  provisionKey,
  definePolicy,
} = await import('keyprov');

await check('bytes are in the order of their specification', bytesInOrder);
await check('a software key signs, and only with its PIN', softwareKey);
await check('a store keeps, replaces and removes keys', store);
await check('two processes change one store', twoProcesses);
await check('a store that others may change is refused, or it is said that nobody looks', openToOthers);
await check('a key without a PIN in a store', wrappedKey);
await check('WebCrypto with software', () => webCrypto(undefined));
if (address !== 'none') {
  for (const algorithm of ['rsa-2048', 'p-256']) {
    await check(`a ${algorithm} key of the TPM: made, attested, verified, signs`, () => tpmKey(algorithm));
  }
  await check('an activation: only the TPM opens the credential', activation);
  await check('WebCrypto with the TPM', async () => {
    const tpm = await openTpm(address);
    try {
      return await webCrypto(await openTpmKeyProvider(tpm));
    } finally {
      await tpm.close();
    }
  });
  await check('a command is canceled, and the TPM goes on', cancel);
}
await check('the kit for tests', kit);
await check('command line: doctor', doctor);
await check('command line: a key of the TPM, files of Windows, paths of this system', commandLine);
await check('command line: settings in a file of Windows', policyFile);
await check('command line: a store of its own for each user', stateDirectory);
await check('command line: ended by a signal', signals);
await check('command line: settings in the registry', registry);
await check('a whole run with an identity service; with dsregcmd, what it says', wholeRun);

rmSync(directory, { recursive: true, force: true });
say(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed === 0 ? 0 : 1);

function runtimeName() {
  const { bun, deno } = process.versions;
  return bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node.js ${process.version.slice(1)}`;
}

/** The CNG blob is little-endian; the TPM's public area is big-endian. */
async function bytesInOrder() {
  const { encodePublicBlob, encodeGuid } = await import('keyprov/formats/windows');
  const { decode, encode, structures } = await import('keyprov/tpm');
  // The generator of P-256: FIPS 186-4, D.1.2.3.
  const [x, y] = [
    '6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296',
    '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
  ];
  const blob = encodePublicBlob({ kty: 'EC', crv: 'P-256', x: Buffer.from(x, 'hex'), y: Buffer.from(y, 'hex') });
  equal(hex(blob), `4543533120000000${x}${y}`, 'ECS1 blob');
  equal(hex(encodeGuid('00112233-4455-6677-8899-aabbccddeeff')), '33221100554477668899aabbccddeeff', 'GUID');
  // A key whose fields all have different values.
  const area = `0023000b00060472000000100018000b00030010${'0020'}${'aa'.repeat(32)}0020${'bb'.repeat(32)}`;
  const decoded = decode(structures.TPMT_PUBLIC, Buffer.from(area, 'hex'));
  equal(decoded.objectAttributes.sign, true, 'attribute');
  equal(hex(encode(structures.TPMT_PUBLIC, decoded)), area, 'TPMT_PUBLIC');
}

function verifies(publicKey, signature, algorithm = 'sha256') {
  return verify(
    algorithm,
    data,
    createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' }),
    signature,
  );
}

async function softwareKey() {
  const { encodeSpki } = await import('keyprov/keys');
  const provider = openSoftwareKeyProvider();
  const key = await provider.create({ algorithm: 'p-256', pin: utf8(PIN) });
  const signature = await provider.sign(key, { data, pin: utf8(PIN) });
  equal(verifies(encodeSpki(key.publicKey), signature), true, 'signature');
  equal(await codeOf(() => provider.sign(key, { data, pin: utf8('271829') })), 'pin-wrong', 'with another PIN');
}

async function softwareRecord(user) {
  const policy = definePolicy({ hardware: 'discouraged', attestation: 'none', algorithm: 'p-256' });
  const sources = { tpm: undefined, software: async () => openSoftwareKeyProvider() };
  const { record } = await provisionKey({ policy, sources, challenge: randomBytes(32), user, pin: utf8(PIN) });
  return record;
}

async function store() {
  const keys = await openKeyStore(path('a store', 'of mine'));
  const record = await softwareRecord('ada@contoso.test');
  await keys.save(record);
  equal(await codeOf(() => keys.save(record)), 'key-exists', 'saving it again');
  for (let n = 0; n < 40; n++) await keys.update(record.id, (old) => ({ ...old, user: `user${n}@contoso.test` }));
  equal((await keys.load(record.id)).user, 'user39@contoso.test', 'user');
  await keys.delete(record.id);
  equal((await keys.list()).records, [], 'what is left');
  const left = readdirSync(keys.directory).filter((name) => !name.startsWith('.keyprov.lock'));
  equal(
    left.map((name) => name.replace(/[0-9a-f]{16}/, '…')),
    ['last-….json'],
    'files that are left',
  );
}

/** Runs in a separate process: adds keys, each a changed copy of another one. */
async function addKeys(place, count) {
  const { openKeyStore: open } = await import('keyprov');
  const keys = await open(place);
  const [first] = (await keys.list()).records;
  for (let n = 0; n < count; n++) {
    await keys.save({ ...first, id: `key-${process.pid}-${n}` });
    await keys.update(first.id, (old) => ({ ...old, user: `${Number.parseInt(old.user, 10) + 1}` }));
  }
}

async function twoProcesses() {
  const place = path('shared');
  const keys = await openKeyStore(place);
  await keys.save({ ...(await softwareRecord('0')), id: 'first' });
  const program = fileURLToPath(import.meta.url);
  const children = [1, 2].map(() =>
    ended(start([program, 'none', path('report'), 'add-keys', place, '10'], process.env, here)),
  );
  let writing = true;
  let reads = 0;
  const readers = (async () => {
    // Readers see the old record or the new one, and block no writer.
    for (; writing; reads++) {
      equal((await keys.load('first')).id, 'first', 'what a reader sees');
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const results = await Promise.all(children);
  writing = false;
  await readers;
  for (const { status, stdout, stderr } of results) equal([status, stdout, stderr], [0, '', ''], 'process');
  const { records, damaged } = await keys.list();
  equal([records.length, damaged.length], [21, 0], 'keys');
  equal(records.find(({ id }) => id === 'first')?.user, '20', 'updates');
  const leftovers = readdirSync(place).filter((name) => name.endsWith('.tmp'));
  equal(leftovers, [], 'temporary files');
  return `20 keys, 20 updates, ${reads} reads`;
}

async function openToOthers() {
  const place = path('open');
  mkdirSync(place);
  if (!isWindows) {
    chmodSync(place, 0o777);
    equal(await codeOf(() => openKeyStore(place)), 'not-private', 'opening it');
    return 'refused';
  }
  const { checks } = await cli(['doctor']);
  const found = checks.find(({ name }) => name === 'key store');
  if (!found?.detail.includes('access list')) throw new Error(`doctor says ${JSON.stringify(found)}`);
  return `doctor: ${found.detail}`;
}

async function wrappedKey() {
  const { readWrappingSecret } = await import('keyprov/keys');
  const keys = await openKeyStore(path('wrapped'));
  const secret = await readWrappingSecret(keys);
  equal([secret.length, hex(await readWrappingSecret(keys))], [32, hex(secret)], 'secret');
}

async function webCrypto(provider) {
  if (isOlder) skip(OLDER);
  const { createCrypto, keyprovKey } = await import('keyprov/webcrypto');
  const crypto = createCrypto(provider && { provider });
  try {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const pair = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
    const use = { name: 'ECDSA', hash: 'SHA-256' };
    const signature = await crypto.subtle.sign(use, pair.privateKey, data);
    equal(await crypto.subtle.verify(use, pair.publicKey, signature, data), true, 'verify');
    const spki = await crypto.subtle.exportKey('spki', pair.publicKey);
    const again = await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']);
    equal(await webcrypto.subtle.verify(use, again, signature, data), true, "verify of the runtime's own");
    return keyprovKey(pair.privateKey)?.assurance ?? 'in this process';
  } finally {
    await crypto.close();
  }
}

async function tpmKey(algorithm) {
  const { decodeStatement, encodeStatement, verifyStatement } = await import('keyprov/attestation');
  const { encodeSpki } = await import('keyprov/keys');
  const keys = await openKeyStore(path(`of the TPM, ${algorithm}`));
  const sources = () => keySources({ tpm: address, store: keys });
  const challenge = randomBytes(32);
  const user = 'ada@contoso.test';
  const policy = definePolicy({ hardware: 'required', attestation: 'required', algorithm });
  const made = await provisionKey({ policy, sources: sources(), challenge, user, pin: utf8(PIN) });
  await keys.save(made);
  const spki = encodeSpki(made.record.publicKey);

  const statement = decodeStatement(JSON.parse(JSON.stringify(encodeStatement(made.attestation.statement))));
  const attestationKey = { pubArea: statement.ak.pubArea };
  const result = verifyStatement(statement, { challenge, attestationKey, expectedKey: { spki } });
  if (!result.ok) throw new Error(JSON.stringify(result.findings.filter(({ status }) => status === 'fail')));
  const other = verifyStatement(statement, { challenge: randomBytes(32), attestationKey });
  equal(other.ok, false, 'a statement over another challenge');

  const key = await openKey({ store: keys, user, sources: sources() });
  try {
    const signature = await key.sign({ data, pin: utf8(PIN) });
    equal(verifies(spki, signature), true, 'signature');
    if (algorithm === 'p-256') {
      equal(await codeOf(() => key.sign({ data, pin: utf8('999999') })), 'pin-wrong', 'with another PIN');
    }
    equal(verifies(spki, await key.sign({ data, pin: utf8(PIN) })), true, 'second signature');
  } finally {
    await key.close();
  }
  return `${made.record.backend}, ${made.record.assurance}, ${result.findings.length} findings`;
}

async function activation() {
  const a = await import('keyprov/attestation');
  const { openEndorsementKey } = await import('keyprov/attestation/endorsement');
  const tpm = await openTpm(address);
  try {
    const ek = await openEndorsementKey(tpm);
    const ak = await a.createAttestationKey(tpm, { algorithm: 'p-256' });
    try {
      const { challenge, secret } = a.buildActivationChallenge({ ek: ek.publicArea, ak: ak.publicArea });
      const answer = await a.answerActivationChallenge(tpm, challenge, { ek, ak: ak.object });
      equal(a.isActivated(answer, secret), true, 'activation');
    } finally {
      await ak.close();
      await ek.release();
    }
  } finally {
    await tpm.close();
  }
}

async function cancel() {
  const { commands } = await import('keyprov/tpm');
  const controller = new AbortController();
  const tpm = await openTpm(address);
  const waiting = path('waiting');
  try {
    const isStandIn = process.env.TBS_PORT !== undefined;
    if (isStandIn) Object.assign(process.env, { TBS_SLOW_MS: '60000', TBS_WAITING: waiting });
    const asked = tpm.run(commands.GetRandom, { bytesRequested: 16 }, { signal: controller.signal });
    asked.catch(() => undefined);
    while (isStandIn && !existsSync(waiting)) await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort(new Error('no longer wanted'));
    const outcome = await asked.then(
      () => 'answered',
      ({ message }) => message,
    );
    if (isStandIn) equal(outcome, 'no longer wanted', 'outcome');
  } finally {
    for (const name of ['TBS_SLOW_MS', 'TBS_WAITING']) delete process.env[name];
    await tpm.close();
  }
  const again = await openTpm(address);
  try {
    const { randomBytes: random } = await again.run(commands.GetRandom, { bytesRequested: 16 });
    equal(random.length, 16, 'random bytes afterwards');
  } finally {
    await again.close();
  }
}

async function kit() {
  const { createTestAuthority, missingSimulator, openTestTpm } = await import('keyprov/testing');
  await createTestAuthority();
  const missing = await missingSimulator();
  if (missing) skip(`an authority; no simulator: ${missing}`);
  const { tpm } = await openTestTpm();
  try {
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256' });
    const { encodeSpki } = await import('keyprov/keys');
    equal(verifies(encodeSpki(key.publicKey), await provider.sign(key, { data })), true, 'signature');
  } finally {
    await tpm.close();
  }
  return 'an authority, and a TPM that signs';
}

async function doctor() {
  const { status, tpms, checks } = await cli(['doctor'], { env: { KEYPROV_TPM: address } });
  if (address !== 'none') equal([status, tpms.length > 0], [0, true], JSON.stringify(checks));
  const advice = checks.flatMap(({ remedy }) => remedy ?? []);
  if (isWindows && /apt-get|Debian|\/usr/.test(JSON.stringify(checks))) throw new Error(JSON.stringify(checks));
  return `${tpms.join(', ') || 'no TPM'}; advice: ${advice.join(' | ') || 'none'}`;
}

async function commandLine() {
  if (address === 'none') skip('no TPM');
  // Windows' shells end lines with CR LF, and PowerShell 5.1 writes UTF-16.
  const work = path('command line');
  mkdirSync(work);
  writeFileSync(join(work, 'pin'), `${PIN}\r\n`, { mode: 0o600 });
  writeFileSync(join(work, 'letter'), 'line 1\r\nline 2\r\n');
  const slash = isWindows ? '\\' : '/';
  const [out, pin, letter] = ['key', 'pin', 'letter'].map((name) => `.${slash}${name}`);
  const at = { cwd: work };
  const tpm = ['--tpm', address];
  const challenge = 'c0ffee'.repeat(4);
  const options = ['--algorithm', 'p-256', '--challenge', challenge, '--pin-file', pin, '--user', 'ada@contoso.test'];
  const made = await cli(['create', ...tpm, ...options, '--out', out], at);
  equal([made.status, made.ok], [0, true], `create: ${JSON.stringify(made)}`);
  const verified = await cli(['verify', '--store', out, '--challenge', challenge], at);
  equal(verified.status, 0, `verify: ${JSON.stringify(verified)}`);
  // A statement saved by a Windows editor.
  const text = readFileSync(join(work, 'key', 'attestation.json'), 'utf8').replaceAll('\n', '\r\n');
  writeFileSync(join(work, 'statement.json'), text);
  const crlf = await cli(['verify', '--in', `.${slash}statement.json`, '--challenge', challenge], at);
  equal(crlf.status, 0, `verify, CR LF: ${JSON.stringify(crlf)}`);
  const sign = ['sign', '--in', letter, '--store', out, ...tpm, '--pin-file', pin, '--out', `.${slash}letter.sig`];
  const signed = await cli(sign, at);
  equal(signed.status, 0, `sign: ${JSON.stringify(signed)}`);
  const publicKey = createPublicKey(readFileSync(join(work, 'key', 'public.pem')));
  const isGood = verify(
    'sha256',
    readFileSync(join(work, 'letter')),
    publicKey,
    readFileSync(join(work, 'letter.sig')),
  );
  equal(isGood, true, 'signature');
  // Replaces the existing files.
  equal((await cli(sign, at)).status, 0, 'sign again');
  const inspected = await cli(['inspect', `.${slash}statement.json`], at);
  equal(inspected.status, 0, `inspect: ${JSON.stringify(inspected)}`);
}

async function policyFile() {
  const lines = [
    'Windows Registry Editor Version 5.00',
    '',
    `[HKEY_LOCAL_MACHINE\\${KEY}\\PINComplexity]`,
    '"MinimumPINLength"=dword:00000009',
    '',
  ];
  const bytes = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(lines.join('\r\n'), 'utf16le')]);
  writeFileSync(path('policy.reg'), bytes);
  const { status, policy, error } = await cli(['policy', 'explain', 'policy.reg']);
  equal([status, policy?.pin.minLength], [0, 9], `minimum length: ${JSON.stringify(error)}`);
}

async function stateDirectory() {
  const home = path('home');
  mkdirSync(home);
  const env = {
    HOME: home,
    USERPROFILE: home,
    LOCALAPPDATA: join(home, 'Local'),
    XDG_DATA_HOME: '',
    KEYPROV_STORE: '',
  };
  const made = await cli(
    ['create', '--tpm', 'none', '--hardware', 'discouraged', '--algorithm', 'p-256', '--attestation', 'none'],
    { env },
  );
  equal(made.status, 0, `create: ${JSON.stringify(made)}`);
  const place = isWindows ? join(home, 'Local', 'keyprov') : join(home, '.local', 'share', 'keyprov');
  const keys = readdirSync(place).filter((name) => /^key-.*\.json$/.test(name));
  equal(keys.length, 1, `keys in ${place}`);
  return place.slice(home.length);
}

/** A process that waits for a PIN on standard input. When it is ended, it holds no lock and leaves no file. */
async function signals() {
  const keys = path('signals');
  const args = ['create', '--store', keys, '--tpm', 'none', '--hardware', 'discouraged', '--algorithm', 'p-256'];
  const waiting = startCli([...args, '--attestation', 'none', '--pin-file', '-'], { input: 'open' });
  const end = ended(waiting);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  waiting.kill('SIGTERM');
  const { status, signal, stdout } = await end;
  equal([isWindows || signal === 'SIGTERM' || status === 143, stdout], [true, ''], `ended with ${status} ${signal}`);
  const made = await cli([...args, '--attestation', 'none', '--pin-file', '-'], { input: `${PIN}\r\n` });
  equal(made.status, 0, `create afterwards: ${JSON.stringify(made)}`);
  const left = readdirSync(keys).filter((name) => name.endsWith('.tmp'));
  equal(left, [], 'temporary files');
  return `${signal ?? status}`;
}

async function registry() {
  if (!isWindows) skip('only Windows has one');
  const reg = join(process.env.SystemRoot, 'System32', 'reg.exe');
  const key = `HKLM\\${KEY}\\PINComplexity`;
  const run = (...args) => ended(spawn(reg, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
  equal((await run('add', key, '/v', 'MinimumPINLength', '/t', 'REG_DWORD', '/d', '11', '/f')).status, 0, 'reg add');
  try {
    const { status, explanation, policy, error } = await cli(['policy', 'explain']);
    equal([status, policy?.pin.minLength], [0, 11], `minimum length: ${JSON.stringify({ explanation, error })}`);
    return explanation.find(({ setting }) => setting.endsWith('MinimumPINLength'))?.winner.origin;
  } finally {
    await run('delete', `HKLM\\${KEY}`, '/f');
  }
}

/** The documentation's run, in this process, and the command line's queries to Windows before a run. */
async function wholeRun() {
  const { createMfaPrompt, createServiceFetch, openKeyRegistrar, provision } = await import('keyprov');
  const { discoverServices } = await import('keyprov/registration');
  const { joinDevice, startIdentityService } = await import('keyprov/testing');
  if (process.arch === 's390x') skip('node-sqlite3-wasm, in which the service keeps its state, fails on s390x');
  // The service runs in this process and identifies a device by its certificate.
  if (process.versions.bun !== undefined)
    skip('an https server of Bun 1.4.5 does not get the certificate of its client');
  const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
  const service = await startIdentityService({ users: [ada], pollIntervalS: 0, attestation: 'ignore' });
  try {
    const { url, ca, tenantId: tenant } = service;
    const device = await joinDevice(url, { ca, tenant, user: ada });
    const strangers = createServiceFetch();
    const asked = () => discoverServices(url, { fetch: strangers, tenant });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    equal(await codeOf(asked), 'service-unreachable', 'a certificate of an authority that nobody named');
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    await strangers.close();
    const fetch = createServiceFetch({ ca, clientCertificate: device });
    const keys = await openKeyStore(path('registered'));
    const hardware = address === 'none' ? 'discouraged' : 'required';
    const outcome = await provision({
      ...{ user: ada.upn, deviceId: device.deviceId, store: keys, prerequisites: 'skip', pin: utf8(PIN) },
      policy: definePolicy({ hardware, attestation: 'preferred', algorithm: 'p-256' }),
      sources: keySources({ tpm: address === 'none' ? undefined : address, store: keys }),
      mfa: createMfaPrompt({ url, tenant, fetch, onCode: () => undefined }),
      registrar: await openKeyRegistrar({ url, tenant, fetch }),
    });
    await fetch.close();
    equal([outcome.status, service.keys().length], ['registered', 1], `outcome: ${inspect(outcome)}`);

    for (const [name, text] of [
      ['ca', ca],
      ['device', device.certificate],
      ['device-key', device.privateKey],
      ['pin', PIN],
    ]) {
      writeFileSync(path(name), `${text.replaceAll('\n', '\r\n')}\r\n`, { mode: 0o600 });
    }
    const lines = [
      '+----+',
      '| Device State |',
      '+----+',
      '',
      'AzureAdJoined : NO',
      'EnterpriseJoined : NO',
      'DomainJoined : NO',
    ];
    writeFileSync(path('status'), Buffer.from(`\uFEFF${lines.join('\r\n')}\r\n`, 'utf16le'));
    // Runs the system's program, never one in the working directory.
    writeFileSync(path('dsregcmd.exe'), 'no program');
    const args = ['provision', '--service', url, '--tenant', tenant, '--service-ca', 'ca', '--store', 'blocked'];
    const { status, prerequisites, ...rest } = await cli([
      ...[...args, '--device-cert', 'device', '--device-key', 'device-key', '--user', ada.upn, '--pin-file', 'pin'],
      ...['--tpm', address, '--hardware', hardware, '--token-command', 'echo token'],
      ...(isWindows ? [] : ['--dsregcmd', 'status']),
    ]);
    const failed = prerequisites?.findings.filter((finding) => finding.status === 'fail').map(({ id }) => id);
    equal(status, 11, `command line, on a device that has not joined: ${JSON.stringify([failed, rest])}`);
    return `${outcome.record.assurance}; on a device that has not joined: ${failed?.join(', ')}`;
  } finally {
    await service.close();
  }
}
