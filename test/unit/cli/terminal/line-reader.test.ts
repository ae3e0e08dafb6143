import { PassThrough } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type InputStream, LineReader } from '../../../../src/cli/terminal/line-reader.ts';

const NEVER = new AbortController().signal;
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && new TextDecoder().decode(bytes);

/** A stand-in for `process.stdin` as a terminal, which records the mode changes. */
function terminal(): { readonly stream: InputStream & PassThrough; readonly modes: boolean[] } {
  const modes: boolean[] = [];
  const setRawMode = (mode: boolean) => {
    modes.push(mode);
    return Object.create(null);
  };
  return { stream: Object.assign(new PassThrough(), { isTTY: true, setRawMode }), modes };
}

describe('lines of standard input', () => {
  it('come one at a time, whatever pieces they arrive in', async () => {
    const stream = new PassThrough();
    const reader = new LineReader(stream, () => {});
    stream.write('fir');
    stream.write('st\r\nsecond\n\nlast');
    stream.end();
    const lines: (string | undefined)[] = [];
    for (let count = 0; count < 5; count++) lines.push(text(await reader.line(NEVER)));
    expect(lines).toEqual(['first', 'second', '', 'last', undefined]);
  });

  it('are abandoned when the signal aborts, and nothing is lost', async () => {
    const stream = new PassThrough();
    const reader = new LineReader(stream, () => {});
    const controller = new AbortController();
    const line = reader.line(controller.signal);
    controller.abort(new Error('enough'));
    await expect(line).rejects.toThrow('enough');
    stream.end('later\n');
    expect(text(await reader.line(NEVER))).toBe('later');
  });

  it('have an end', async () => {
    const stream = new PassThrough();
    const reader = new LineReader(stream, () => {});
    stream.write('1'.repeat(70_000));
    await expect(reader.line(NEVER)).rejects.toThrow('standard input: a line is longer than a PIN can be');
  });
});

afterEach(() => void vi.useRealTimers());

describe('lines that a terminal does not show', () => {
  it('are read in raw mode, which is over with each', async () => {
    const { stream, modes } = terminal();
    const reader = new LineReader(stream, () => {});
    const asked: boolean[] = [];
    stream.write('one\r\ntwo\r');
    expect(text(await reader.hiddenLine(() => asked.push(...modes), NEVER))).toBe('one');
    expect({ asked, modes }).toEqual({ asked: [true], modes: [true, false] });
    expect(text(await reader.hiddenLine(() => {}, NEVER))).toBe('two');
    expect(modes).toEqual([true, false, true, false]);
    expect(process.listeners('exit').map(String).join()).not.toContain('setRawMode');
  });

  it('pass Ctrl-C on, and leave the terminal as it was', async () => {
    const { stream, modes } = terminal();
    const controller = new AbortController();
    const reader = new LineReader(stream, () => controller.abort(new Error('ended by Ctrl-C')));
    stream.write('half\x03');
    await expect(reader.hiddenLine(() => {}, controller.signal)).rejects.toThrow('ended by Ctrl-C');
    expect(modes).toEqual([true, false]);
  });

  it.each([
    ['has what follows the escape key', '\x1b', 500, '28\r', '128'],
    ['has what follows Alt with [', '\x1b[', 500, '28\r', '128'],
    ['knows nothing of an arrow in two pieces', '\x1b', 499, '[A28\r', '128'],
    ['knows nothing of Alt with another key', '\x1b', 499, '28\r', '18'],
  ])('%s', async (_, sequence, ms, rest, line) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { stream } = terminal();
    const reading = new LineReader(stream, () => {}).hiddenLine(() => {}, NEVER);
    for (const piece of ['1', sequence]) {
      stream.write(piece);
      await turn();
    }
    await vi.advanceTimersByTimeAsync(ms);
    stream.write(rest);
    expect(text(await reading)).toBe(line);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('end with the input', async () => {
    const { stream, modes } = terminal();
    stream.end('half');
    expect(await new LineReader(stream, () => {}).hiddenLine(() => {}, NEVER)).toBe(undefined);
    expect(modes).toEqual([true, false]);
  });

  it('are shown if there is no terminal', async () => {
    const stream = new PassThrough();
    stream.end('one\n');
    expect(text(await new LineReader(stream, () => {}).hiddenLine(() => {}, NEVER))).toBe('one');
  });
});
