import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { TestRoots } from '../integration/support/key-service.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { deviceCodeToken } from '../integration/support/service-client.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { override, startKeyprov } from './support/keyprov.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
const PIN = '730519-Xq';
/** Two parts of a JWT. */
const TOKEN = /eyJ[\w-]{10,}\.eyJ/;
const SOFTWARE = ['--hardware', 'discouraged', '--tpm', 'none'];
const LOCAL = { SSH_CONNECTION: '' };

describe.skipIf(missing)('keyprov provision --service', () => {
  let world: ServiceWorld;
  let pinFile: string;
  const run = (args: readonly string[], more: object = {}) =>
    commands.json(override(['provision', ...world.runArgs], ...args), { env: LOCAL, ...more });

  beforeEach(async () => {
    world = await startServiceWorld();
    pinFile = world.file('pin', `${PIN}\n`);
    return async () => await world[Symbol.asyncDispose]();
  });

  it("demands the device's id if the certificate has none", async () => {
    const { certificate, privateKey } = await (await TestRoots.create()).forHost('localhost');
    const device = [
      '--device-cert',
      world.file('host.pem', certificate),
      '--device-key',
      world.file('host.key', privateKey),
    ];
    expect(await run([...SOFTWARE, ...device])).toMatchObject({
      status: 2,
      json: { error: { problems: ['--device-id is missing: --device-cert has none'] } },
    });
  });

  it('gives a user a registered key in the TPM, and keeps neither PIN nor token', async () => {
    const { status, stdout, stderr } = await commands.run(
      ['provision', ...world.runArgs, ...world.tpmArgs, '--pin-file', pinFile],
      { env: LOCAL },
    );
    expect({ status, stderr: stderr.match(/warning|failed/g) }).toEqual({ status: 0, stderr: null });
    const [key] = world.service.keys();
    expect(world.service.keys()).toHaveLength(1);
    expect(stdout).toContain(`user         ${ADA.upn}\n`);
    expect(stdout).toContain(`registered   ${key?.kid} at ${world.service.url}/EnrollmentServer/key/`);
    expect(stdout).toMatch(
      /\nThe PIN works for sign-in at the service now\. If the service synchronizes with Active Directory, the PIN works on premises from about /,
    );
    const steps = [...stderr.matchAll(/^(\w[\w-]*): /gm)].map(([, step]) => step);
    expect([...new Set(steps)]).toEqual([
      'prerequisites',
      'tpm',
      'pin',
      'mfa',
      'key',
      'attestation',
      'request',
      'registration',
      'record',
    ]);
    expect(stderr).toContain(`Open this page in any browser: ${world.service.url}/common/oauth2/deviceauth\n`);
    expect(stderr).toMatch(/^Enter this code there: [A-Z2-9]{9}$/m);
    expect(stderr).not.toContain('\x1b');
    expect(stdout + stderr).not.toContain(PIN);
    expect(stdout + stderr).not.toMatch(TOKEN);
    expect(world.filesWith(new RegExp(PIN))).toEqual(['pin']);
    expect(world.filesWith(TOKEN)).toEqual([]);
    expect(storeFiles(world.store)).toEqual(['key']);
  });

  it.each([
    ['a short PIN', '1234\n', 'pin-refused'],
    ['nothing', '', 'pin-required'],
  ])('asks nobody to authenticate if standard input has %s', async (_, input, code) => {
    const { status, json, stderr } = await run(SOFTWARE, { input });
    expect({ status, json, stderr }).toMatchObject({ status: 5, json: { error: { code } }, stderr: '' });
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('says before the user authenticates that software will make the key, and why', async () => {
    const args = ['provision', ...world.runArgs, '--tpm', `swtpm:unix:${world.path}/none`];
    args.push('--skip-prerequisites', '--fall-back', 'any');
    const { status, stderr } = await commands.run(args, { input: `${PIN}\n`, env: LOCAL });
    expect(status).toBe(0);
    expect(stderr).toMatch(/\ntpm: failed [^\n]+\nkey: software will make it: [^\n]*none[^\n]*\npin: /);
  });

  it('names the commands for a key that exists', async () => {
    expect((await run(SOFTWARE, { input: `${PIN}\n` })).status).toBe(0);
    const again = await run([...SOFTWARE, '--skip-prerequisites'], { input: `${PIN}\n` });
    expect(again.json.error).toMatchObject({
      code: 'key-exists',
      remedy: expect.stringMatching(
        /^change its PIN with keyprov change-pin( .*)?; if that is forgotten or the TPM is lost, replace the key with keyprov reset( --store \S+)?$/,
      ),
    });
  });

  it('prints one object with --json', async () => {
    const { status, json } = await run([...world.tpmArgs, '--pin-file', pinFile]);
    expect({ status, json }).toEqual({
      status: 0,
      json: {
        ok: true,
        status: 'registered',
        resumed: false,
        user: ADA.upn,
        deviceId: world.device.deviceId,
        kid: world.service.keys()[0]?.kid,
        keyId: { hex: expect.stringMatching(/^[0-9a-f]{64}$/), base64: expect.stringMatching(/^.{43}=$/) },
        id: expect.stringMatching(/^ngc-[0-9a-f]{32}$/),
        name: `${ADA.upn} on ${world.device.deviceId}`,
        backend: 'tpm',
        assurance: 'virtual',
        algorithm: 'rsa-2048',
        hasPin: true,
        created: expect.any(String),
        attempts: [{ backend: 'tpm', outcome: 'used', reason: 'the TPM made the key' }],
        policy: expect.objectContaining({ hardware: 'preferred', attestation: 'preferred' }),
        tpm: { address: `libtpms:${world.path}/tpm`, virtual: true, signs: expect.any(Array) },
        attestation: { status: 'made' },
        request: { profile: 'attested', carriesAttestation: true },
        attestationLevel: 'certified',
        aikStatus: 'uncertified',
        domain: 'contoso.test',
        tenant: world.service.tenantId,
        service: `${world.service.url}/EnrollmentServer/key/`,
        registered: expect.any(String),
        store: world.store,
        sync: {
          state: 'registered',
          earliest: expect.any(String),
          estimate: expect.any(String),
          overdueAfter: expect.any(String),
          obstacles: [],
        },
        warnings: [],
      },
    });
  });

  it('gets the token from a command, and tells it the resource', async () => {
    const token = await deviceCodeToken(world.service, ADA.upn, { device: world.device });
    const tokenFile = world.file('token', token);
    const command = `printf '%s %s\\n' "$KEYPROV_USER" "$KEYPROV_RESOURCE" >'${world.path}/asked'; cat '${tokenFile}'`;
    const { status, json, stderr } = await run([...SOFTWARE, '--pin-file', pinFile, '--token-command', command]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(readFileSync(join(world.path, 'asked'), 'utf8')).toBe(`${ADA.upn} urn:ms-drs:localhost\n`);
    expect(token).toMatch(TOKEN);
    expect(world.filesWith(TOKEN)).toEqual(['token']);
    expect(json).toMatchObject({ backend: 'software', attestationLevel: 'none' });
  });

  it.each([
    ['exit 3', 'mfa-failed', 'the command given with --token-command failed: it ended with exit code 3'],
    [
      'echo not a token',
      'token-invalid',
      'the command given with --token-command printed something that is not a token',
    ],
    ['true', 'mfa-failed', 'the command given with --token-command failed: it printed nothing'],
    ['echo a.b.c', 'token-invalid', 'the token cannot be read'],
  ])('does not go on with the token command %j', async (command, code, message) => {
    const { status, json } = await run([...SOFTWARE, '--pin-file', pinFile, '--token-command', command]);
    expect(status).toBe(12);
    expect(json).toMatchObject({
      ok: false,
      error: { code, message: expect.stringContaining(message), windows: { code: '0x801C03ED' } },
    });
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('ends a token command and its children when a signal ends it', async () => {
    const args = [...SOFTWARE, '--pin-file', pinFile, '--token-command', 'sleep 400 & echo begun >&2; wait'];
    const { child, ended } = startKeyprov(['provision', ...world.runArgs, ...args], { env: LOCAL });
    child.stderr.on('data', (text: string) => {
      if (text.includes('begun')) child.kill('SIGTERM');
    });
    // The output ends with the last of them. The test runner's limit reveals one that lives on.
    expect((await ended).status).toBe(143);
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('shows no token that a service sends back, with --json or without', async () => {
    const token = await deviceCodeToken(world.service, ADA.upn, { device: world.device });
    world.service.setIntercept(({ path }) =>
      path.startsWith('/EnrollmentServer/key')
        ? {
            status: 400,
            body: { code: 'BadToken', message: `what is ${token}?`, response: 'ERROR_FAIL', target: token },
          }
        : 'continue',
    );
    const args = [...SOFTWARE, '--pin-file', pinFile, '--token-command', `cat '${world.file('token', token)}'`];
    const { status, json, stderr } = await run(args);
    expect({ status, error: json.error }).toMatchObject({
      status: 13,
      error: { code: 'service-refused', service: { status: 400, details: { code: 'BadToken' }, retry: 'none' } },
    });
    const plain = await commands.run(['provision', ...world.runArgs, ...args], { env: LOCAL });
    expect(plain.status).toBe(13);
    expect(plain.stderr).toContain('BadToken');
    for (const text of [JSON.stringify(json), stderr, plain.stdout, plain.stderr]) expect(text).not.toMatch(TOKEN);
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('reads the PIN from a line of standard input if there is no terminal', async () => {
    const { status, json } = await run(SOFTWARE, { input: `${PIN}\nnot this\n` });
    expect({ status, hasPin: json.hasPin }).toEqual({ status: 0, hasPin: true });
    expect(world.filesWith(new RegExp(PIN))).toEqual(['pin']);
  });

  it.each([
    ['', 'pin-required', 'no PIN: there is no terminal, and standard input is empty'],
    ['1234\n', 'pin-refused', 'the PIN is refused: Your PIN must be at least 6 characters long.'],
    ['111111\n', 'pin-refused', "the PIN is refused: Your PIN can't be a common number pattern."],
  ])('refuses the PIN %j, and registers nothing', async (input, code, message) => {
    const { status, json } = await run(SOFTWARE, { input });
    expect({ status, error: json.error }).toMatchObject({
      status: 5,
      error: { code, message: expect.stringContaining(message) },
    });
    expect(world.service.keys()).toEqual([]);
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('makes a key without a PIN on request', async () => {
    const { status, json } = await run([...world.tpmArgs, '--no-pin']);
    expect({ status, hasPin: json.hasPin, backend: json.backend }).toEqual({
      status: 0,
      hasPin: false,
      backend: 'tpm',
    });
  });

  it('has the attestation key certified if there is an attestation CA, and says so if it cannot', async () => {
    const url = `${world.service.url}/attestation/`;
    const { status, json } = await run([...world.tpmArgs, '--pin-file', pinFile, '--attestation-ca', url]);
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        ...{ attestationLevel: 'certified', aikStatus: 'uncertified', request: { carriesAttestation: true } },
        attestation: { status: 'made', uncertified: { code: 'service-refused' } },
        warnings: [expect.stringMatching(/^the attestation key has no certificate: .*status 403/)],
      },
    });
    const required = [...world.tpmArgs, '--pin-file', pinFile, '--attestation-ca', url, '--attestation', 'required'];
    const other = join(world.path, 'other');
    const second = await run([...required, '--store', other]);
    expect({ status: second.status, error: second.json.error }).toMatchObject({
      status: 3,
      error: { code: 'attestation-unavailable', windows: { code: '0x801C03EE' } },
    });
    expect(world.service.keys()).toHaveLength(1);
  });

  it('does nothing if a prerequisite fails, and says which', async () => {
    const text = readFileSync(join(world.path, 'ca.pem'), 'utf8');
    const dsregcmd = world.file('dsregcmd.txt', `${text}\n| User State |\n NgcSet : YES\n| Device State |\n`);
    const { status, stdout, stderr } = await commands.run(
      ['provision', ...world.runArgs, ...SOFTWARE, '--pin-file', pinFile, '--dsregcmd', dsregcmd],
      { env: LOCAL },
    );
    expect(status).toBe(11);
    expect(stdout).toContain('unknown  device-joined: keyprov could not find out how the device is joined');
    expect(stdout).toContain(
      'fail     no-pin: the user already has a PIN; change or reset that PIN instead (0x8009000F)\n',
    );
    expect(stdout).toMatch(/\na prerequisite is not met; nothing was done\n$/);
    expect(stderr).not.toContain('mfa:');
    const json = await run([...SOFTWARE, '--pin-file', pinFile, '--dsregcmd', dsregcmd]);
    expect(json).toMatchObject({
      status: 11,
      json: { ok: false, status: 'blocked', prerequisites: { result: 'WillNotProvision', errorStates: 0x40 } },
    });
    expect(world.service.requests.filter(({ path }) => path.includes('oauth2'))).toHaveLength(1); // the join of the device
  });

  it('warns if the output of dsregcmd is about another device or tenant', async () => {
    const other = '00112233-4455-6677-8899-aabbccddeeff';
    const text = (device: string, tenant: string) =>
      `| Device Details |\n DeviceId : ${device}\n| Tenant Details |\n TenantId : ${tenant}\n| User State |\n NgcSet : YES\n`;
    const warningsOf = async (device: string, tenant: string) => {
      const file = world.file('dsregcmd.txt', text(device, tenant));
      const args = [...SOFTWARE, '--pin-file', pinFile, '--dsregcmd', file];
      return (await run(args)).json.warnings;
    };
    const { deviceId } = world.device;
    const { tenantId } = world.service;
    expect(await warningsOf(other, other)).toEqual([
      `--dsregcmd: the output is about another device: its DeviceId is ${other}, not ${deviceId}`,
      `--dsregcmd: the output is about another tenant: its TenantId is ${other}, not ${tenantId}`,
    ]);
    expect(await warningsOf(deviceId.toUpperCase(), tenantId)).toEqual([]);
  });

  it.skipIf(process.platform === 'win32')('claims no prerequisite that was not checked', async () => {
    const key = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork';
    const policy = (value: number) =>
      world.file(
        `${value}.reg`,
        `Windows Registry Editor Version 5.00\r\n\r\n[${key}]\r\n"Enabled"=dword:0000000${value}\r\n`,
      );
    // A remote session, in which nothing is done.
    const findingsWith = async (...args: readonly string[]) => {
      const { status, json } = await run([...SOFTWARE, '--pin-file', pinFile, ...args], {
        env: { SSH_CONNECTION: 'x' },
      });
      expect(status).toBe(11);
      const findings: { id: string; status: string }[] = Object(json.prerequisites).findings;
      return Object.fromEntries(findings.map((one) => [one.id, one.status]));
    };
    const unchecked = { 'device-joined': 'skipped', 'directory-user': 'skipped', 'policy-enabled': 'skipped' };
    expect(await findingsWith()).toMatchObject({ ...unchecked, 'no-pin': 'pass', 'session-not-remote': 'fail' });
    expect(await findingsWith('--policy', policy(1))).toMatchObject({ ...unchecked, 'policy-enabled': 'pass' });
    expect(await findingsWith('--policy', policy(0))).toMatchObject({ ...unchecked, 'policy-enabled': 'fail' });
  });

  it("follows Windows' policies rather than options", async () => {
    const policy = world.file(
      'policy.reg',
      'Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]\r\n"RequireSecurityDevice"=dword:00000001\r\n',
    );
    const { status, json } = await run([...SOFTWARE, '--policy', policy, '--pin-file', pinFile]);
    expect({ status, json }).toMatchObject({
      status: 11,
      json: {
        status: 'blocked',
        prerequisites: { errorStates: 0x20 },
        warnings: [expect.stringMatching(/^--hardware discouraged has no effect: hardware is set by computer GPO/)],
      },
    });
  });

  it('leaves nothing when the user denies the authentication', async () => {
    world.service.mfa.set(ADA.upn, { answer: 'deny' });
    const { status, json } = await run([...SOFTWARE, '--pin-file', pinFile]);
    expect({ status, error: json.error }).toMatchObject({
      status: 12,
      error: { code: 'mfa-failed', windows: { code: '0x801C03ED' } },
    });
    expect(storeFiles(world.store)).toEqual([]);
  });

  it('keeps a key that may be registered, and continues without another PIN', async () => {
    world.service.setIntercept(({ method, path }) =>
      method === 'POST' && path.startsWith('/EnrollmentServer/key')
        ? { status: 503, headers: { 'retry-after': '900' }, body: { code: 'Busy', message: 'later' } }
        : 'continue',
    );
    const args = [...SOFTWARE, '--algorithm', 'p-256', '--profile', 'attested'];
    const first = await run([...args, '--pin-file', pinFile]);
    expect({ status: first.status, json: first.json }).toMatchObject({
      status: 10,
      json: { ok: false, status: 'pending', retryAfterMs: 900_000, error: { code: 'service-unreachable' } },
    });
    expect(storeFiles(world.store)).toEqual(['run']);
    const status = await commands.json(['status', '--store', world.store]);
    expect(status).toMatchObject({
      status: 10,
      json: {
        keys: [],
        runs: [{ user: ADA.upn, step: 'sending', active: false }],
        error: { code: 'run-unfinished' },
      },
    });
    world.service.setIntercept();
    const second = await run(args, { input: '' });
    expect({ status: second.status, json: second.json }).toMatchObject({
      status: 0,
      json: { status: 'registered', resumed: true, hasPin: true },
    });
    expect(world.service.keys()).toHaveLength(1);
    expect(storeFiles(world.store)).toEqual(['key']);
  });

  it('warns if it skips the prerequisites although the policy turns provisioning off', async () => {
    const key = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork';
    const off = world.file('off.reg', `Windows Registry Editor Version 5.00\n\n[${key}]\n"Enabled"=dword:00000000\n`);
    const args = [...SOFTWARE, '--pin-file', pinFile, '--policy', off, '--skip-prerequisites'];
    const { status, json } = await run(args);
    expect({ status, warnings: json.warnings }).toEqual({
      status: 0,
      warnings: [
        'the prerequisites are not checked, and the policy turns provisioning off (UsePassportForWork is false)',
      ],
    });
  });

  it('refuses a second key for the same user and device', async () => {
    const args = [...SOFTWARE, '--pin-file', pinFile];
    expect((await run(args)).status).toBe(0);
    expect(await run(args)).toMatchObject({ status: 11, json: { status: 'blocked' } });
    expect(await run([...args, '--skip-prerequisites'])).toMatchObject({
      status: 7,
      json: { error: { code: 'key-exists' }, warnings: ['the prerequisites are not checked'] },
    });
    expect(world.service.keys()).toHaveLength(1);
  });

  it('says that a service cannot be trusted, or is not there', async () => {
    const other = await startServiceWorld({ tenantId: randomUUID() }); // with a different CA
    await using _ = other;
    const untrusted = [...SOFTWARE, '--pin-file', pinFile, '--service-ca', join(other.path, 'ca.pem')];
    expect(await run(untrusted)).toMatchObject({ status: 13, json: { error: { code: 'service-unreachable' } } });
    await other.service.close();
    const gone = [...SOFTWARE, '--pin-file', pinFile, '--service', other.service.url];
    expect(await run(gone)).toMatchObject({
      status: 13,
      json: { error: { code: 'service-unreachable', windows: { code: '0x801C000C' } } },
    });
  });

  it('ends with 130 after Ctrl-C while it waits for the user, and leaves nothing', async () => {
    world.service.mfa.set(ADA.upn, { answer: 'ignore' });
    const args = ['provision', ...world.runArgs, ...SOFTWARE, '--pin-file', pinFile];
    const { child, ended } = startKeyprov(args, { env: LOCAL });
    child.stderr.on('data', (text: string) => {
      if (text.includes('Waiting for the sign-in')) child.kill('SIGINT');
    });
    const { status, stdout, stderr } = await ended;
    expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
    expect(stderr).toMatch(/keyprov: ended by SIGINT\n$/);
    expect(storeFiles(world.store)).toEqual([]);
  });
});

describe('keyprov provision', () => {
  const GUID = '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01';
  const wrong = (args: readonly string[]) => commands.json(['provision', '--tpm', 'none', ...args]);

  it('reports all that is wrong with the arguments of a run at once', async () => {
    using directory = temporaryDirectory();
    const { status, json } = await wrong([
      ...['--service', 'ftp://x', '--device-cert', 'nowhere.pem', '--device-id', '12', '--out', 'x', '--force'],
      ...['--no-pin', '--pin-file', 'pin', '--policy', 'nowhere.reg', '--store', directory.path],
    ]);
    expect(status).toBe(2);
    expect(Object(json.error).problems.map((problem: string) => /^--[a-z-]+/.exec(problem)?.[0])).toEqual([
      ...[
        '--out',
        '--force',
        undefined,
        '--service',
        '--device-cert',
        '--device-cert',
        '--device-id',
        '--pin-file',
        '--user',
      ],
    ]);
    expect(readdirSync(directory.path)).toEqual([]);
  });

  it('says how to pass the device', async () => {
    expect(await wrong(['--service', 'https://x', '--user', 'ada'])).toMatchObject({
      status: 2,
      json: { error: { problems: ['--device-id is missing: pass it, or --device-cert and --device-key'] } },
    });
  });

  it("accepts the demo's options only with --demo, and no others then", async () => {
    expect(await wrong(['--out', 'x', '--service', 'https://x', '--user', 'ada', '--device-id', GUID])).toMatchObject({
      status: 2,
      json: { error: { problems: ['--out works only with --demo; keyprov create writes a key to files'] } },
    });
    expect(await wrong(['--demo', '--user', 'x'])).toMatchObject({
      status: 2,
      json: { error: { problems: ['--user cannot be used with --demo', '--tpm cannot be used with --demo'] } },
    });
    expect(existsSync('x')).toBe(false);
  });
});
