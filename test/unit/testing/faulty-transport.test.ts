import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/bytes.ts';
import { type Fault, faultyTransport } from '../../../src/testing/faulty-transport.ts';
import { TPM_CC } from '../../../src/tpm/constants.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';
import { answer, FakeTpm } from '../tpm/fake-tpm.ts';

const GET_RANDOM = fromHex('80010000000c0000017b0002');
const RANDOM = answer(0, fromHex('0002abcd'));

function transportWith(...faults: Fault[]) {
  const inner = new FakeTpm(() => RANDOM);
  const asked: [number, number][] = [];
  const transport = faultyTransport(inner, (code, index) => {
    asked.push([code, index]);
    return faults[index] ?? 'none';
  });
  return { inner, asked, transport };
}

describe('a faulty transport', () => {
  it('asks before each command, and passes it on if there is no fault', async () => {
    const { inner, asked, transport } = transportWith();
    for (let i = 0; i < 2; i++) expect(toHex(await transport.send(GET_RANDOM))).toBe(toHex(RANDOM));
    expect(asked).toEqual([
      [TPM_CC.GetRandom, 0],
      [TPM_CC.GetRandom, 1],
    ]);
    expect(inner.sent.map((command) => toHex(command))).toEqual([toHex(GET_RANDOM), toHex(GET_RANDOM)]);
    expect(transport).toMatchObject({ kind: 'device', address: 'fake', managed: true, emulator: false, commands: 2 });
    await transport.close();
    expect(inner.closed).toBe(true);
  });

  it('answers with a response code in place of the TPM, once', async () => {
    const { inner, transport } = transportWith(TPM_RC.LOCKOUT);
    expect(toHex(await transport.send(GET_RANDOM))).toBe('80010000000a00000921');
    expect(inner.sent).toHaveLength(0);
    expect(toHex(await transport.send(GET_RANDOM))).toBe(toHex(RANDOM));
  });

  it('returns only the header of a cut answer', async () => {
    const { transport } = transportWith('cut');
    expect(toHex(await transport.send(GET_RANDOM))).toBe(toHex(RANDOM.subarray(0, 10)));
  });

  it('is lost for good after the TPM has run the command', async () => {
    const { inner, transport } = transportWith('lost');
    await expect(transport.send(GET_RANDOM)).rejects.toMatchObject({ code: 'transport-lost' });
    await expect(transport.send(GET_RANDOM)).rejects.toMatchObject({ code: 'transport-lost' });
    expect(inner.sent).toHaveLength(1);
    expect(transport.commands).toBe(1);
  });
});
