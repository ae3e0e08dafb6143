import type { Printer, TextStream } from './printer.ts';

/** Shows the steps of some work, one after another. */
export interface Progress {
  /** Begins a step. A current step counts as failed. */
  begin(step: string, text: string): void;
  /** Ends the current step with success. */
  end(detail: string): void;
  /** Ends the current step, if any, as failed. */
  fail(): void;
  /** Shows a line that stays. */
  note(text: string): void;
}

const FRAMES = ['|', '/', '-', '\\'];
const INTERVAL_MS = 100;
const STEP_WIDTH = 12;

/** Whether a stream can show a spinner: a terminal with control sequences, outside of continuous integration. */
export function isLive(stream: TextStream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb' && !env.NO_COLOR && !env.CI;
}

/** Shows nothing. */
export const SILENT: Progress = { begin: () => {}, end: () => {}, fail: () => {}, note: () => {} };

/** The current step. */
interface Step {
  readonly name: string;
  readonly text: string;
  readonly since: number;
}

/** Shows each beginning, end and failure as a line of plain text. */
export class PlainProgress implements Progress {
  readonly #printer: Printer;
  #step: Step | undefined;

  constructor(printer: Printer) {
    this.#printer = printer;
  }

  begin(name: string, text: string): void {
    this.fail();
    this.#step = { name, text, since: Date.now() };
    this.note(`${name}: ${text}`);
  }

  end(detail: string): void {
    if (this.#step !== undefined) this.note(`${this.#step.name}: ${detail} (${elapsed(this.#step)})`);
    this.#step = undefined;
  }

  fail(): void {
    if (this.#step !== undefined) this.note(`${this.#step.name}: failed (${elapsed(this.#step)})`);
    this.#step = undefined;
  }

  note(text: string): void {
    this.#printer.lines(text);
  }
}

/** Shows each step as one line: with a spinner and the elapsed time, until its outcome replaces them. */
export class LiveProgress implements Progress {
  readonly #printer: Printer;
  #step: Step | undefined;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;

  constructor(printer: Printer) {
    this.#printer = printer;
  }

  begin(name: string, text: string): void {
    this.fail();
    this.#step = { name, text, since: Date.now() };
    this.#draw();
    // A spinner must not keep the process alive.
    this.#timer = setInterval(() => this.#draw(), INTERVAL_MS).unref();
  }

  end(detail: string): void {
    this.#finish('✓', detail);
  }

  fail(): void {
    this.#finish('✗', 'failed');
  }

  note(text: string): void {
    if (this.#step === undefined) this.#printer.lines(text);
    else this.#printer.replace(text);
    this.#draw();
  }

  #finish(sign: string, detail: string): void {
    const step = this.#step;
    if (step === undefined) return;
    clearInterval(this.#timer);
    this.#step = undefined;
    this.#printer.replace(`${sign} ${step.name.padEnd(STEP_WIDTH)} ${detail} (${elapsed(step)})`);
  }

  #draw(): void {
    const step = this.#step;
    if (step === undefined) return;
    this.#frame = (this.#frame + 1) % FRAMES.length;
    this.#printer.draw(`${FRAMES[this.#frame]} ${step.name.padEnd(STEP_WIDTH)} ${step.text} (${elapsed(step)})`);
  }
}

const elapsed = ({ since }: Step): string => `${((Date.now() - since) / 1000).toFixed(1)} s`;
