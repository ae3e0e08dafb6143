import { MfaError } from '../../errors/mfa-error.ts';
import { PinError } from '../../errors/pin-error.ts';
import { PinRefusedError } from '../../errors/pin-refused-error.ts';
import { SelectionError } from '../../errors/selection-error.ts';
import { ServiceError } from '../../errors/service-error.ts';
import { TpmError } from '../../errors/tpm-error.ts';
import { KeyprovError, sayError } from '../../errors.ts';
import type { RecordedAttempt } from '../../keys/key-record.ts';
import { formatWindowsCode, windowsErrorOf } from '../../provisioning/windows/windows-errors.ts';
import { EXIT } from '../exit-codes.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { MissingPartsError } from './missing-parts-error.ts';
import { Printer } from './printer.ts';
import { isLive, LiveProgress, PlainProgress, type Progress, SILENT } from './progress.ts';
import { Interrupted } from './signals.ts';
import { wayOn } from './ways-on.ts';

/** The result of a command that does not throw. */
export interface Outcome {
  readonly exitCode: number;
  /** For people, on standard output. A line break within a line is escaped. */
  readonly lines: readonly string[];
  /** Set if the lines are to be copied, and must not be wrapped. */
  readonly verbatim?: true;
  /** For programs: the whole output with `--json`, together with `ok` and the warnings. */
  readonly json: object;
}

/** The form of the output, as `--json` and `--verbose` choose it. */
export interface ReportManner {
  readonly json: boolean;
  readonly verbose: boolean;
}

/**
 * The output of one call of `keyprov`: results on standard output; steps, warnings and errors on standard error. With
 * `--json` it is one object on standard output and nothing else.
 */
export class Report {
  progress: Progress = SILENT;
  /** The command whose help an error recommends. */
  command = 'keyprov';
  readonly #out = new Printer(process.stdout);
  readonly #err = new Printer(process.stderr);
  #json = false;
  #isAnnounced = false;
  #verbose = false;
  readonly #warnings: string[] = [];

  constructor(manner: ReportManner) {
    this.speak(manner);
  }

  /** Changes the form of the output. */
  speak({ json, verbose }: ReportManner): void {
    this.#json = json;
    this.#verbose = verbose;
    if (json) this.progress = SILENT;
    else if (isLive(process.stderr, process.env)) this.progress = new LiveProgress(this.#err);
    else this.progress = new PlainProgress(this.#err);
  }

  /** Lets advised commands name the store and the TPM that the user named. */
  repeat(given: Arguments): void {
    const repeated = (['store', 'tpm'] as const).flatMap((name) => {
      const value = given.text(name);
      return value === undefined || value === 'none' ? [] : [[`--${name}`, value] as const];
    });
    this.#out.repeated = repeated;
    this.#err.repeated = repeated;
  }

  /** Shows steps as plain lines from now on: a spinner would disturb the user's typing. */
  speakPlainly(): void {
    if (!this.#json) this.progress = new PlainProgress(this.#err);
  }

  /** Warns the user, once of the same; the work continues. */
  warn(text: string): void {
    if (this.#warnings.includes(text)) return;
    this.#warnings.push(text);
    this.progress.note(`warning: ${text}`);
  }

  /** Writes the object of `--json` now, for a command that runs until its user ends it; nothing follows it. */
  announce(json: object): void {
    if (!this.#json) return;
    this.#write({ ok: true, ...json });
    this.#isAnnounced = true;
  }

  finish({ exitCode, lines, verbatim, json }: Outcome): void {
    if (!this.#json) verbatim ? this.#out.verbatim(...lines) : this.#out.lines(...lines);
    else if (!this.#isAnnounced) this.#write({ ok: exitCode === EXIT.done, ...json });
  }

  fail(error: unknown): void {
    this.progress.fail();
    if (this.#json && !this.#isAnnounced) this.#write({ ok: false, error: errorToJson(error) });
    else this.#err.lines(...this.#errorLines(error));
  }

  /** Shows help that the user asked for. */
  answer(text: string): void {
    this.#out.help(text);
  }

  /** Shows help for an incomplete command. */
  help(text: string): void {
    if (!this.#json) this.#err.help(text);
    else this.fail(new UsageError(['there is no command']));
  }

  /** The code with which Windows reports an error, on Windows or with `--verbose`. */
  windowsLine(error: unknown): string[] {
    const windows = this.#verbose || process.platform === 'win32' ? windowsErrorOf(error) : undefined;
    if (windows === undefined) return [];
    const name = windows.name === '' ? '' : ` (${windows.name})`;
    return [`Windows reports this as ${formatWindowsCode(windows.code)}${name}`];
  }

  #errorLines(error: unknown): string[] {
    const lines = [...linesOf(error, this.command), wayOn(error) ?? [], this.windowsLine(error)].flat();
    return lines.map((line) => `keyprov: ${line}`);
  }

  #write(json: object): void {
    this.#out.json({ ...json, warnings: this.#warnings });
  }
}

/** Why the attempts failed, in one line. */
export const reasonsOf = (attempts: readonly RecordedAttempt[]): string =>
  attempts.map(({ reason }) => reason).join('; ');

/** One line per attempt, for people. */
function attemptLines(attempts: readonly RecordedAttempt[]): string[] {
  return attempts.map(({ backend, outcome, reason }) => `${backend} ${outcome.replace('-', ' ')}: ${reason}`);
}

/** An error for programs, with the code with which Windows reports it. It contains no secret. */
export function errorToJson(error: unknown): object {
  if (error instanceof UsageError) {
    return { code: 'usage', message: error.message, problems: error.problems };
  }
  if (error instanceof Interrupted) return { code: 'interrupted', message: error.message };
  if (!(error instanceof KeyprovError)) return { code: 'unexpected', message: String(error) };
  const { code } = error;
  const windows = windowsErrorOf(error);
  return {
    ...{ code, message: error.message, remedy: error.remedy },
    ...(windows && { windows: { code: formatWindowsCode(windows.code), name: windows.name } }),
    ...(error instanceof SelectionError && {
      attempts: error.attempts,
      retryAfterSeconds: error.retryAfterSeconds,
    }),
    ...(error instanceof PinError && { triesLeft: error.triesLeft, retryAfterSeconds: error.retryAfterSeconds }),
    ...(error instanceof TpmError && { retryAfterSeconds: error.retryAfterSeconds }),
    ...((error instanceof MfaError || error instanceof PinRefusedError || error instanceof MissingPartsError) && {
      problems: error.problems,
    }),
    ...(error instanceof ServiceError && { service: serviceJson(error) }),
  };
}

function serviceJson({ status, details, retry, retryAfterMs, outcomeUnknown }: ServiceError): object {
  return { status, details, retry, retryAfterMs, outcomeUnknown };
}

function linesOf(error: unknown, command: string): readonly string[] {
  if (error instanceof UsageError) return [...error.problems, `see ${command} --help`];
  if (error instanceof SelectionError) {
    const said = sayError(error);
    // Reasons in the message are not repeated.
    return [said, ...attemptLines(error.attempts.filter(({ reason }) => !said.includes(reason)))];
  }
  if (error instanceof MissingPartsError) return [error.message, ...error.problems];
  if (error instanceof KeyprovError || error instanceof Interrupted) return [sayError(error)];
  const details = error instanceof Error ? (error.stack ?? error.message) : `${error}`;
  return ['unexpected error', ...details.split('\n')];
}
