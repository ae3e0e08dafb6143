import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Printer } from '../../../../src/cli/terminal/printer.ts';
import { isLive, LiveProgress, PlainProgress } from '../../../../src/cli/terminal/progress.ts';

/** Records the output. */
class Stream {
  readonly isTTY = true;
  readonly columns: number;
  text = '';

  constructor(columns = 80) {
    this.columns = columns;
  }

  write(text: string): void {
    this.text += text;
  }

  /** The visible text in the terminal: each erasure removes the current line. */
  get screen(): string {
    return this.text
      .split('\n')
      .map((line) => line.split('\r\x1b[2K').at(-1))
      .join('\n');
  }
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('isLive', () => {
  it.each([
    [true, {}, true],
    [false, {}, false],
    [undefined, {}, false],
    [true, { TERM: 'xterm' }, true],
    [true, { TERM: 'dumb' }, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { CI: 'true' }, false],
  ])('of a terminal: %j, with %j: %j', (isTTY, env, live) => {
    expect(isLive({ write: () => {}, ...(isTTY !== undefined && { isTTY }) }, env)).toBe(live);
  });
});

describe('plain progress', () => {
  it('is one line for each beginning, end and failure, without control characters', () => {
    const stream = new Stream();
    const progress = new PlainProgress(new Printer(stream, { NO_COLOR: '1' }));
    progress.begin('key', 'making it');
    vi.advanceTimersByTime(1250);
    progress.end('made');
    progress.note('by the way');
    progress.begin('files', 'writing');
    progress.begin('again', 'writing');
    progress.fail();
    progress.fail();
    progress.end('too late');
    expect(stream.text.split('\n')).toEqual([
      'key: making it',
      'key: made (1.3 s)',
      'by the way',
      'files: writing',
      'files: failed (0.0 s)',
      'again: writing',
      'again: failed (0.0 s)',
      '',
    ]);
  });
});

describe('live progress', () => {
  it('shows the time that a step takes while it runs', () => {
    const stream = new Stream();
    const progress = new LiveProgress(new Printer(stream, { NO_COLOR: '1' }));
    progress.begin('key', 'making it');
    const seen = [stream.screen];
    for (let tick = 0; tick < 3; tick++) {
      vi.advanceTimersByTime(1000);
      seen.push(stream.screen);
    }
    expect(seen).toEqual([
      '/ key          making it (0.0 s)',
      '\\ key          making it (1.0 s)',
      '/ key          making it (2.0 s)',
      '\\ key          making it (3.0 s)',
    ]);
  });

  it('leaves one line per step, and no timer', () => {
    const stream = new Stream();
    const progress = new LiveProgress(new Printer(stream, { NO_COLOR: '1' }));
    progress.begin('key', 'making it');
    vi.advanceTimersByTime(500);
    progress.note('by the way');
    progress.end('made');
    progress.begin('files', 'writing');
    progress.begin('again', 'writing');
    progress.fail();
    progress.note('the end');
    expect(stream.screen).toBe(
      'by the way\n✓ key          made (0.5 s)\n✗ files        failed (0.0 s)\n✗ again        failed (0.0 s)\nthe end\n',
    );
    expect(vi.getTimerCount()).toBe(0);
  });

  it('never fills a line of the terminal, which could not be erased', () => {
    const stream = new Stream(20);
    new LiveProgress(new Printer(stream, { NO_COLOR: '1' })).begin('key', 'making it where there is no room');
    expect(stream.screen).toBe('/ key          maki');
  });
});
