import { KeyprovError } from '../../errors.ts';
import { PinError } from '../../keys/pin-error.ts';
import { type Attempt, SelectionError } from '../../keys/select-provider.ts';
import { MfaError } from '../../provisioning/mfa-gate.ts';
import { formatWindowsCode, windowsErrorOf } from '../../provisioning/windows-errors.ts';
import { isServiceError, type ServiceError } from '../../registration/service-error.ts';
import { EXIT } from '../exit-codes.ts';
import { UsageError } from '../options/arguments.ts';
import { isLive, LiveProgress, PlainProgress, type Progress, SILENT } from './progress.ts';
import { Interrupted } from './signals.ts';

/** What a command comes to where it does not throw. */
export interface Outcome {
  readonly exitCode: number;
  /** For people, on standard output. */
  readonly text: string;
  /** For programs: with `--json` this is all that is written, `ok` and the warnings added. */
  readonly json: object;
}

/**
 * How one call of `keyprov` talks: results to standard output, steps, warnings and errors to standard error; with
 * `--json` one object to standard output and nothing else.
 */
export class Report {
  progress: Progress;
  readonly #json: boolean;
  readonly #warnings: string[] = [];

  constructor(json: boolean) {
    this.#json = json;
    if (json) this.progress = SILENT;
    else if (isLive(process.stderr, process.env)) this.progress = new LiveProgress(process.stderr);
    else this.progress = new PlainProgress(process.stderr);
  }

  /** From now on steps are plain lines: a spinner and the user's typing do not go together. */
  speakPlainly(): void {
    if (!this.#json) this.progress = new PlainProgress(process.stderr);
  }

  /** Says what the user should know although all goes on. */
  warn(text: string): void {
    this.#warnings.push(text);
    this.progress.note(`warning: ${text}`);
  }

  finish({ exitCode, text, json }: Outcome): void {
    if (!this.#json) process.stdout.write(text);
    else this.#write({ ok: exitCode === EXIT.done, ...json });
  }

  fail(error: unknown): void {
    this.progress.fail();
    if (this.#json) this.#write({ ok: false, error: errorToJson(error) });
    else process.stderr.write(errorToText(error));
  }

  #write(json: object): void {
    process.stdout.write(`${JSON.stringify({ ...json, warnings: this.#warnings }, undefined, 2)}\n`);
  }
}

/** One line per attempt, for people. */
export function attemptLines(attempts: readonly Attempt[]): string[] {
  return attempts.map(({ backend, outcome, reason }) => `${backend} ${outcome.replace('-', ' ')}: ${reason}`);
}

/** An error for programs: what it is, and the code with which Windows reports it. No secret is in it. */
export function errorToJson(error: unknown): object {
  if (error instanceof UsageError) return { code: 'usage', message: error.message, problems: error.problems };
  if (error instanceof Interrupted) return { code: 'interrupted', message: error.message };
  if (!(error instanceof KeyprovError)) return { code: 'unexpected', message: String(error) };
  const { code, message, remedy } = error;
  const windows = windowsErrorOf(error);
  return {
    ...{ code, message, remedy },
    ...(windows && { windows: { code: formatWindowsCode(windows.code), name: windows.name } }),
    ...(error instanceof SelectionError && { attempts: error.attempts }),
    ...(error instanceof PinError && { triesLeft: error.triesLeft, retryAfterSeconds: error.retryAfterSeconds }),
    ...(error instanceof MfaError && { problems: error.problems }),
    ...(isServiceError(error) && { service: serviceJson(error) }),
  };
}

function serviceJson({ status, details, retry, retryAfterMs, outcomeUnknown }: ServiceError): object {
  return { status, details, retry, retryAfterMs, outcomeUnknown };
}

/** `Windows reports this as 0x80090035 (NTE_DEVICE_NOT_FOUND)`; nothing where Windows has no code for it. */
export function windowsLine(error: unknown): string[] {
  const windows = windowsErrorOf(error);
  if (windows === undefined) return [];
  const name = windows.name === '' ? '' : ` (${windows.name})`;
  return [`Windows reports this as ${formatWindowsCode(windows.code)}${name}`];
}

function errorToText(error: unknown): string {
  let lines: readonly string[];
  if (error instanceof UsageError) lines = [...error.problems, 'see --help'];
  else if (error instanceof SelectionError) lines = [error.message, ...attemptLines(error.attempts)];
  else if (error instanceof KeyprovError || error instanceof Interrupted) lines = [error.message];
  else lines = ['this should not have happened', error instanceof Error ? (error.stack ?? error.message) : `${error}`];
  return [...lines, ...windowsLine(error)].map((line) => `keyprov: ${line}\n`).join('');
}
