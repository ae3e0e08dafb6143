import { describe, expect, it } from 'vitest';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { leftovers } from './support/new-tpm.ts';

describe.skipIf(missingPrograms('swtpm'))('an address with the control channel of a swtpm', () => {
  it.each(['unix', 'tcp'] as const)('opens it, and loses volatile data in a power cycle: %s', async (listen) => {
    await using swtpm = await startSwtpm({ listen });
    for (const control of [
      ',control',
      `,control=${'path' in swtpm.control ? swtpm.control.path : swtpm.control.port}`,
    ]) {
      await using tpm = await openTpm(`${swtpm.address}${control}`);
      const { transport } = tpm;
      if (!('powerCycle' in transport) || typeof transport.powerCycle !== 'function')
        throw new Error('no power switch');
      await transport.powerCycle();
      await tpm.startup();
      expect(await leftovers(tpm)).toEqual([]);
    }
  });
});
