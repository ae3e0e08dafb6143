import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinDevice, startIdentityService } from '../../src/testing/index.ts';
import { CHEAP_SCRYPT } from '../cheap-scrypt-option.ts';
import { CHEAP_SERVICE } from '../cheap-service-option.ts';

const run = promisify(execFile);
const [ROOT, BASE] = [process.cwd(), 'provision.mjs'];
const NAMES = readdirSync('examples').filter((name) => /\.(mjs|sh)$/.test(name));
/** Programs whose keys no other process uses, and whose time would mostly go into keys and PINs. */
const CHEAP = { NODE_OPTIONS: `${CHEAP_SERVICE} ${CHEAP_SCRYPT}` };
/** The number of lines in a variation that are not in the base program, and its last output. */
const VARIATIONS: Readonly<Record<string, readonly [lines: number, output: RegExp]>> = {
  'software-only.mjs': [4, /\nregistered ngc-[0-9a-f]{32} software\n$/],
  'own-registrar.mjs': [43, /\nregistered ngc-[0-9a-f]{32} virtual\n$/],
  'key-pool.mjs': [14, /\nregistered ngc-[0-9a-f]{32} virtual\nmade in advance: 1 left: 0\n$/],
  'certified.mjs': [15, /\nregistered ngc-[0-9a-f]{32} tpm-no-ek-certificate\n$/],
  'two-users.mjs': [
    12,
    /\nada@contoso.test ngc-[0-9a-f]{32} virtual\n.*\nbob@contoso.test ngc-[0-9a-f]{32} virtual\n$/,
  ],
  'life-of-a-key.mjs': [46, /^registered 1 1\ndeleted 0\nregistered 1 1\ndeleted 0\n$/],
  'mdm-agent.mjs': [
    49,
    /^blocked device-joined [^\n]+\nerror service-unreachable\n.*\npending service-unreachable\n.*\nregistered tpm virtual true\nready tpm virtual\nready tpm virtual policy-tightened: minLength\nready tpm virtual\n$/,
  ],
};
/** Variations whose second run finds more on the disk than the base program's, which is tested twice. */
const TWICE = ['software-only.mjs', 'certified.mjs', 'life-of-a-key.mjs', 'mdm-agent.mjs'];
/** Programs that are not variations and need no arguments, with their output. */
const PROGRAMS: Readonly<Record<string, string>> = {
  'verify-on-server.mjs':
    "[ 201, 'virtual' ]\n[ 403, [ 'challenge', 'tier' ] ]\n[ 400, 'key registration: AttestationData: missing' ]\n",
  'enrol-with-activation.mjs': 'true activated\n',
  'acme-certificate.mjs': 'challenge: true virtual\nrequest: true\n',
  'webauthn.mjs': 'registration: true virtual\nsign-in: true\n',
  'tpm-with-passwords.mjs':
    'pin-wrong\npin-wrong\npin-wrong\ntpm-lockout\n' +
    '{\n  inLockout: true,\n  failedTries: 3,\n  maxTries: 3,\n  recoveryTimeSeconds: 1000\n}\nsigned after the reset\n',
};

/** The registered key is a software key, and the attestation is still about the key in the TPM. */
const FORGED_BODY = "JSON.stringify({ ...JSON.parse(request.body), kngc: (await otherKey('rsa')).kngc })";
/** What a dishonest client changes in a program with a service, and what the service then says. */
const FORGED: Readonly<Record<string, readonly [from: string, to: string, stdout: string]>> = {
  'verify-on-server.mjs': [
    'answer(request.body, challenge)',
    `answer(${FORGED_BODY}, challenge)`,
    "[ 403, [ 'public-key', 'tier' ] ]\n[ 403, [ 'challenge', 'tier' ] ]\n" +
      "[ 400, 'key registration: AttestationData: missing' ]\n",
  ],
  'enrol-with-activation.mjs': [
    'parseKeyRegistration(request.body,',
    `parseKeyRegistration(${FORGED_BODY},`,
    'false undefined\n',
  ],
  'acme-certificate.mjs': [
    'parseCertificateRequest(csr)',
    "parseCertificateRequest((await otherKey('ec')).csr)",
    'challenge: true virtual\nrequest: false\n',
  ],
};
/** Appended to such a program: a software key, in a key registration and in a certificate request that it signs. */
const OTHER_KEY = `
/** @param {'rsa' | 'ec'} type */
async function otherKey(type) {
  const crypto = await import('node:crypto');
  const { buildKeyRegistration } = await import('keyprov/formats/windows');
  const { buildCertificateRequest } = await import('keyprov/formats/x509');
  const { signingKeyOf } = await import('keyprov/testing');
  const parameters = type === 'rsa' ? { modulusLength: 2048 } : { namedCurve: 'P-256' };
  const key = signingKeyOf(crypto.generateKeyPairSync(type, parameters).privateKey);
  const csr = await buildCertificateRequest({ subject: [], alternativeNames: [{ kind: 'dns', value: 'a.test' }] }, key);
  if (type === 'ec') return { csr };
  return { csr, ...JSON.parse(buildKeyRegistration({ profile: 'strict', publicKey: key.publicKey })) };
}
`;

/** The programs with their own limit of lines: those in the README, and one with both ends of three messages. */
const LONGEST: Readonly<Record<string, number>> = { [BASE]: 32, 'sign.mjs': 32, 'enrol-with-activation.mjs': 87 };

let directory: string;

/** Node with a program of examples/, in a project that has keyprov as its dependency. */
const example = (name: string, ...args: string[]) => ended(process.execPath, [join('examples', name), ...args]);
/** The same where keys and PINs do not matter. */
const cheaply = (name: string, ...args: string[]) => ended(process.execPath, [join('examples', name), ...args], CHEAP);

/** A command's exit status and output. */
async function ended(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}, cwd = ROOT) {
  const env = { ...process.env, ...environment, PATH: `${join(directory, 'bin')}${delimiter}${process.env.PATH}` };
  return await run(command, [...args], { cwd, env }).then(
    ({ stdout }) => ({ code: 0, stdout }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout: stdout + stderr }),
  );
}

const linesOf = async (path: string) => (await readFile(path, 'utf8')).trimEnd().split('\n');

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-examples-'));
  await mkdir(join(directory, 'bin'));
  const program = `#!/bin/sh\nexec '${process.execPath}' '${join(ROOT, 'dist', 'src', 'cli', 'main.js')}' "$@"\n`;
  await writeFile(join(directory, 'bin', 'keyprov'), program, { mode: 0o755 });
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('the examples', () => {
  it('are short programs, with no cast and no declaration', async () => {
    const names = NAMES.filter((name) => name.endsWith('.mjs'));
    for (const name of names) {
      const lines = await linesOf(join('examples', name));
      expect(lines.length, name).toBeLessThanOrEqual(LONGEST[name] ?? 75);
      expect(lines[0], name).toBe('// @ts-check');
      expect(lines.join('\n'), name).not.toMatch(/@type|@ts-(?!check)|\bas const\b|from '\.\./);
    }
  });

  it('compile against the declarations that are shipped', async () => {
    const names = NAMES.filter((name) => name.endsWith('.mjs'));
    const options =
      '--allowJs --checkJs --strict --noEmit --skipLibCheck --target es2023 --module nodenext --types node';
    const files = names.map((name) => join('examples', name));
    const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
    expect(await ended(process.execPath, [tsc, '--ignoreConfig', ...options.split(' '), ...files])).toEqual({
      code: 0,
      stdout: '',
    });
  });

  it('give a user a key, and sign with it in another process', async () => {
    const made = await example(BASE, directory);
    expect(made.stdout).toMatch(/\nregistered ngc-[0-9a-f]{32} virtual\n$/);
    expect(made.code).toBe(0);
    expect(await example('sign.mjs', directory)).toEqual({ code: 0, stdout: 'tpm virtual true\n' });
  });

  it('say which of two keys to name, and sign with it', async () => {
    const twice = join(directory, 'twice');
    const ids = [];
    for (let time = 0; time < 2; time++) ids.push(/ngc-[0-9a-f]{32}/.exec((await cheaply(BASE, twice)).stdout)?.[0]);
    const { code, stdout } = await cheaply('sign.mjs', twice);
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: expect.stringMatching(/Give the ID of one as the last argument/),
    });
    for (const id of ids) {
      expect(stdout).toContain(id);
      const signed = await cheaply('sign.mjs', twice, '271828', 'ada@contoso.test', `${id}`);
      expect(signed).toEqual({ code: 0, stdout: 'tpm virtual true\n' });
    }
  });

  it('report errors by code', async () => {
    const sign = (...args: string[]) => example('sign.mjs', directory, ...args);
    const wrong = [await sign('999999'), await sign('999999'), await sign('999999')];
    expect(wrong).toEqual([
      { code: 1, stdout: 'The PIN is wrong. Tries left: 2\n' },
      { code: 1, stdout: 'The PIN is wrong. Tries left: 1\n' },
      { code: 1, stdout: '1 try is left before the TPM locks.\n' },
    ]);
    expect(await sign('271828', 'bob@contoso.test')).toEqual({
      code: 1,
      stdout:
        `No key: list the store's keys (keyprov status --store ${directory}/keys), ` +
        `or make a key (keyprov provision, or keyprov create --store ${directory}/keys without a service).\n`,
    });
  });

  it.concurrent.each(Object.entries(VARIATIONS))(
    '%s differs from the base program in few lines',
    async (name, [count, output]) => {
      const base = new Set((await linesOf(join('examples', BASE))).map((line) => line.trim()));
      const lines = await linesOf(join('examples', name));
      const others = lines.map((line) => line.trim()).filter((line) => line.length > 2 && !base.has(line));
      expect(others.length, others.join('\n')).toBeLessThanOrEqual(count);
      // All in one place, as a reader tries them.
      for (let time = TWICE.includes(name) ? 0 : 1; time < 2; time++) {
        const { code, stdout } = await ended(process.execPath, [join(ROOT, 'examples', name)], CHEAP, directory);
        expect(stdout).toMatch(output);
        expect(code).toBe(0);
      }
    },
  );

  it.concurrent.each(Object.entries(PROGRAMS))('%s runs on its own', async (name, stdout) => {
    expect(await cheaply(name)).toEqual({ code: 0, stdout });
  });

  it.concurrent.each(Object.entries(FORGED))(
    '%s refuses a request for another key',
    async (name, [from, to, stdout]) => {
      const text = await readFile(join('examples', name), 'utf8');
      expect(text.split(from).length, from).toBe(2);
      const project = join(directory, 'forged');
      await mkdir(join(project, 'node_modules'), { recursive: true });
      await symlink(ROOT, join(project, 'node_modules', 'keyprov')).catch(() => undefined); // another has made it
      await writeFile(join(project, name), text.replace(from, () => to) + OTHER_KEY);
      expect(await ended(process.execPath, [join(project, name)], CHEAP)).toEqual({ code: 0, stdout });
    },
  );

  it.concurrent.each(NAMES.filter((name) => !(name in VARIATIONS || name in PROGRAMS)))(
    '%s works without arguments, or says in one line what it needs',
    async (name) => {
      const cwd = join(directory, 'alone', name);
      await mkdir(cwd, { recursive: true });
      const command = name.endsWith('.sh') ? 'sh' : process.execPath;
      const env = { ...process.env, ...CHEAP };
      const child = spawn(command, [join(ROOT, 'examples', name)], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
      const said = { stdout: '', stderr: '' };
      child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said.stdout += text;
        if (said.stdout.startsWith('keyprov ')) child.kill(); // a service that has started
      });
      const [code] = await once(child, 'close');
      const usage = new RegExp(`^usage: (node|sh) ${name} [^\n]+\n$`);
      expect(said.stderr, `${code}`).toMatch(code === 2 ? usage : /^$/);
      if (code !== 2) expect(said.stdout).toMatch(code === 0 ? /./ : /^[^\n]+\n$/);
    },
  );

  it.each([
    ['vdi-first-boot.mjs', 'libtpms', 'FILE', 'fleet'],
    ['vdi-first-boot.mjs', 'nothing', 'new', 'fleet'],
    ['entra-device-code.mjs', 'new', 'https://127.0.0.1:9', 'contoso.test', 'ada', 'none.pem', 'none.key'],
    ['entra-device-code.mjs', 'new', 'https://127.0.0.1:9', 'contoso.test', 'ada', 'FILE', 'FILE'],
    ['migrate-tpm2-tools.mjs', 'none.pub', 'none.priv', 'none'],
    ['migrate-tpm2-tools.mjs', 'FILE', 'FILE', 'FILE'],
    ['identity-service.mjs', 'FILE'],
    ['sign.mjs', 'FILE'],
  ])('say in one line what is wrong with an argument: %s %s %s', async (name, ...args) => {
    const at = (argument: string) => join(directory, 'wrong', argument);
    await mkdir(at(''), { recursive: true });
    await writeFile(at('FILE'), 'hi\n');
    const given = args.map((argument) => (/^(?:FILE|new|none.*|fleet)$/.test(argument) ? at(argument) : argument));
    const { code, stdout } = await example(name, ...given);
    expect({ code, stdout }).toEqual({ code: 1, stdout: expect.stringMatching(/^[^\n]+\n$/) });
  });

  it.concurrent('start a service for the command line, and print the command to type', async () => {
    const of = (name: string) => join(directory, 'served', name);
    const child = spawn(process.execPath, ['examples/identity-service.mjs', of('files')], {
      env: { ...process.env, ...CHEAP },
    });
    const ending = once(child, 'exit');
    try {
      let command = '';
      for await (const text of child.stdout) {
        command = `${text}`;
        break;
      }
      await writeFile(of('pin'), '271828', { mode: 0o600 });
      const more = ['--tpm', `libtpms:${of('tpm')}`, '--store', of('store'), '--pin-file', of('pin')];
      const { code, stdout } = await ended('sh', ['-c', `${command.trim()} "$@"`, 'sh', ...more]);
      expect(stdout).toMatch(/^user +ada@contoso\.test$/m);
      expect(stdout).toMatch(/^registered +[0-9a-f-]{36} at https:\/\/localhost:/m);
      expect(code).toBe(0);
    } finally {
      child.kill();
    }
    expect(await ending).toEqual([0, null]);
  });

  it.concurrent('ask for a PIN in a window of one’s own', async () => {
    const child = spawn(process.execPath, ['examples/own-pin-window.mjs', join(directory, 'own-pin')], {
      env: { ...process.env, ...CHEAP },
    });
    const answers = ['1234', '271828', '271828'];
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      const questions = stdout.match(/New PIN:\n|again:\n/g)?.length ?? 0;
      while (answers.length > 3 - questions) child.stdin.write(`${answers.shift()}\n`);
    });
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(stdout).toMatch(
      /\nYour PIN must be at least 6 characters long\.\n[\s\S]*\nregistered ngc-[0-9a-f]{32} virtual\n$/,
    );
  });

  it.concurrent('register with a service that runs already', async () => {
    const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
    const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
    try {
      const { url, ca, tenantId: tenant } = service;
      const { certificate, privateKey } = await joinDevice(url, { ca, tenant, user: ada });
      const files = Object.entries({ 'device.pem': certificate, 'device.key': privateKey, 'ca.pem': ca });
      for (const [name, text] of files) await writeFile(join(directory, name), text);
      const [pem, key, root] = files.map(([name]) => join(directory, name));
      const tpm = `libtpms:${join(directory, 'entra-tpm')}`;
      const own = join(directory, 'entra');
      const { stdout } = await cheaply(
        'entra-device-code.mjs',
        own,
        url,
        tenant,
        ada.upn,
        `${pem}`,
        `${key}`,
        tpm,
        `${root}`,
      );
      expect(stdout).toMatch(/\nregistered ngc-[0-9a-f]{32} virtual\n$/);
    } finally {
      await service.close();
    }
  });

  it.concurrent('tell a machine from its clone, and a TPM from its past', async () => {
    const at = (name: string) => join(directory, 'vdi', name);
    const boot = (tpm: string, machine: string) =>
      example('vdi-first-boot.mjs', `libtpms:${at(tpm)}`, at(machine), at('fleet'));
    for (const machine of ['first', 'second']) await mkdir(at(machine), { recursive: true });
    expect(await boot('tpm', 'first')).toEqual({ code: 0, stdout: 'first boot: make a key\n' });
    await rm(join(at('first'), 'tpm-identity.json')); // as if the machine had stopped before it wrote the file
    const idFile = () => stat(join(at('first'), 'machine-id'), { bigint: true });
    const { ino, mtimeNs } = await idFile();
    expect(await boot('tpm', 'first')).toEqual({ code: 0, stdout: 'first boot: make a key\n' });
    expect(await idFile()).toMatchObject({ ino, mtimeNs }); // a machine that stops while it writes could lose its id
    for (const name of ['copy', 'old']) await cp(at('tpm'), at(name), { recursive: true });
    expect(await boot('tpm', 'first')).toEqual({ code: 0, stdout: 'same TPM\n' });
    expect(await boot('copy', 'second')).toEqual({ code: 1, stdout: 'clone: another machine has this TPM\n' });
    expect(await boot('tpm', 'first')).toEqual({ code: 0, stdout: 'same TPM\n' });
    expect(await boot('old', 'first')).toEqual({ code: 1, stdout: 'tpm-rolled-back\n' });
    expect(await boot('other', 'first')).toEqual({ code: 1, stdout: 'tpm-replaced\n' });
  });

  it.concurrent('does not take a failed write to the inventory for a clone', async () => {
    const machine = join(directory, 'vdi-no-inventory');
    await mkdir(machine);
    const { code, stdout } = await example('vdi-first-boot.mjs', `libtpms:${machine}/tpm`, machine, '/proc');
    expect(stdout).toMatch(/^(?![\s\S]*clone)[\s\S]*\bE(NOENT|ACCES|PERM)\b/);
    expect(code).toBe(1);
  });

  it.each([
    ['a remedy', { error: 'no-tpm', message: 'there is no TPM', remedy: 'add one' }, 'there is no TPM; add one'],
    ['no remedy', { error: 'store-io', message: 'the disk is full', remedy: undefined }, 'the disk is full'],
    ['a key in a TPM', { id: 'ngc-1', assurance: 'virtual' }, 'signed; where the key is: virtual'],
  ])('show in Electron’s window what happened: %s', async (_what, made, shown) => {
    const [form, status] = [{ elements: { pin: { value: '271828' } }, reset: () => {} }, { textContent: '' }];
    const listeners: ((event: object) => Promise<void>)[] = [];
    const querySelector = (selector: string) =>
      selector === 'form'
        ? { ...form, addEventListener: (_: string, on: (typeof listeners)[0]) => listeners.push(on) }
        : status;
    const keys = { create: async () => made, sign: async () => ({ signature: Uint8Array.of(1) }) };
    const text = await readFile('examples/electron/window.js', 'utf8');
    new Function('document', 'window', text)({ querySelector }, { keys });
    for (const submit of listeners) await submit({ preventDefault: () => {} });
    expect(status.textContent).toBe(shown);
  });

  it.concurrent('ask AD CS for a certificate', async () => {
    const [pem, key, out] = ['exchange.pem', 'exchange.key', 'ad-cs'].map((name) => join(directory, name));
    const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=exchange', '-days', '2'];
    await run('openssl', [...self, '-keyout', `${key}`, '-out', `${pem}`]);
    const tpm = { KEYPROV_TPM: `libtpms:${join(directory, 'ad-cs-tpm')}` };
    const { code, stdout } = await ended('sh', ['examples/ad-cs-request.sh', `${pem}`, `${out}`], tpm);
    expect(stdout).toMatch(/KSP_NAME: .*\n {2}EK_INFO: .*\n {2}ATTESTATION_STATEMENT: .*\nsubject=CN = ada\n$/);
    expect(code).toBe(0);
  });

  it.concurrent('let OpenSSL sign with a key in a TPM', async () => {
    const args = ['sim', '--', 'sh', 'examples/openssl.sh', join(directory, 'openssl')];
    const { code, stdout } = await ended('keyprov', args);
    expect(stdout).toMatch(/subject=CN = ada\nVerified OK\n[\s\S]*Microsoft Smartcard Login/);
    expect(code).toBe(0);
  });

  it.concurrent('sign with keys of tpm2-tools: an elliptic curve, and RSA with a password', async () => {
    const script = `cd '${directory}' && tpm2_createprimary -Q -C o -G ecc -c srk.ctx && tpm2_evictcontrol -Q -C o -c srk.ctx 0x81000001 &&
      tpm2_flushcontext -t && tpm2_create -Q -C 0x81000001 -G ecc -u key.pub -r key.priv && echo hello > letter &&
      tpm2_flushcontext -t && tpm2_create -Q -C 0x81000001 -G rsa -p secret -u rsa.pub -r rsa.priv && tpm2_flushcontext -t &&
      node '${join(ROOT, 'examples', 'migrate-tpm2-tools.mjs')}' key.pub key.priv letter &&
      node '${join(ROOT, 'examples', 'migrate-tpm2-tools.mjs')}' rsa.pub rsa.priv letter secret`;
    expect(await ended('keyprov', ['sim', '--', 'sh', '-c', script])).toEqual({ code: 0, stdout: 'true\ntrue\n' });
  });

  it.concurrent('have an image for containers whose command runs', async () => {
    const text = await readFile('examples/container/Dockerfile', 'utf8');
    const [, list = ''] = /^CMD (.+)$/m.exec(text) ?? [];
    const [npx, program, ...args] = JSON.parse(list);
    expect([npx, program]).toEqual(['npx', 'keyprov']);
    const [, store = ''] = /^ENV KEYPROV_STORE=(.+)$/m.exec(text) ?? [];
    expect(text).toContain(`VOLUME ${store.split('/').slice(0, 2).join('/')}\n`);
    const { code, stdout } = await ended('keyprov', args, { KEYPROV_STORE: join(directory, 'container') });
    expect(stdout).toMatch(/TPMs that can be used/);
    expect(code).toBe(stdout.includes('missing  this machine') ? 1 : 0);
  });

  it.concurrent.each([
    ['a TPM', 'libtpms', 'tpm virtual true pin-wrong 2\n'],
    ['no TPM', 'none', 'software software true pin-wrong 4\n'],
  ])('work in Electron with %s', async (_what, address, stdout) => {
    const data = join(directory, `electron-${address}`);
    const tpm = address === 'none' ? address : `${address}:${data}/tpm`;
    const args = ['--import', './test/package/electron-stand-in.mjs', 'examples/electron/main.mjs'];
    const environment = { USER_DATA: data, KEYPROV_TPM: tpm };
    expect(await ended(process.execPath, args, environment)).toEqual({ code: 0, stdout });
  });

  it.concurrent.each([
    ['github-actions.yml', /^ {6}- run: (.+)$/gm],
    ['gitlab-ci.yml', /^ {4}- (.+)$/gm],
  ])('have steps of continuous integration that run: %s', async (file, step) => {
    const project = join(directory, file);
    await mkdir(join(project, 'node_modules', '.bin'), { recursive: true });
    await symlink(ROOT, join(project, 'node_modules', 'keyprov'));
    await symlink(join(directory, 'bin', 'keyprov'), join(project, 'node_modules', '.bin', 'keyprov'));
    await cp('examples/ci/sign.test.mjs', join(project, 'sign.test.mjs'));
    const text = await readFile(join('examples', 'ci', file), 'utf8');
    const steps = [...text.matchAll(step)].map(([, command = '']) => command);
    const [installing, testing] = [/apt-get|^npm ci$/, /sign\.test\.mjs/];
    expect(steps.filter((command) => !installing.test(command) && !testing.test(command))).toEqual([]);
    const ran = steps.filter((command) => testing.test(command));
    expect(ran.length).toBe(2);
    for (const command of ran) {
      const { code, stdout } = await ended('sh', ['-c', command], { KEYPROV_TPM: undefined }, project);
      expect(stdout, command).toMatch(command.includes('sim') ? /# pass 2\n/ : /# pass 1\n/);
      expect(code, command).toBe(0);
    }
  });
});
