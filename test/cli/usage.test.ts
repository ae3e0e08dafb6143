import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeStatement } from '../../src/attestation/statement.ts';
import { TestRoots } from '../integration/support/key-service.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { paperStatement } from '../unit/attestation/paper-tpm.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines();
const COMMANDS = [
  ...['provision', 'create', 'status', 'sync-status', 'change-pin', 'reset', 'unregister', 'sign', 'verify', 'request'],
  ...['attest', 'policy', 'inspect', 'doctor', 'dashboard', 'tpm', 'sim', 'completion'],
];

describe('a file that is not of the kind that an option takes', () => {
  const service = ['unregister', '--yes', '--service', 'https://adfs.contoso.test'];

  it.each([
    ['--service-ca', 'pin', service, ['--service-ca: pin: it contains no certificate']],
    ['--device-cert', 'pin', [...service, '--device-key', 'pin'], ['--device-cert: pin: it contains no certificate']],
    [
      '--device-cert',
      'nope.pem',
      [...service, '--device-key', 'pin'],
      [expect.stringMatching(/^--device-cert: nope\.pem does not exist/)],
    ],
    [
      '--service-ca',
      'pin',
      ['tpm', '--ek-certificates', '--ek-service'],
      ['--service-ca: pin: it contains no certificate'],
    ],
  ])('is a problem of %s %s alone', async (option, file, args, problems) => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'pin'), '730519');
    const { status, json } = await commands.onlyJson([...args, option, file], { cwd: directory.path });
    expect({ status, problems: Object(json).error.problems }).toEqual({ status: 2, problems });
  });

  it('is a problem of --device-key alone, before a user signs in', async () => {
    using directory = temporaryDirectory();
    const pair = await (await TestRoots.create()).forHost('localhost');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const pem = { type: 'pkcs8', format: 'pem' } as const;
    const files = {
      'device.pem': pair.certificate,
      'other.pem': privateKey.export(pem),
      'secret.pem': privateKey.export({ ...pem, cipher: 'aes-256-cbc', passphrase: 'secret' }),
      letter: 'Dear Ada',
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory.path, name), content);
    const device = ['--device-cert', 'device.pem', '--device-id', '47f577e3-d2d0-4a0a-8aca-e0501098bde4'];
    const args = ['provision', ...service.slice(2), '--user', 'ada@contoso.test', ...device, '--device-key'];
    const problems: unknown[] = [];
    for (const file of ['other.pem', 'secret.pem', 'letter']) {
      const { status, json } = await commands.onlyJson([...args, file], { cwd: directory.path });
      expect(status).toBe(2);
      problems.push(...Object(json).error.problems);
    }
    expect(problems).toEqual([
      '--device-key: other.pem does not belong to the certificate',
      '--device-key: secret.pem is encrypted: decrypt it first',
      '--device-key: letter is not a private key in PEM',
    ]);
  });

  it('is named with --ak-roots', async () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'letter'), 'Dear Ada');
    writeFileSync(join(directory.path, 'statement'), JSON.stringify(encodeStatement(paperStatement('p-256', 'p-256'))));
    const args = ['verify', '--in', 'statement', '--challenge', 'c0ffee', '--ak-roots', 'letter'];
    const { json } = await commands.onlyJson(args, { cwd: directory.path });
    expect(Object(json).error).toMatchObject({
      message: expect.stringMatching(/^--ak-roots: letter: no CA certificate/),
      remedy: 'give a file with CA certificates in PEM or DER, or a directory of such files',
    });
  });
});

it('verify says that a software key cannot be attested', async () => {
  using directory = temporaryDirectory();
  const cwd = directory.path;
  expect(
    (await commands.run(['create', '--tpm', 'none', '--algorithm', 'p-256', '--out', 'key'], { cwd })).status,
  ).toBe(0);
  const { json } = await commands.onlyJson(['verify', '--store', 'key', '--challenge', 'c0ffee'], { cwd });
  expect(Object(json).error.remedy).toBe('a software key cannot be attested; make a key in a TPM');
});

describe('a misspelled argument', () => {
  it.each([
    [['status', '--hlep'], 'unknown option --hlep, did you mean --help?'],
    [['policy', 'explain', '--jsno', 'x'], 'keyprov: unknown option --jsno, did you mean --json?'],
    [['policy', 'explain', 'p.reg', '--hardwear', 'preferred'], 'unknown option --hardwear'],
    [['inspect', 'a', '--jsno'], 'unknown option --jsno, did you mean --json?'],
    [['inspect', 'a', '--json=1'], '--json takes no value'],
    [['status', '--', '--verbose'], '--verbose must come before --'],
    [['status', '--', '--store=x'], '--store must come before --'],
    [['status', '--tpm', '/dev/tpm0'], 'did you mean device:/dev/tpm0?'],
    [['status', '--tpm', 'libtmps'], 'did you mean libtpms?'],
  ])('of %j is recognized', async (args, hint) => {
    const { status, stderr } = await commands.run(args);
    expect({ status, stderr: stderr.replaceAll(/\s+/g, ' ') }).toEqual({
      status: 2,
      stderr: expect.stringContaining(hint),
    });
  });
});

describe('keyprov', () => {
  it('shows its commands and exit codes', async () => {
    const { status, stdout, stderr } = await commands.run(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const word of [...COMMANDS, 'Exit codes:', '130 after Ctrl-C']) {
      expect(stdout).toContain(word);
    }
  });

  it.each([...COMMANDS, 'policy explain'])('explains %s', async (command) => {
    const { status, stdout, stderr } = await commands.run([...command.split(' '), '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: keyprov ${command} `));
  });

  it.each(['status', 'policy explain'])('explains %s if help comes first', async (command) => {
    const words = command.split(' ');
    expect(await commands.run(['help', ...words])).toEqual(await commands.run([...words, '--help']));
    expect((await commands.run(['help'])).stdout).toBe((await commands.run(['--help'])).stdout);
  });

  it('shows its version', async () => {
    expect(await commands.run(['--version'])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });

  it('shows the versions that matter for a bug report', async () => {
    const { status, json } = await commands.onlyJson(['--version']);
    const { node, openssl } = process.versions;
    const version = expect.stringMatching(/^\d+\.\d+\.\d+/);
    expect({ status, json }).toEqual({
      status: 0,
      json: {
        ...{ ok: true, warnings: [], keyprov: version, node, openssl, koffi: version },
        platform: expect.stringContaining(`${process.platform} ${process.arch} `),
        ...{ libtpms: expect.toBeOneOf([version, null]), swtpm: expect.toBeOneOf([version, null]) },
      },
    });
  });

  it.each([
    [['provison'], "unknown command 'provison', did you mean provision?"],
    [['PROVISION'], "unknown command 'PROVISION', did you mean provision?"],
    [['--tpm', 'none', 'provision'], "unknown option '--tpm'; the options of a command follow its name"],
    [['policy', 'explan'], "unknown command 'explan', did you mean explain?"],
  ])('refuses %j', async (args, problem) => {
    const { status, stdout, stderr } = await commands.run(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.replaceAll('\n', ' ')).toBe(`keyprov: ${problem} keyprov: see keyprov --help `);
  });
});

describe('an incomplete command', () => {
  it.each([[[]], [['policy']]])('%j prints help, as something that is not done', async (args) => {
    const { status, stdout, stderr } = await commands.run(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: keyprov /);
    expect(stderr).toContain(args.length === 0 ? 'Exit codes:' : 'show which settings apply, and why');
  });
});

describe('a stray word', () => {
  it.each([['doctor']])('is named by %s, which accepts no secret', async (command) => {
    const { status, stderr } = await commands.run([command, 'extra']);
    expect(status).toBe(2);
    expect(stderr).toContain(
      "keyprov: unexpected argument 'extra': give it with its option, such as --tpm <address>\n",
    );
  });

  it.each([
    ['provision'],
    ['create'],
    ['sign'],
    ['status'],
    ['change-pin'],
    ['reset'],
    ['sync-status'],
    ['unregister'],
  ])('is not repeated by %s, since it may be a secret', async (command) => {
    const { status, stdout, stderr } = await commands.run([command, '941027']);
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /unexpected argument \(not shown, since it may be secret\): give it with its option, such as --\S+ <\S+>\n/,
    );
    expect(stdout + stderr).not.toContain('941027');
  });
});

describe('an option that is given twice', () => {
  it('is named, not its values, which may be secrets', async () => {
    const args = ['sign', '--in', 'a', '--in', 'b', '--pin-file', '941027', '--pin-file', '941028'];
    const { status, json } = await commands.onlyJson(args);
    expect(status).toBe(2);
    expect(json).toMatchObject({
      error: {
        code: 'usage',
        problems: ['--in', '--pin-file'].map((name) => `${name} is used 2 times with different values; use it once`),
      },
    });
  });
});

describe('without a TPM', () => {
  const create = async (...args: string[]) => {
    using directory = temporaryDirectory();
    return await commands.run([
      'create',
      '--tpm',
      'device:/nowhere',
      '--hardware',
      'required',
      '--out',
      directory.path,
      ...args,
    ]);
  };

  it('the refusal names each way on once', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'none', '--hardware', 'required', '--out', join(directory.path, 'out')];
    const { status, stderr } = await commands.run(args);
    expect(status).toBe(3);
    for (const way of ['--tpm libtpms', 'keyprov sim', 'keyprov doctor']) expect(stderr.split(way)).toHaveLength(2);
  });

  it('says each reason once', async () => {
    const { status, stderr } = await create();
    expect(status).toBe(3);
    const [, errors = ''] = /^((?:keyprov: .*\n)+)/m.exec(stderr) ?? [];
    expect(errors.split('/nowhere')).toHaveLength(2);
  });

  it('prints what Windows reports, on request', async () => {
    expect((await create()).stderr).not.toContain('Windows');
    expect((await create('--verbose')).stderr).toContain('keyprov: Windows reports this as 0x80090035');
  });
});

describe('keyprov create', () => {
  it('reports everything that is wrong at once', async () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'policy.json'), '{"virtualTpm": "perhaps", "hardwear": "required"}');
    const { status, stdout, stderr } = await commands.run(
      [
        ...['create', '--tpm', 'libtpm', '--hardware', 'requird', '--algorithm', 'rsa', '--attestation'],
        ...['--policy', 'policy.json', '--profile', 'strickt', '--device-id', '12', '--challenge', 'abc'],
        ...['--user=', '--out', 'x', '--chalenge', 'aa', 'stray'],
      ],
      { cwd: directory.path },
    );
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    const wrong = [...stderr.matchAll(/^keyprov: (unknown option \S+|--[a-z-]+|policy\.json: \w+|.*)/gm)].map(
      ([, x]) => x,
    );
    expect(wrong).toEqual([
      'unknown option --chalenge,',
      'unexpected argument (not shown, since it may be secret): give it with its option, such as --store <dir>',
      '--user',
      '--attestation',
      '--tpm',
      'policy.json: hardwear',
      'policy.json: virtualTpm',
      '--hardware',
      '--algorithm',
      '--challenge',
      '--profile',
      '--device-id',
      'see keyprov create --help',
    ]);
    expect(stderr).toContain("did you mean 'required'?");
    expect(stderr).toContain("did you mean 'hardware'?");
  });

  it('reports it as one object with --json', async () => {
    const { status, json } = await commands.onlyJson(['create', '--tpm', 'x', '--out', 'x', '--challenge', 'zz']);
    expect(status).toBe(2);
    expect(json).toEqual({
      ok: false,
      error: {
        code: 'usage',
        message: expect.any(String),
        problems: [
          expect.stringMatching(
            /^--tpm: 'x' is not the address of a TPM; .*, tcti:CONF, none \(where no TPM is needed\)$/,
          ),
          '--challenge is not an even number of hexadecimal digits',
        ],
      },
      warnings: [],
    });
  });

  it.each([
    [['--challenge', 'ab'.repeat(65)], '--challenge has 65 bytes; at most 64 are allowed'],
    [['--profile', 'strict', '--algorithm', 'p-256'], '--profile strict accepts only rsa-2048 keys, not p-256'],
    [['--device-id', '{00000000-0000-0000-0000-000000000000}'], '--device-id is not a GUID'],
    [['--policy', 'nowhere.json'], 'nowhere.json: does not exist (expected: a file with settings)'],
    [
      ['stray'],
      'unexpected argument (not shown, since it may be secret): give it with its option, such as --store <dir>',
    ],
    [['--pin', '731902'], 'unknown option --pin, did you mean --pin-file?'],
  ])('refuses %j', async (args, problem) => {
    const { status, stderr } = await commands.run(['create', '--tpm', 'none', '--out', '/nowhere', ...args]);
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: `keyprov: ${problem}\nkeyprov: see keyprov create --help\n`,
    });
  });

  it('names the origins of settings that contradict each other', async () => {
    using directory = temporaryDirectory();
    const policy = join(directory.path, 'policy.json');
    writeFileSync(policy, '{"allowedAlgorithms": ["p-256"], "hardware": "discouraged"}');
    const args = ['create', '--policy', policy, '--algorithm', 'p-384', '--attestation', 'required', '--out', 'x'];
    const { status, stderr } = await commands.run(args, { cwd: directory.path });
    expect(status).toBe(2);
    expect(stderr).toContain(`--algorithm and ${policy}: 'p-384' is not among allowedAlgorithms`);
    expect(stderr).toContain(`--attestation and ${policy}: 'required' contradicts hardware 'discouraged'`);
  });

  it('reports a wrong KEYPROV_TPM', async () => {
    const { status, stderr } = await commands.run(['create', '--out', 'x'], { env: { KEYPROV_TPM: 'chip' } });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^keyprov: KEYPROV_TPM: 'chip' is not the address of a TPM/);
  });

  it('never repeats what may be a PIN', async () => {
    for (const args of [['--pin', '941027'], ['--pin=941027'], ['-p941027'], ['941027']]) {
      const { status, stdout, stderr } = await commands.run(['create', ...args]);
      expect(status).toBe(2);
      expect(stdout + stderr).not.toContain('941027');
    }
  });
});

describe('the most likely mistakes', () => {
  it('include a service without https://', async () => {
    const { json } = await commands.onlyJson(['provision', '--service', 'sts.contoso.test', '--user', 'ada']);
    expect(Object(json).error.problems).toContain(
      '--service is not an https URL, or contains a user name or password; did you mean https://sts.contoso.test?',
    );
  });

  it('include another file in place of a statement', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'key');
    expect((await commands.run(['create', '--tpm', 'none', '--algorithm', 'p-256', '--out', out])).status).toBe(0);
    for (const [name, what] of [
      ['public.pem', 'public P-256 key'],
      ['request.json', 'key registration'],
    ]) {
      const { stderr } = await commands.run(['verify', '--challenge', 'c0ffee', '--in', join(out, String(name))]);
      expect(stderr).toContain(`${name} is not an attestation statement; it was recognized as: `);
      expect(stderr).toContain(what);
      expect(stderr).toContain('use the attestation.json of keyprov create --out');
    }
    const letter = join(directory.path, 'letter');
    writeFileSync(letter, 'Dear Ada');
    const { stderr } = await commands.run(['verify', '--challenge', 'c0ffee', '--in', letter]);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      `${letter} is not an attestation statement; use the attestation.json`,
    );
  });

  it('are told with the next step', async () => {
    using directory = temporaryDirectory();
    const path = (name: string): string => join(directory.path, name);
    writeFileSync(path('letter'), 'x');
    writeFileSync(path('pin'), '731902', { mode: 0o600 });
    writeFileSync(path('wrong'), '000000', { mode: 0o600 });
    const create = ['create', '--tpm', 'none', '--pin-file', path('pin'), '--store'];
    for (const store of ['one', 'two', 'two']) expect((await commands.run([...create, path(store)])).status).toBe(0);
    const sign = ['sign', '--in', path('letter'), '--store'];
    mkdirSync(path('none'), { mode: 0o700 });
    const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
      [
        ['status', '--store', path('none')],
        /^there is no key in \S+; make one with keyprov create or keyprov provision$/m,
      ],
      [['status', '--store', path('one'), '--user', 'eve'], /^there is no such key in .*; omit --key, --user and --d/m],
      [
        [...sign, path('one'), '--user', 'eve'],
        /has no key of eve; list the store's keys \(keyprov status --store \S+\), or/,
      ],
      [
        [...sign, path('one'), '--key', 'ngc-0'],
        /has no key ngc-0; list the store's keys \(keyprov status --store \S+\), or/,
      ],
      [
        [...sign, path('two')],
        /match: ngc-\w+, ngc-\w+; select one with --key, or --user and --device-id; keyprov status --store \S+ shows/,
      ],
      [[...sign, path('one')], /^keyprov: no PIN: .*--pin-file/m],
      [
        [...sign, path('one'), '--pin-file', path('wrong')],
        /is wrong; 4 tries are left before a wait; try again with the right PIN\nkeyprov: if you forgot the PIN of a registered key, use keyprov reset/,
      ],
      [
        [...sign, path('one'), '--pin-file', '731902'],
        /^keyprov: the PIN file does not exist; its name is not shown, .*; pass a file that contains the PIN, or - for standard/m,
      ],
    ];
    for (const [args, next] of mistakes) {
      const { status, stdout, stderr } = await commands.run(args);
      expect(stdout + stderr).toMatch(next);
      expect(stdout + stderr).not.toContain('731902');
      expect([5, 7]).toContain(status);
    }
  });
});
