import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import type { KeyprovError } from '../../src/errors.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { bundle } from './support/bundle.ts';
import { failureOf } from './support/failure.ts';
import { isRunning } from './support/is-running.ts';
import { CREATE_ECC, codeOf, createRsa } from './support/raw-commands.ts';
import { socketOf } from './support/swtpm-address.ts';

const missing = missingPrograms('swtpm');

describe.skipIf(missing)('startSwtpm', () => {
  it.each(['unix', 'tcp'] as const)(
    'starts 50 over %s, 8 at a time, each with its own address and keys',
    async (listen) => {
      const keys = new Set<string>();
      const addresses = new Set<string>();
      let left = 50;
      const worker = async () => {
        while (left-- > 0) {
          await using swtpm = await startSwtpm({ listen });
          await using transport = await swtpm.open();
          addresses.add(`${swtpm.address} ${swtpm.pid}`);
          keys.add(toHex(await transport.send(CREATE_ECC)));
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      expect(addresses.size).toBe(50);
      expect(keys.size).toBe(50);
    },
  );

  it('uses a TCP port below 32768 and the next one for control', async () => {
    await using swtpm = await startSwtpm({ listen: 'tcp' });
    const { data, control } = swtpm;
    if ('path' in data || 'path' in control) expect.fail('not TCP');
    expect(data.host).toBe('127.0.0.1');
    expect(data.port).toBeLessThan(32_767);
    expect(control).toEqual({ host: '127.0.0.1', port: data.port + 1 });
  });

  it('ends the process and removes temporary files at stop', async () => {
    const swtpm = await startSwtpm();
    const directory = dirname(socketOf(swtpm));
    expect(readdirSync(directory).sort()).toEqual(['log', 'pid', 'state', 'tpm', 'tpm.ctrl']);
    expect(isRunning(swtpm.pid)).toBe(true);
    await Promise.all([swtpm.stop(), swtpm.stop()]);
    expect(isRunning(swtpm.pid)).toBe(false);
    expect(existsSync(directory)).toBe(false);
    await swtpm.stop();
  });

  it('ends it also while a client is there and a command runs', async () => {
    const swtpm = await startSwtpm();
    const transport = await swtpm.open();
    const outcome = transport.send(createRsa(1)).then(codeOf, (error: KeyprovError) => error.code);
    await swtpm.stop();
    expect([0, 'transport-lost']).toContain(await outcome);
    expect(isRunning(swtpm.pid)).toBe(false);
    await transport.close();
  });

  it('keeps the state in a directory that was named: the same key after a restart', async () => {
    using directory = temporaryDirectory();
    const stateDirectory = join(directory.path, 'new');
    const keys = new Set<string>();
    for (let start = 0; start < 3; start++) {
      await using swtpm = await startSwtpm({ stateDirectory });
      await using transport = await swtpm.open();
      // Handle, session area and creation data are the same every time; so is a deterministic primary key.
      keys.add(toHex(await transport.send(CREATE_ECC)));
    }
    expect(keys.size).toBe(1);
    expect(readdirSync(stateDirectory)).toContain('tpm2-00.permall');
  });

  it('refuses a state directory that another TPM uses', async () => {
    using directory = temporaryDirectory();
    await using _first = await startSwtpm({ stateDirectory: directory.path });
    const error = await failureOf(startSwtpm({ stateDirectory: directory.path }));
    expect(error.code).toBe('state-in-use');
    expect(error.message).toContain('Could not lock access to lockfile');
  });

  it('refuses a state that is damaged, and leaves it alone', async () => {
    using directory = temporaryDirectory();
    const file = join(directory.path, 'tpm2-00.permall');
    writeFileSync(file, 'no state');
    const error = await failureOf(startSwtpm({ stateDirectory: directory.path }));
    expect(error.code).toBe('state-invalid');
    expect(error.message).toContain(directory.path);
    expect(readFileSync(file, 'utf8')).toBe('no state');
  });

  it('refuses a state directory that is a file', async () => {
    using directory = temporaryDirectory();
    const file = join(directory.path, 'file');
    writeFileSync(file, '');
    expect((await failureOf(startSwtpm({ stateDirectory: file }))).code).toBe('state-io');
  });

  it('refuses a path that swtpm would take for options', async () => {
    await expect(startSwtpm({ stateDirectory: '/tmp/x,mode=0777' })).rejects.toBeInstanceOf(RangeError);
  });

  it('shows the output of a swtpm that ended at once', async () => {
    using directory = temporaryDirectory();
    const executable = join(directory.path, 'swtpm');
    writeFileSync(executable, '#!/bin/sh\necho "swtpm: some reason" >&2\nexit 3\n', { mode: 0o755 });
    const error = await failureOf(startSwtpm({ executable }));
    expect(error.code).toBe('transport-unreachable');
    expect(error.message).toBe('swtpm: ended with exit code 3: swtpm: some reason');
  });

  it('leaves nothing behind when it fails or is aborted', async () => {
    using directory = temporaryDirectory();
    const before = process.env.TMPDIR;
    process.env.TMPDIR = directory.path;
    try {
      const stateDirectory = join(directory.path, 'state');
      mkdirSync(stateDirectory);
      writeFileSync(join(stateDirectory, 'tpm2-00.permall'), 'no state');
      await failureOf(startSwtpm({ stateDirectory }));
      await expect(startSwtpm({ signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
      const abort = new AbortController();
      const starting = startSwtpm({ signal: abort.signal });
      setImmediate(() => abort.abort('enough'));
      await expect(starting).rejects.toBe('enough');
      expect(readdirSync(directory.path)).toEqual(['state']);
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    }
  });

  it('uses another TCP port if the first one is taken', async () => {
    using directory = temporaryDirectory();
    const executable = join(directory.path, 'swtpm');
    const log = join(directory.path, 'ports');
    const firstFails = `echo "$8" >> '${log}'; [ $(wc -l < '${log}') -gt 2 ] && exec swtpm "$@"`;
    writeFileSync(executable, `#!/bin/sh\n${firstFails}\necho 'Address already in use' >&2\nexit 1\n`, { mode: 0o755 });
    await using swtpm = await startSwtpm({ executable, listen: 'tcp' });
    const tried = readFileSync(log, 'utf8').trim().split('\n');
    expect(new Set(tried).size).toBe(3);
    expect(`swtpm:127.0.0.1:${tried[2]?.replace('type=tcp,port=', '')}`).toBe(swtpm.address);
  });

  it('ends with its parent, also when that is killed, and even if it does not react to SIGTERM', async () => {
    using script = await bundle('test/integration/children/swtpm-parent.ts');
    for (const [signal, isStuck] of [['SIGKILL'], ['SIGTERM'], ['SIGKILL', true]] as const) {
      const parent = spawn(process.execPath, [script.path], { stdio: ['pipe', 'pipe', 'inherit'] });
      const [line] = await once(createInterface({ input: parent.stdout }), 'line');
      const { pid, path }: { pid: number; path: string } = JSON.parse(line);
      expect(isRunning(pid)).toBe(true);
      if (isStuck) process.kill(pid, 'SIGSTOP');
      parent.kill(signal);
      await once(parent, 'exit');
      await expect.poll(() => isRunning(pid), { timeout: 60_000 }).toBe(false);
      await expect.poll(() => existsSync(dirname(path)), { timeout: 60_000 }).toBe(false);
    }
  });
});

describe('startSwtpm without swtpm', () => {
  it.each([
    ['keyprov-has-no-such-program', 'there is no keyprov-has-no-such-program in PATH'],
    ['/nonexistent/swtpm', '/nonexistent/swtpm does not exist'],
    ['/dev/null', '/dev/null is not an executable program'],
  ])('says how to get it: %s', async (executable, said) => {
    const error = await failureOf(startSwtpm({ executable }));
    expect(error.code).toBe('library-missing');
    expect(error.message).toBe(said);
    expect(error.remedy).toBe('install it (Debian: apt-get install swtpm)');
  });
});
