import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { tctiOf } from '../integration/support/swtpm-address.ts';
import { missingPrograms, toolEnvironment } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines();
describe.skipIf(missingPrograms('swtpm', 'tpm2_createprimary', 'tpm2_getcap') !== undefined)('keyprov tpm', () => {
  let swtpm: SwtpmProcess;
  let address: string;
  beforeAll(async () => {
    swtpm = await startSwtpm();
    address = swtpm.address;
  });
  afterAll(() => swtpm?.[Symbol.asyncDispose]());

  function tool(name: string, ...args: string[]): string {
    const env = { ...toolEnvironment(), TPM2TOOLS_TCTI: tctiOf(swtpm) };
    const { status, stdout, stderr } = spawnSync(name, args, { env, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    return stdout;
  }

  it('lists what another program has left, and flushes it on request', async () => {
    using directory = temporaryDirectory();
    const at = (name: string) => `${directory.path}/${name}`;
    tool('tpm2_createprimary', '-C', 'o', '-G', 'ecc', '-c', at('a.ctx'));
    tool('tpm2_createprimary', '-C', 'e', '-G', 'rsa', '-c', at('b.ctx'));
    tool('tpm2_startauthsession', '-S', at('session.ctx'));
    const listed = await commands.run(['tpm', '--tpm', address]);
    expect(listed).toMatchObject({ status: 0, stderr: '' });
    expect(listed.stdout.split('\n')).toEqual([
      '0x80000000  object          P-256 storage key, from another program',
      '0x80000001  object          RSA-2048 storage key, from another program',
      expect.stringMatching(/^0x0[23]00000[0-9a-f] {2}saved session {3}HMAC or policy, from another program$/),
      expect.stringMatching(
        /^PIN tries: 0 of \d+ wrong tries, \d+ left; the count decreases by one every \d+ seconds$/,
      ),
      '',
    ]);
    expect(tool('tpm2_getcap', 'handles-transient')).toBe('- 0x80000000\n- 0x80000001\n');

    const { json } = await commands.onlyJson(['tpm', '--tpm', address, '--flush', '0x80000000']);
    expect(json).toMatchObject({
      entries: [
        { handle: '0x80000000', kind: 'object', what: 'P-256 storage key', ours: false, flushed: true },
        { handle: '0x80000001', flushed: false },
        { kind: 'saved session', flushed: false },
      ],
    });
    expect(tool('tpm2_getcap', 'handles-transient')).toBe('- 0x80000001\n');

    expect((await commands.run(['tpm', '--tpm', address, '--flush-all'])).stdout).toMatch(
      /^0x80000001 .*: flushed\n.*: flushed\nPIN tries: .*\n$/,
    );
    expect((await commands.run(['tpm', '--tpm', address])).stdout).toMatch(
      /^no transient objects, no sessions\nPIN tries: /,
    );
    expect(tool('tpm2_getcap', 'handles-transient') + tool('tpm2_getcap', 'handles-saved-session')).toBe('');
  });

  it('refuses an invalid handle, and one that the TPM does not have', async () => {
    const { status, stderr } = await commands.run(['tpm', '--tpm', address, '--flush', 'all']);
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining('--flush needs a handle') });
    const missing = await commands.run(['tpm', '--tpm', address, '--flush', '0x80000009']);
    expect(missing.status).not.toBe(0);
    expect(missing.stderr).toContain('the TPM has nothing at 0x80000009');
  });
});
