import type { Command } from 'commander';
import type { Arguments } from './options/arguments.ts';
import type { Prompter } from './terminal/prompter.ts';
import type { Outcome, Report } from './terminal/report.ts';
import type { Signals } from './terminal/signals.ts';

/** Variables of the environment, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a command gets of the outside. */
export interface Context {
  /** Takes steps, warnings and results. */
  readonly report: Report;
  /** Asks the user. */
  readonly prompter: Prompter;
  /** Aborts when the user wants to stop. */
  readonly signal: AbortSignal;
  /** For a command that passes signals on. */
  readonly signals: Signals;
  readonly environment: Environment;
}

/** What is known of a command before it is loaded. */
export interface CommandEntry {
  /** As it is typed: `sign`, `policy explain`. */
  readonly name: string;
  /** What it does, for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<CliCommand>;
}

/** One command of `keyprov`: all that help, the program and the tests know of it. */
export interface CliCommand {
  /** As it is typed: `sign`, `policy explain`. */
  readonly name: string;
  /** Two or three whole command lines, with which its help ends. */
  readonly examples: readonly string[];
  /** Set for a command that prints nothing of its own, and has no `--json` and `--verbose`. */
  readonly silent?: true;
  /** Adds description, options and operands. */
  readonly define: (command: Command) => void;
  /** Does the work. */
  readonly run: (given: Arguments, context: Context) => Promise<Outcome>;
}
