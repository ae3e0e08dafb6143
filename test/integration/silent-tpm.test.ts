import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { isKeyprovError } from '../../src/errors.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm, type TpmOptions } from '../../src/tpm/tpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { openTbs } from '../../src/tpm/transports/tbs.ts';
import { missingPrograms } from '../programs.ts';
import { libtpmsMissing, openStarted } from './support/libtpms.ts';
import { startMssimStandIn } from './support/mssim-stand-in.ts';
import { createRsa, GET_RANDOM } from './support/raw-commands.ts';
import { socketOf, tctiOf } from './support/swtpm-address.ts';
import { buildTbsStandIn } from './support/tbs-stand-in.ts';

/** A TPM whose process can be stopped, so that it accepts commands and never answers. */
interface Place extends AsyncDisposable {
  readonly pid: number;
  open(options: TpmOptions): Promise<Tpm>;
}

async function swtpmAt(address: (swtpm: SwtpmProcess) => string): Promise<Place> {
  const swtpm = await startSwtpm();
  const place = address(swtpm);
  return {
    pid: swtpm.pid,
    open: (options) => openTpm(place, options),
    [Symbol.asyncDispose]: () => swtpm.stop(),
  };
}

const PLACES: Readonly<Record<string, () => Promise<Place>>> = {
  swtpm: () => swtpmAt(({ address }) => address),
  'swtpm with its control channel': async () => {
    const swtpm = await startSwtpm();
    return {
      pid: swtpm.pid,
      open: async (options) => await Tpm.open(await swtpm.open(), options),
      [Symbol.asyncDispose]: () => swtpm.stop(),
    };
  },
  'the simulator protocol': async () => {
    const simulator = await startMssimStandIn();
    return {
      pid: simulator.pid,
      open: (options) => openTpm(`mssim:127.0.0.1:${simulator.port}`, options),
      [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
    };
  },
  "tpm2-tss' TCTI loader": () => swtpmAt((swtpm) => `tcti:${tctiOf(swtpm)}`),
  'a character device': async () => {
    const swtpm = await startSwtpm();
    const bridge = spawn('python3', ['test/integration/children/pty_device.py', socketOf(swtpm)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [path] = await once(createInterface({ input: bridge.stdout }), 'line');
    return {
      pid: swtpm.pid,
      open: (options) => openTpm(`device:${path}`, options),
      async [Symbol.asyncDispose]() {
        bridge.kill();
        await once(bridge, 'exit');
        await swtpm.stop();
      },
    };
  },
  'a stand-in for TBS': async () => {
    const swtpm = await startSwtpm();
    const { library, remove } = buildTbsStandIn();
    process.env.TBS_SOCKET = socketOf(swtpm);
    return {
      pid: swtpm.pid,
      open: async (options) => await Tpm.open(await openTbs({ library }), options),
      async [Symbol.asyncDispose]() {
        delete process.env.TBS_SOCKET;
        remove();
        await swtpm.stop();
      },
    };
  },
};

const EMPTY = new Uint8Array(0);
const create = (tpm: Tpm) =>
  tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inPublic: srkTemplate('p-256'),
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    outsideInfo: EMPTY,
    creationPCR: [],
  });

/** Stops the process for the time of `work`. */
async function whileStopped(pid: number, work: () => Promise<void>): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  try {
    await work();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

// A failure here is an endless wait, which the test runner's time limit reveals.
describe.skipIf(missingPrograms('swtpm', 'python3', 'cc')).each(Object.entries(PLACES))(
  '%s, if the TPM accepts a command and never answers',
  (_, start) => {
    it('is given up when the time is up', async () => {
      await using place = await start();
      // The first command may be a query for the TPM's contents.
      const tpm = await place.open({ commandTimeouts: { keyGenerationMs: 2000, otherMs: 2000 } });
      await whileStopped(place.pid, async () => {
        await expect(create(tpm)).rejects.toMatchObject({
          code: 'transport-timeout',
          message: expect.stringMatching(
            /: TPM2_(?:CreatePrimary|GetCapability) was not answered within [\d.]+ s; the TPM may or may not have/,
          ),
        });
        await expect(create(tpm)).rejects.toMatchObject({ code: 'transport-lost' });
        await tpm.close();
      });
    });

    it('can be aborted, cleaned up after, and closed', async () => {
      await using place = await start();
      const tpm = await place.open({});
      const { objectHandle } = await create(tpm);
      await whileStopped(place.pid, async () => {
        const caller = new AbortController();
        const waiting = tpm.run(GetRandom, { bytesRequested: 8 }, { signal: caller.signal });
        await new Promise((resolve) => setImmediate(resolve));
        caller.abort(new Error('enough'));
        await expect(waiting).rejects.toThrow('enough');
        await objectHandle.flush();
        await tpm.close();
      });
    });

    it('can be closed, and the abort comes then', async () => {
      await using place = await start();
      const tpm = await place.open({});
      await whileStopped(place.pid, async () => {
        const caller = new AbortController();
        const waiting = tpm.run(GetRandom, { bytesRequested: 8 }, { signal: caller.signal });
        await new Promise((resolve) => setImmediate(resolve));
        const closing = tpm.close();
        caller.abort(new Error('enough'));
        await expect(waiting).rejects.toThrow('enough');
        await closing;
      });
    });
  },
);

describe.skipIf(await libtpmsMissing())('libtpms, while it makes a key', () => {
  it('is given up at the limit, and frees its memory and its state when it has ended', async () => {
    const transport = await openStarted();
    const limit = new AbortController();
    const making = transport.send(createRsa(1), { limit: limit.signal });
    limit.abort(new Error('enough'));
    await expect(making).rejects.toSatisfy((error: unknown) => isKeyprovError(error, 'transport-lost'));
    await expect(transport.send(GET_RANDOM)).rejects.toMatchObject({ code: 'transport-lost' });
    await transport.close();
  });
});
