import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { verifyRegistrationResponse } from '@simplewebauthn/server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeStatement, verifyStatement } from '../../src/attestation/index.ts';
import { fromBase64, fromHex, toBase64Url, toHex } from '../../src/bytes.ts';
import { encodeJwk } from '../../src/crypto/jwk.ts';
import { decodeSpkiPem, encodeSpki, type PublicKey } from '../../src/crypto/public-key.ts';
import { computeAcmeExtraData, parseAcmeDeviceAttest } from '../../src/formats/services/acme-device-attest.ts';
import { parseWebauthnRegistration, verifyWebauthnTpm } from '../../src/formats/webauthn/index.ts';
import { findNgcAssertionProblem } from '../../src/formats/windows/ngc-assertion.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { rsaKey } from '../signing-key.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { requestCertificates } from './support/request-certificates.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
const PIN = '731902';
const USER = 'ada@contoso.example';
const DEVICE = '47f577e3-d2d0-4a0a-8aca-000000000001';

describe.skipIf(missing)('a key in a TPM', () => {
  const directory = temporaryDirectory();
  const path = (name: string) => join(directory.path, name);
  const tpm = `libtpms:${path('tpm')}`;
  const out = path('out');
  let publicKey: PublicKey;

  /** Runs `request` or `attest` with a file as output, and with the PIN if it is needed. */
  async function make(
    command: 'request' | 'attest',
    format: string,
    key: string,
    ...more: readonly string[]
  ): Promise<Buffer> {
    rmSync(out, { force: true });
    const args = [command, '--format', format, '--store', path(key), '--tpm', tpm, '--out', out, ...more];
    const { status, stderr, stdout } = await commands.run(args, { input: PIN });
    expect({ status, stdout }, stderr).toEqual({ status: 0, stdout: '' });
    return readFileSync(out);
  }
  const withPin = ['--pin-file', '-'];
  const inspected = async () =>
    (await commands.onlyJson(['inspect', out])).json as { format: string; problems: readonly string[] };
  const tool = (command: string, ...args: readonly string[]) => {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    });
    if (error !== undefined) throw error;
    return { status, text: stdout + stderr };
  };

  beforeAll(async () => {
    const args = ['create', '--tpm', tpm, '--challenge', 'aa', '--user', USER, '--device-id', DEVICE, '--out'];
    expect((await commands.run([...args, path('rsa'), ...withPin], { input: PIN })).status).toBe(0);
    expect((await commands.run([...args, path('ec'), '--algorithm', 'p-256'])).status).toBe(0);
    publicKey = decodeSpkiPem(readFileSync(path('rsa/public.pem'), 'utf8'));
    const { ak, exchange } = await requestCertificates(path('rsa/attestation.json'));
    writeFileSync(path('ak.pem'), ak);
    writeFileSync(path('exchange.pem'), exchange);
  });
  afterAll(() => directory[Symbol.dispose]());

  it.each([
    ['strict', 'rsa', 'key-registration'],
    ['attested', 'rsa', 'key-registration'],
    ['attested', 'ec', 'key-registration'],
    ['kast', 'rsa', 'kast'],
    ['kast', 'ec', 'kast'],
    ['go-attestation', 'ec', 'go-certification-parameters'],
    ['go-attestation-ak', 'ec', 'go-attestation-parameters'],
    ['statement', 'ec', 'attestation-statement'],
    ['key-credential-link', 'rsa', 'key-credential-link'],
    ['ssh', 'ec', 'ssh-public-key'],
    ['jwk', 'rsa', 'jwk'],
    ['spki', 'ec', 'spki'],
    ['cose', 'rsa', 'cose-key'],
    ['cng', 'ec', 'cng-blob'],
  ])('is written as %s, the %s key too, without the PIN, and inspect knows it', async (format, key, name) => {
    await make('request', format, key);
    const read = { ok: true, format: name, problems: [] };
    expect(await inspected()).toMatchObject(read);
    expect((await commands.onlyJson(['inspect', out, '--as', format])).json).toMatchObject(read);
  });

  it.each(['rsa', 'ec'])('is written as the same request that create wrote, from its statement: %s', async (key) => {
    const statement = ['--statement', path(`${key}/attestation.json`)];
    const written = readFileSync(path(`${key}/request.json`), 'utf8');
    expect((await make('request', 'attested', key, ...statement)).toString().trim()).toBe(written);
    expect((await make('request', 'attested', key)).toString().trim()).not.toBe(written);
  });

  it.each(['attested', 'kast', 'go-attestation', 'csr-lamps', 'statement'])(
    'is not mixed with the statement of another key: %s',
    async (format) => {
      const args = ['request', '--format', format, '--store', path('ec'), '--tpm', tpm];
      const { status, json } = await commands.onlyJson([...args, '--statement', path('rsa/attestation.json')]);
      expect({ status, json }).toMatchObject({
        status: 2,
        json: { error: { message: expect.stringContaining('--statement is about another key, not the key ') } },
      });
    },
  );

  it('is attested again for a request, over a given or random challenge', async () => {
    const args = ['request', '--format', 'statement', '--store', path('ec'), '--tpm', tpm];
    const over = (json: unknown) => {
      const { content, challenge } = Object(json);
      const { certInfo } = decodeStatement(JSON.parse(content));
      expect(toHex(decode(TPMS_ATTEST, certInfo).extraData)).toBe(challenge);
      return challenge;
    };
    expect(over((await commands.onlyJson([...args, '--challenge', 'c0ffee'])).json)).toBe('c0ffee');
    expect(over((await commands.onlyJson(args)).json)).toMatch(/^[0-9a-f]{64}$/);
    const strict = await commands.onlyJson([
      'request',
      '--format',
      'strict',
      '--store',
      path('rsa'),
      '--statement',
      path('x'),
    ]);
    expect(strict).toMatchObject({ status: 2 });
  });

  it.each([
    ['csr', 'rsa'],
    ['csr', 'ec'],
    ['csr-lamps', 'rsa'],
    ['csr-lamps', 'ec'],
    ['csr-wcce', 'rsa'],
    ['csr-wcce', 'ec'],
  ])('is asked a certificate for with %s, and openssl req accepts the %s one', async (format, key) => {
    const exchange = format === 'csr-wcce' ? ['--exchange-certificate', path('exchange.pem')] : [];
    await make('request', format, key, ...withPin, ...exchange);
    const { status, text } = tool('openssl', 'req', '-in', out, '-verify', '-noout', '-subject', '-pubkey');
    expect(status, text).toBe(0);
    expect(text).toContain('Certificate request self-signature verify OK');
    expect(text).toContain(`subject=CN = ${USER}`);
    expect(text).toContain(readFileSync(path(`${key}/public.pem`), 'utf8'));
    expect(await inspected()).toMatchObject({ format: 'certificate-request', problems: [] });
  });

  it('is asked a certificate for by AD CS with the certificate of its attestation key', async () => {
    const files = ['--exchange-certificate', path('exchange.pem'), '--ak-certificate', path('ak.pem')];
    await make('request', 'csr-wcce', 'rsa', ...withPin, ...files);
    const { text } = tool('openssl', 'req', '-in', out, '-verify', '-noout', '-text');
    expect(text).toContain('1.3.6.1.4.1.311.21.39'); // AIK_INFO
    expect(JSON.stringify(await inspected())).toContain('attestation key, encrypted');
  });

  it('signs a certificate for key trust that openssl verifies', async () => {
    const [sid, tenant] = ['S-1-5-21-1-2-3-1001', '383a3889-5bc9-47a3-846c-000000000001'];
    await make('request', 'pkinit', 'ec', '--sid', sid, '--tenant-id', tenant);
    const { status, text } = tool('openssl', 'x509', '-in', out, '-noout', '-subject');
    expect({ status, text }).toEqual({
      status: 0,
      text: `subject=CN = ${sid}/${DEVICE}/login.windows.net/${tenant}/${USER}\n`,
    });
    const verified = tool('openssl', 'verify', '-CAfile', out, '-check_ss_sig', out);
    expect(verified.text).toContain(': OK');
  });

  it('signs the assertion with which it signs in', async () => {
    const jwt = (await make('request', 'ngc-assertion', 'rsa', ...withPin, '--nonce', 'the nonce')).toString().trim();
    const now = Math.floor(Date.now() / 1000);
    expect(findNgcAssertionProblem(jwt, { publicKey, nonce: 'the nonce', now })).toBe(undefined);
    const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ iss: USER, aud: 'common', scope: 'openid aza ugs' });
  });

  it('is read by ssh-keygen and openssl', async () => {
    await make('request', 'ssh', 'rsa');
    const ssh = tool('ssh-keygen', '-i', '-m', 'PKCS8', '-f', path('rsa/public.pem')).text.trim();
    expect(readFileSync(out, 'utf8')).toBe(`${ssh} ${USER}\n`);
    expect(tool('ssh-keygen', '-l', '-f', out).text).toMatch(/^2048 SHA256:.* ada@contoso\.example \(RSA\)\n$/);
    const pem = (await make('request', 'spki', 'rsa')).toString();
    expect(pem).toBe(readFileSync(path('rsa/public.pem'), 'utf8'));
    const jwk = JSON.parse((await make('request', 'jwk', 'rsa')).toString());
    expect(createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'pem', type: 'spki' })).toBe(pem);
  });

  it('is a DN-Binary value with --dn, and on standard output bytes are base64', async () => {
    const args = ['request', '--store', path('rsa'), '--format'];
    const { stdout } = await commands.run([...args, 'key-credential-link', '--dn', 'CN=ada,DC=contoso']);
    expect(stdout).toMatch(/^B:828:00020000[0-9A-F]+:CN=ada,DC=contoso\n$/);
    const { json } = await commands.onlyJson([...args, 'cng']);
    const blob = (await commands.run([...args, 'cng'])).stdout.trim();
    expect(json).toMatchObject({ ok: true, format: 'cng', encoding: 'base64', content: blob });
    expect(Buffer.from(fromBase64(blob).subarray(0, 4)).toString()).toBe('RSA1');
  });

  it('is attested over another challenge, without its PIN', async () => {
    const challenge = fromHex('c0ffee'.repeat(8));
    const json = (await make('attest', 'statement', 'rsa', '--challenge', toHex(challenge))).toString();
    const statement = decodeStatement(JSON.parse(json));
    const attestationKey = { pubArea: statement.ak.pubArea };
    const expectedKey = { spki: encodeSpki(publicKey) };
    const { ok, findings } = verifyStatement(statement, { challenge, attestationKey, expectedKey });
    expect(findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(ok).toBe(true);
    await make('attest', 'kast', 'ec', '--challenge', 'c0ffee');
    expect(JSON.stringify(await inspected())).toContain('"value":"c0ffee"');
  });

  it('is attested for WebAuthn, and SimpleWebAuthn accepts it', async () => {
    const challenge = 'cf'.repeat(16);
    const options = ['--rp-id', 'login.example', '--origin', 'https://login.example', '--challenge', challenge];
    for (const key of ['rsa', 'ec']) {
      const response = JSON.parse(
        (await make('attest', 'webauthn', key, ...options, '--ak-certificate', path('ak.pem'))).toString(),
      );
      const { verified } = await verifyRegistrationResponse({
        response,
        expectedChallenge: toBase64Url(fromHex(challenge)),
        expectedOrigin: 'https://login.example',
        expectedRPID: 'login.example',
        requireUserVerification: key === 'rsa',
        supportedAlgorithmIDs: [-257, -7],
      });
      expect(verified).toBe(true);
      expect(await inspected()).toMatchObject({ format: 'webauthn-registration', problems: [] });
      const { findings } = await verifyWebauthnTpm(parseWebauthnRegistration(response), {
        ...{ challenge: fromHex(challenge), rpId: 'login.example', origins: ['https://login.example'] },
        ...{ minTier: 'virtual', requireUserVerification: key === 'rsa' },
      });
      const failed = findings.flatMap(({ id, status }) => (status === 'fail' ? [id] : []));
      expect(failed.filter((id) => /^webauthn|structures|challenge|signature/.test(id))).toEqual([]);
    }
    const args = [
      'request',
      '--format',
      'webauthn',
      '--store',
      path('rsa'),
      ...options,
      '--ak-certificate',
      path('ak.pem'),
    ];
    expect(await commands.onlyJson([...args, '--tpm', tpm, '--statement', path('rsa/attestation.json')])).toMatchObject(
      {
        status: 2,
        json: {
          error: { message: 'WebAuthn tpm object: the key was certified for other authenticator data or client data' },
        },
      },
    );
  });

  it('is attested for ACME over the digest of token and account key', async () => {
    const account = path('account.jwk');
    writeFileSync(account, JSON.stringify(encodeJwk(rsaKey.publicKey)));
    const options = ['--token', 'abc', '--account-key', account, '--ak-certificate', path('ak.pem')];
    const { certInfo, certificates } = parseAcmeDeviceAttest(
      (await make('attest', 'acme', 'ec', ...options)).toString(),
    );
    expect(toHex(decode(TPMS_ATTEST, certInfo).extraData)).toBe(toHex(computeAcmeExtraData('abc', rsaKey.publicKey)));
    expect(certificates.length).toBe(1);
    expect(await inspected()).toMatchObject({ format: 'acme-device-attest', problems: [] });
  });

  it('names the option and the file of an account key that is no JWK', async () => {
    const args = [
      'request',
      '--format',
      'acme',
      '--store',
      path('ec'),
      '--tpm',
      tpm,
      '--ak-certificate',
      path('ak.pem'),
    ];
    const pem = path('ec/public.pem');
    expect(await commands.onlyJson([...args, '--token', 'abc', '--account-key', pem])).toMatchObject({
      status: 7,
      json: {
        error: {
          message: expect.stringContaining(`--account-key: ${pem}: JWK: not JSON`),
          remedy: 'pass a public key as JSON Web Key (RFC 7517)',
        },
      },
    });
  });

  it('refuses what does not fit an attestation CA', async () => {
    const problemsOf = async (...options: string[]) =>
      (await commands.onlyJson(['request', '--store', path('ec'), '--tpm', tpm, ...options])).json.error;
    const url = ['--attestation-ca', 'https://ca.example'];
    expect(await problemsOf('--format', 'ssh', ...url)).toMatchObject({
      problems: ['--attestation-ca cannot be used with --format ssh'],
    });
    for (const format of ['kast', 'go-attestation', 'go-attestation-ak']) {
      expect(await problemsOf('--format', format, ...url)).toMatchObject({
        problems: [`--attestation-ca cannot be used with --format ${format}`],
      });
    }
    expect(await problemsOf('--format', 'statement', ...url, '--ak-certificate', path('ak.pem'))).toMatchObject({
      problems: ['--ak-certificate cannot be used with --attestation-ca'],
    });
    const connection = ['--proxy', 'http://proxy.example', '--service-ca', path('ak.pem'), '--ek-service'];
    expect(await problemsOf('--format', 'statement', ...connection)).toMatchObject({
      problems: ['ek-service', 'service-ca', 'proxy'].map((name) => `--${name} works only with --attestation-ca`),
    });
    for (const format of ['ssh', 'kast']) {
      expect(await problemsOf('--format', format, ...connection)).toMatchObject({
        problems: ['ek-service', 'service-ca', 'proxy'].map(
          (name) => `--${name} cannot be used with --format ${format}`,
        ),
      });
    }
  });

  it.each([
    ['csr', ['name', 'for-user'], '--for-user cannot be used with --name'],
    ['acme', ['challenge', 'token'], '--token cannot be used with --challenge'],
    ['acme', ['statement', 'account-key'], '--account-key cannot be used with --statement'],
    ['kast', ['statement', 'challenge'], '--challenge cannot be used with --statement'],
    ['csr-wcce', ['ak-certificate', 'ek-certificate'], '--ek-certificate cannot be used with --ak-certificate'],
    ['csr-wcce', ['attestation-ca', 'ek-certificate'], '--ek-certificate cannot be used with --attestation-ca'],
  ])('refuses what has no effect on %s beside another option: %j', async (format, options, problem) => {
    const value = (option: string) => (option === 'attestation-ca' ? 'https://ca.example' : 'aa');
    const args = ['request', '--store', path('ec'), '--tpm', tpm, '--format', format];
    const { json } = await commands.onlyJson([...args, ...options.flatMap((name) => [`--${name}`, value(name)])]);
    const problems = (json.error as { problems: string[] }).problems.filter((one) => one.includes(' cannot be used '));
    expect(problems).toEqual([problem]);
  });

  it('fails as a service if the attestation CA does', async () => {
    const server = createServer((_, response) => response.writeHead(500).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${Object(server.address()).port}`;
    const args = ['attest', '--format', 'statement', '--challenge', 'aa', '--store', path('ec'), '--tpm', tpm];
    const { status, json } = await commands.json([...args, '--attestation-ca', url]);
    server.close();
    expect({ status, json }).toMatchObject({ status: 13, json: { error: { code: 'service-unreachable' } } });
  });

  it('names only its own options if the proxy is not a URL', async () => {
    const args = ['attest', '--format', 'statement', '--challenge', 'aa', '--store', path('ec'), '--tpm', tpm];
    const connection = ['--attestation-ca', 'https://ca.example', '--proxy', 'nonsense'];
    const problems = ['--service-ca, --proxy: the proxy is not an http or https URL'];
    expect((await commands.json([...args, ...connection])).json).toMatchObject({ error: { code: 'usage', problems } });
  });

  it('refuses a certificate of another attestation key', async () => {
    const args = ['request', '--format', 'csr-lamps', '--store', path('ec'), '--tpm', tpm];
    const { status, json } = await commands.onlyJson([...args, '--ak-certificate', path('exchange.pem')]);
    expect(status).toBe(2);
    expect(json).toMatchObject({
      error: { message: '--ak-certificate does not belong to the attestation key of the statement' },
    });
  });

  it.each([
    ['request', ['--format', 'csr'], 5, 'pin-required'],
    ['request', ['--format', 'csr-lamps', '--ak-certificate', '/nowhere'], 7, 'store-io'],
    ['request', ['--format', 'statement', '--ak-certificate', 'package.json'], 7, 'certificate-invalid'],
  ] as const)('is not used: %s %j', async (command, args, exit, code) => {
    const { status, json } = await commands.onlyJson([command, ...args, '--store', path('rsa'), '--tpm', tpm]);
    expect({ status, json }).toMatchObject({ status: exit, json: { ok: false, error: { code } } });
  });

  it.each([
    [
      'request',
      'ec',
      ['--format', 'strict'],
      /^keyprov: key registration: kngc: it is a P-256 key; use an RSA-2048 key/m,
    ],
    [
      'request',
      'ec',
      ['--format', 'ngc-assertion', '--nonce', 'n'],
      /^keyprov: RS256 cannot be used with this EC key/m,
    ],
    [
      'request',
      'ec',
      ['--format', 'pkinit', '--sid', 'x', '--tenant-id', 'y'],
      /the sid "x" is not a SID such as S-1-5-21-/,
    ],
    ['request', 'ec', ['--format', 'webauthn'], /--rp-id is missing.*--origin is missing.*--challenge is missing/s],
    [
      'request',
      'ec',
      ['--format', 'csr', '--challenge', 'aa', '--sid', 'x'],
      /--challenge cannot be used with --format csr.*--sid cannot be used with --format csr/s,
    ],
    ['request', 'ec', ['--format', 'csrr'], /did you mean 'csr'\?/],
    ['request', 'ec', [], /--format is missing: it is one of strict, attested, .*, cng/],
    ['attest', 'ec', [], /--format is missing: it is one of .*statement/],
    [
      'attest',
      'ec',
      ['--format', 'statement'],
      /--challenge is missing: this command needs it with --format statement/,
    ],
    [
      'attest',
      'ec',
      ['--format', 'ssh', '--challenge', 'aa'],
      /--format 'ssh' is unknown here; --formats lists the names/,
    ],
  ] as const)('is not made: %s of %s %j', async (command, key, args, problem) => {
    const { status, stdout, stderr } = await commands.run([command, '--store', path(key), '--tpm', tpm, ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(problem);
  });
});

describe('a software key', () => {
  it('has requests without attestation, signed without a TPM', async () => {
    using directory = temporaryDirectory();
    const dir = join(directory.path, 'key');
    const provisioned = ['create', '--tpm', 'none', '--algorithm', 'p-256', '--user', 'ada', '--out', dir];
    expect((await commands.run(provisioned)).status).toBe(0);
    const csr = await commands.run(['request', '--format', 'csr', '--store', dir]);
    expect(csr.status).toBe(0);
    expect(csr.stdout).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----\n/);
    const attested = await commands.run(['request', '--format', 'attested', '--store', dir]);
    expect(JSON.parse(attested.stdout)).toMatchObject({ AttestationData: '', AikCertificate: '' });
    expect(attested.stderr).not.toMatch(/attested over/);
    const kast = await commands.onlyJson(['request', '--format', 'kast', '--store', dir]);
    expect(kast).toMatchObject({ status: 3, json: { error: { code: 'attestation-unavailable' } } });
    const attest = await commands.onlyJson(['attest', '--format', 'kast', '--challenge', 'aa', '--store', dir]);
    expect(attest).toMatchObject({ status: 3, json: { error: { code: 'attestation-unavailable' } } });
  });
});
