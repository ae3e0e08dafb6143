import '../cheap-scrypt.mjs';
import { describe, expect, it } from 'vitest';
import { countFsyncs, countOnWire, countPinSignature, countProvisions, openProvisioning } from '../../bench/counts.ts';
import { missingPrograms } from '../programs.ts';
import { tpmMissing } from './support/new-tpm.ts';

/**
 * Limits for costs that do not depend on the machine: commands, refused and resent commands, and fsyncs. They are today's
 * values; if you reduce a cost, lower its limit. bench/README.md has the goals.
 */
const MOST = {
  coldJob: { commands: 18, refused: 1 },
  warmJob: { commands: 15, refused: 1 },
  signatureInProcess: { commands: 9, refused: 1 },
  signatureAtSwtpm: { commands: 7, refused: 0 },
  provisionKey: { commands: 23 },
  // 3 of them before the user authenticates: whether this TPM can make such a key.
  provision: { commands: 27, refused: 1, fsyncs: 11 },
};

function expectAtMost(counted: object, most: Readonly<Record<string, number>>): void {
  const over = Object.entries(most).filter(([name, number]) => !(Number(Reflect.get(counted, name)) <= number));
  expect(over, JSON.stringify(counted)).toEqual([]);
}

describe.skipIf(missingPrograms('swtpm'))('at a swtpm', () => {
  it('the provisioning job in a salted session takes few commands on the wire, on one connection', async () => {
    const cold = await countOnWire({ session: true, warm: false });
    expectAtMost(cold, { ...MOST.coldJob, connections: 1 });
    const warm = await countOnWire({ session: true, warm: true });
    expectAtMost(warm, { ...MOST.warmJob, connections: 1 });
  });

  it('a signature with a PIN takes few commands', async () => {
    expectAtMost(await countPinSignature('swtpm'), MOST.signatureAtSwtpm);
  });
});

describe.skipIf(await tpmMissing())('at libtpms in this process', () => {
  it('a signature with a PIN takes few commands', async () => {
    expectAtMost(await countPinSignature('libtpms'), MOST.signatureInProcess);
  });

  it('a key with attestation takes few commands', async () => {
    const { inRow: commands, unattested } = await countProvisions(1);
    expectAtMost({ commands, unattested }, { ...MOST.provisionKey, unattested: 0 });
  });

  it('a run takes few commands and few fsyncs', async () => {
    await using place = await openProvisioning();
    await place.run();
    const { commands, refused } = place.transport;
    const { fsyncs } = await countFsyncs(place.run);
    const { transport } = place;
    expectAtMost(
      { commands: transport.commands - commands, refused: transport.refused - refused, fsyncs },
      MOST.provision,
    );
    expect(fsyncs).toBeGreaterThan(3);
  });
});
