import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type LocalSwtpm,
  missingPrograms,
  startLocalSwtpm,
  toolEnvironment,
} from '../integration/support/local-swtpm.ts';
import { commandLines } from './support/command-lines.ts';
import { temporaryDirectory } from './support/keyprov.ts';
import { startServiceWorld } from './support/service-world.ts';

const commands = commandLines({ cheapScrypt: true });

describe.skipIf(missingPrograms('swtpm', 'tpm2_createprimary') !== undefined)("a TPM full of others' objects", () => {
  let swtpm: LocalSwtpm;
  let directory: ReturnType<typeof temporaryDirectory>;
  beforeEach(async () => {
    swtpm = await startLocalSwtpm();
    directory = temporaryDirectory();
    writeFileSync(`${directory.path}/pin`, '731902', { mode: 0o600 });
    const env = { ...toolEnvironment(), TPM2TOOLS_TCTI: `swtpm:path=${swtpm.socket}` };
    for (let slot = 0; slot < 3; slot++) {
      const { status, stderr } = spawnSync('tpm2_createprimary', ['-G', 'ecc'], { env, encoding: 'utf8' });
      expect(status, stderr).toBe(0);
    }
  });
  afterEach(async () => {
    directory[Symbol.dispose]();
    await swtpm[Symbol.asyncDispose]();
  });

  it.each(['preferred', 'required'])(
    'ends a run before the user authenticates, with one advice: hardware %s',
    async (hardware) => {
      await using world = await startServiceWorld();
      const tpm = ['--tpm', `swtpm:unix:${swtpm.socket}`];
      const options = ['--hardware', hardware, '--algorithm', 'p-256', '--pin-file', `${directory.path}/pin`];
      const args = ['provision', ...world.runArgs, ...tpm, ...options, '--skip-prerequisites'];
      const { status, stderr } = await commands.run(args, { env: { SSH_CONNECTION: '' } });
      expect({ status, advice: stderr.match(/flush/g) }).toEqual({ status: 4, advice: ['flush'] });
      expect(stderr).toContain('flush a loaded object or session with `keyprov tpm`, which lists them, and try again');
      expect(stderr).not.toContain('Enter this code');
    },
  );
});
