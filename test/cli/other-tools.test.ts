import { spawnSync } from 'node:child_process';
import { verify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeBareSignature } from '../../src/attestation/index.ts';
import { fromHex, utf8 } from '../../src/bytes.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { deriveAuthValue } from '../../src/keys/pin-derivation.ts';
import { listHandles } from '../../src/tpm/capabilities.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { FlushContext } from '../../src/tpm/commands/context.ts';
import { TPM_HT } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { tctiOf } from '../integration/support/swtpm-address.ts';
import { missingIfFails, missingPrograms, PYTHON, pythonLacks } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { environment, keyprov } from './support/keyprov.ts';

const PROVIDERS = ['-provider', 'tpm2', '-provider', 'base', '-provider', 'default'];
const ALGORITHMS = ['rsa-2048', 'p-256', 'p-384'];
const PIN = '550217';

const withoutSwtpm = missingPrograms('swtpm');
const hasProvider = 'test -e "$(openssl version -m | cut -d\\" -f2)/tpm2.so"';
const withoutOpenssl = withoutSwtpm ?? missingIfFails('tpm2-openssl', 'sh', '-c', hasProvider);
const withoutPytss = withoutSwtpm ?? pythonLacks('tpm2_pytss.tsskey');

describe.skipIf(withoutSwtpm)('a key that keyprov create has written', () => {
  const directory = temporaryDirectory();
  const path = (...names: string[]) => join(directory.path, ...names);
  let swtpm: SwtpmProcess;
  let env: Record<string, string>;

  beforeAll(async () => {
    swtpm = await startSwtpm();
    env = { TPM2OPENSSL_TCTI: tctiOf(swtpm) };
    writeFileSync(path('data'), 'signed by another program');
    writeFileSync(path('digest'), spawnSync('openssl', ['dgst', '-sha256', '-binary', path('data')]).stdout);
    for (const algorithm of ALGORITHMS) {
      const args = ['create', '--tpm', swtpm.address, '--hardware', 'required', '--algorithm', algorithm, '--out'];
      expect(keyprov([...args, path(algorithm)]).status).toBe(0);
      expect(keyprov([...args, path(`${algorithm}-pin`), '--pin-file', '-'], { input: PIN }).status).toBe(0);
    }
  });
  afterAll(async () => {
    await swtpm.stop();
    directory[Symbol.dispose]();
  });

  /** tpm2-pytss leaves the objects that it loaded in the TPM. */
  afterEach(async () => {
    await using tpm = await openTpm(swtpm.address);
    for (const flushHandle of await listHandles(tpm, TPM_HT.TRANSIENT)) await tpm.run(FlushContext, { flushHandle });
  });

  /** The value that the key's record derives from a PIN. */
  async function authValueOf(key: string, pin: string): Promise<Uint8Array> {
    const [record] = (await (await openKeyStore(path(key))).list()).records;
    if (record?.pinDerivation === undefined) throw new Error(`no PIN derivation of ${key}`);
    return await deriveAuthValue(utf8(pin), record.pinDerivation);
  }

  /** Signs with OpenSSL's provider for TPMs. */
  function opensslSigns(key: string, ...more: string[]): boolean {
    const args = ['-inkey', path(key, 'key.pem'), '-in', path('digest'), '-out', path('signature'), ...more];
    const options = ['-pkeyopt', 'digest:sha256'];
    const { status } = spawnSync('openssl', ['pkeyutl', ...PROVIDERS, '-sign', ...args, ...options], {
      env: environment(env),
    });
    return status === 0;
  }

  const verified = (key: string): string =>
    spawnSync(
      'openssl',
      ['dgst', '-sha256', '-verify', path(key, 'public.pem'), '-signature', path('signature'), path('data')],
      { encoding: 'utf8' },
    ).stdout;

  it.skipIf(withoutOpenssl).each(ALGORITHMS)('signs in OpenSSL: %s', (key) => {
    expect(opensslSigns(key)).toBe(true);
    expect(verified(key)).toBe('Verified OK\n');
  });

  it.skipIf(withoutOpenssl).each(ALGORITHMS)(
    'signs in OpenSSL with the value that the record derives from the PIN: %s',
    async (algorithm) => {
      const key = `${algorithm}-pin`;
      writeFileSync(path('password'), await authValueOf(key, PIN));
      expect(opensslSigns(key, '-passin', `file:${path('password')}`)).toBe(true);
      expect(verified(key)).toBe('Verified OK\n');
    },
  );

  /** Loads the key with tpm2-pytss and signs. Returns the result. */
  function pytssSigns(key: string, password?: Uint8Array): unknown {
    const args = ['test/cli/support/tsskey_sign.py', path(key, 'key.pem'), env.TPM2OPENSSL_TCTI ?? ''];
    args.push(readFileSync(path('digest')).toString('hex'));
    if (password !== undefined) {
      writeFileSync(path('password'), password);
      args.push(path('password'));
    }
    const { stdout, stderr } = spawnSync(PYTHON, args, {
      encoding: 'utf8',
      env: environment({ TSS2_LOG: 'all+none' }),
    });
    expect(stderr).toBe('');
    const { publicKey, signature, refused } = JSON.parse(stdout);
    if (refused !== undefined) return { refused };
    const bare = encodeBareSignature(decode(TPMT_SIGNATURE, fromHex(signature)));
    return { publicKey, verified: verify('sha256', readFileSync(path('data')), publicKey, bare) };
  }

  it.skipIf(withoutPytss).each(ALGORITHMS)('signs in tpm2-pytss: %s', (key) => {
    const publicKey = readFileSync(path(key, 'public.pem'), 'utf8');
    expect(pytssSigns(key)).toEqual({ publicKey, verified: true });
  });

  it.skipIf(withoutPytss).each(ALGORITHMS)(
    'signs in tpm2-pytss with the value that the record derives from the PIN: %s',
    async (algorithm) => {
      const key = `${algorithm}-pin`;
      const publicKey = readFileSync(path(key, 'public.pem'), 'utf8');
      expect(pytssSigns(key, await authValueOf(key, PIN))).toEqual({ publicKey, verified: true });
    },
  );

  it.skipIf(withoutPytss)('does not sign in tpm2-pytss without the PIN, or with the value of another PIN', async () => {
    expect(pytssSigns('p-256-pin')).toEqual({ refused: 'no password specified but it is required' });
    const another = await authValueOf('p-256-pin', '550218');
    expect(pytssSigns('p-256-pin', another)).toEqual({ refused: '0x98e' });
  });
});
