import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, utf8 } from '../../src/bytes.ts';
import { deriveAuthValue } from '../../src/keys/pin-derivation.ts';
import { listHandles } from '../../src/tpm/capabilities.ts';
import { FlushContext } from '../../src/tpm/commands/context.ts';
import { TPM_HT } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../integration/support/local-swtpm.ts';
import { environment, keyprov, temporaryDirectory } from './support/keyprov.ts';

/** Debian's own, which has python3-tpm2-pytss. */
const PYTHON = '/usr/bin/python3';
const PROVIDERS = ['-provider', 'tpm2', '-provider', 'base', '-provider', 'default'];
const ALGORITHMS = ['rsa-2048', 'p-256', 'p-384'];
const PIN = '550217';

const withoutSwtpm = missingPrograms('swtpm');
const hasProvider = 'test -e "$(openssl version -m | cut -d\\" -f2)/tpm2.so"';
const withoutOpenssl = withoutSwtpm ?? absent('tpm2-openssl', 'sh', ['-c', hasProvider]);
const withoutPytss = withoutSwtpm ?? absent('python3-tpm2-pytss', PYTHON, ['-c', 'import tpm2_pytss.tsskey']);

/** Why something is missing, unless it must be there. */
function absent(what: string, command: string, args: string[]): string | undefined {
  if (spawnSync(command, args).status === 0 || process.env.CI === 'true') return undefined;
  console.warn(`skipped: ${what} not installed`);
  return what;
}

describe.skipIf(withoutSwtpm)('a key that keyprov provision has written', () => {
  const directory = temporaryDirectory();
  const path = (...names: string[]) => join(directory.path, ...names);
  let swtpm: SwtpmProcess;
  let env: Record<string, string>;

  beforeAll(async () => {
    swtpm = await startSwtpm();
    env = { TPM2OPENSSL_TCTI: `swtpm:path=${swtpm.address.replace('swtpm:unix:', '')}` };
    writeFileSync(path('data'), 'signed by another program');
    writeFileSync(path('digest'), spawnSync('openssl', ['dgst', '-sha256', '-binary', path('data')]).stdout);
    for (const algorithm of ALGORITHMS) {
      const args = ['provision', '--tpm', swtpm.address, '--hardware', 'required', '--algorithm', algorithm, '--out'];
      expect(keyprov([...args, path(algorithm)]).status).toBe(0);
      expect(keyprov([...args, path(`${algorithm}-pin`), '--pin-file', '-'], { input: PIN }).status).toBe(0);
    }
  });
  afterAll(async () => {
    await swtpm.stop();
    directory[Symbol.dispose]();
  });

  /** tpm2-pytss leaves in the TPM what it has loaded. */
  afterEach(async () => {
    await using tpm = await openTpm(swtpm.address);
    for (const flushHandle of await listHandles(tpm, TPM_HT.TRANSIENT)) await tpm.run(FlushContext, { flushHandle });
  });

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
    'signs in OpenSSL with what the record makes of the PIN: %s',
    async (algorithm) => {
      const key = `${algorithm}-pin`;
      const { pinDerivation } = JSON.parse(readFileSync(path(key, 'record.json'), 'utf8'));
      const value = await deriveAuthValue(utf8(PIN), { ...pinDerivation, salt: fromHex(pinDerivation.salt) });
      writeFileSync(path('password'), value);
      expect(opensslSigns(key, '-passin', `file:${path('password')}`)).toBe(true);
      expect(verified(key)).toBe('Verified OK\n');
    },
  );

  it.skipIf(withoutPytss).each(ALGORITHMS)('is loaded by tpm2-pytss: %s', (algorithm) => {
    const script = `
import sys
from tpm2_pytss import ESAPI, TCTILdr
from tpm2_pytss.tsskey import TSSPrivKey
name, conf = sys.argv[2].split(":", 1)
with ESAPI(TCTILdr(name, conf)) as esapi:
    handle = TSSPrivKey.from_pem(open(sys.argv[1], "rb").read()).load(esapi)
    public = esapi.read_public(handle)[0]
    print(public.to_pem().decode(), end="")`;
    const args = ['-c', script, path(algorithm, 'key.pem'), env.TPM2OPENSSL_TCTI ?? ''];
    const { stdout, stderr } = spawnSync(PYTHON, args, { encoding: 'utf8', env: environment() });
    expect({ stdout, stderr }).toEqual({ stdout: readFileSync(path(algorithm, 'public.pem'), 'utf8'), stderr: '' });
  });
});
