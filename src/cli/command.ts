import type { Command } from 'commander';
import type { Arguments } from './options/arguments.ts';
import type { Prompter } from './terminal/prompter.ts';
import type { Outcome, Report } from './terminal/report.ts';
import type { Signals } from './terminal/signals.ts';

/** Variables of the environment, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of a command: its output, prompts and signals. */
export interface Context {
  /** Takes steps, warnings and results. */
  readonly report: Report;
  /** Asks the user. */
  readonly prompter: Prompter;
  /** Aborts when the user wants to stop. */
  readonly signal: AbortSignal;
  /** For commands that pass signals on. */
  readonly signals: Signals;
  readonly environment: Environment;
  /** All commands, for completion. */
  readonly commands: readonly CommandEntry[];
}

/** The part of a command that is known before it is loaded. */
export interface CommandEntry {
  /** As typed: `sign`, `policy explain`. */
  readonly name: string;
  /** What it does, for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<CliCommand>;
}

/** One command of `keyprov`, as help, the program and the tests see it. */
export interface CliCommand {
  /** Two or three whole command lines for the end of its help. */
  readonly examples: readonly string[];
  /** Set if the command prints nothing itself, and has neither `--json` nor `--verbose`. */
  readonly silent?: true;
  /** Adds description, options and operands. */
  readonly define: (command: Command) => void;
  /** Does the work. */
  readonly run: (given: Arguments, context: Context) => Promise<Outcome>;
}
