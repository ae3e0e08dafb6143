import { describe, expect, it } from 'vitest';
import { type Bytes, fromHex } from '../../../../src/bytes.ts';
import { TpmError } from '../../../../src/errors/tpm-error.ts';
import { KeyprovError } from '../../../../src/errors.ts';
import { TransportLife } from '../../../../src/tpm/transports/life.ts';

const COMMAND = fromHex('80010000000c0000017b0008');
const ANSWER = fromHex('80010000000a00000000');

const works = () => Promise.resolve(ANSWER);
const fails = (error: unknown) => (): Promise<Bytes> => Promise.reject(error);

describe('TransportLife', () => {
  it("continues after an error other than the transport's", async () => {
    const life = new TransportLife('x:');
    const error = new TpmError('tpm-command-blocked', 'no');
    await expect(life.send(COMMAND, {}, fails(error))).rejects.toBe(error);
    expect(await life.send(COMMAND, {}, works)).toBe(ANSWER);
  });

  it.each([new KeyprovError('transport-protocol', 'garbage'), new Error('of another library')])(
    'ends with an error of the transport: %s',
    async (error) => {
      const life = new TransportLife('x:');
      const first = await life.send(COMMAND, {}, fails(error)).catch((thrown: unknown) => thrown);
      expect(first).toMatchObject({ code: error instanceof KeyprovError ? 'transport-protocol' : 'transport-lost' });
      await expect(life.send(COMMAND, {}, works)).rejects.toMatchObject({ code: 'transport-lost', cause: first });
    },
  );

  it.each([new KeyprovError('no-tpm', 'enough'), new TpmError('tpm-command-blocked', 'no'), new Error('enough')])(
    'begins no command while one that was given up may still run: %s',
    async (reason) => {
      const life = new TransportLife('x:');
      const limit = new AbortController();
      let end = (_: Bytes): void => {};
      const given = life.send(COMMAND, { limit: limit.signal }, () => new Promise((resolve) => (end = resolve)));
      limit.abort(reason);
      const error = await given.catch((thrown: unknown) => thrown);
      await expect(life.send(COMMAND, {}, works)).rejects.toMatchObject({ code: 'transport-lost', cause: error });
      const events: string[] = [];
      const closed = life.close(async () => void events.push('freed'));
      events.push('answered');
      end(ANSWER);
      await closed;
      expect(events).toEqual(['answered', 'freed']);
    },
  );

  it('does work other than a command alone, and closes after it', async () => {
    const events: string[] = [];
    const life = new TransportLife('x:');
    const cycle = life.alone(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      events.push('cycled');
    });
    await expect(life.alone(async () => void events.push('second'))).rejects.toThrow(TypeError);
    await expect(life.send(COMMAND, {}, works)).rejects.toThrow(TypeError);
    await Promise.all([cycle, life.close(async () => void events.push('freed'))]);
    expect(events).toEqual(['cycled', 'freed']);
  });

  it('continues after other work has failed', async () => {
    const life = new TransportLife('x:');
    await expect(life.alone(() => Promise.reject(new Error('no power')))).rejects.toThrow('no power');
    expect(await life.send(COMMAND, {}, works)).toBe(ANSWER);
  });

  it('frees once, after the running command, and is closed from the call on', async () => {
    const events: string[] = [];
    const life = new TransportLife('x:');
    const running = life.send(COMMAND, {}, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      events.push('answered');
      return ANSWER;
    });
    const free = async () => void events.push('freed');
    const closed = life.close(free);
    await expect(life.send(COMMAND, {}, works)).rejects.toMatchObject({ code: 'transport-closed' });
    await Promise.all([running, closed, life.close(free)]);
    expect(events).toEqual(['answered', 'freed']);
  });
});
