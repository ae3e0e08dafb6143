import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { openDevice } from '../../src/tpm/transports/device.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { CREATE_ECC, codeOf, GET_RANDOM } from './support/raw-commands.ts';
import { socketOf } from './support/swtpm-address.ts';

// Tests that need a kernel TPM device are in test/qemu.

describe('openDevice', () => {
  it('reports a missing device', async () => {
    const error = await failureOf(openDevice({ path: '/dev/keyprov-has-no-such-device' }));
    expect(error.code).toBe('no-tpm');
    expect(error.message).toContain('device:/dev/keyprov-has-no-such-device: there is no such device');
  });

  it('says who may use it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
    mkdirSync(join(directory, 'closed'), { mode: 0o000 });
    // Root may do everything: be somebody else for the moment.
    const wasRoot = process.geteuid?.() === 0;
    if (wasRoot) {
      chmodSync(directory, 0o755);
      process.seteuid?.(65_534);
    }
    try {
      const error = await failureOf(openDevice({ path: join(directory, 'closed', 'tpmrm0') }));
      expect(error.code).toBe('transport-permission');
      expect(error.remedy).toBe('join the group that owns the device (usually tss)');
    } finally {
      if (wasRoot) process.seteuid?.(0);
      rmSync(directory, { recursive: true });
    }
  });

  it('refuses a path that is not a character device, and does not open it', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
    try {
      const file = join(directory, 'tpmrm0');
      writeFileSync(file, '');
      for (const path of [directory, file]) {
        expect((await failureOf(openDevice({ path }))).code).toBe('address-invalid');
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each([
    ['/dev/null', 'transport-protocol', 'the response has only 0 bytes'],
    ['/dev/zero', 'transport-protocol', 'the response announces an impossible 0 bytes'],
    ['/dev/full', 'transport-lost', 'writing failed (ENOSPC); the outcome is unknown'],
  ])('says that %s is not a TPM, and is dead from then on', async (path, code, message) => {
    await using transport = await openDevice({ path });
    expect(transport).toMatchObject({ kind: 'device', address: `device:${path}`, emulator: false, managed: false });
    const error = await failureOf(transport.send(GET_RANDOM));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-lost');
    await transport.close();
    await transport.close();
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-closed');
  });
});

describe.skipIf(missingPrograms('swtpm', 'python3'))('a character device with a TPM behind it', () => {
  it('sends complete commands and returns complete answers, in any number of pieces', async () => {
    await using swtpm = await startSwtpm();
    const bridge = spawn('python3', ['test/integration/children/pty_device.py', socketOf(swtpm)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [path] = await once(createInterface({ input: bridge.stdout }), 'line');
      await using transport = await openDevice({ path });
      for (let i = 0; i < 20; i++) {
        expect(toHex((await transport.send(GET_RANDOM)).subarray(0, 12))).toBe('800100000014000000000008');
      }
      const created = await transport.send(CREATE_ECC);
      expect(codeOf(created)).toBe(0);
      expect(created.length).toBeGreaterThan(200);
      expect(created.constructor).toBe(Uint8Array);
    } finally {
      bridge.kill();
      await once(bridge, 'exit');
    }
  });
});
