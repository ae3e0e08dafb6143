import type { Command, Option } from 'commander';
import { type Bytes, byteCount, fromHex } from '../../bytes.ts';
import { nearest } from '../../nearest.ts';
import { ValueOption } from './value-option.ts';

/** All problems with the arguments of a command line. */
export class UsageError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.name = 'UsageError';
    this.problems = problems;
  }
}

/**
 * The arguments of one call. `problems` collects everything that is wrong with them, and `missing` what else the
 * command needs, until {@link Arguments.check} throws it. A message repeats an unexpected argument only if the command
 * takes no secret: the argument may be a PIN.
 */
export class Arguments {
  readonly problems: string[] = [];
  readonly missing: string[] = [];
  /** The arguments after the options. */
  readonly operands: readonly string[];
  /** Aborts the reading of files that options name. */
  readonly signal: AbortSignal | undefined;
  readonly #command: Command;

  /** `command` must allow unknown options and excess arguments. */
  constructor(command: Command, signal?: AbortSignal) {
    this.#command = command;
    this.signal = signal;
    this.operands = this.#findOperands();
    this.#findEmpty();
    this.#findContradictions();
  }

  /** The value of `--name`. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    return typeof value === 'string' && value !== '' ? value : undefined;
  }

  /** The values of a repeatable option. */
  texts(name: string): string[] {
    const value = this.#value(name);
    return Array.isArray(value) ? value.map(String).filter((one) => one !== '') : [];
  }

  /** The value of a required option, one of `values` if any; if it is missing, notes that and returns an empty text. */
  required(name: string, values: readonly string[] = []): string {
    const value = this.text(name);
    const which = values.length > 0 ? `: it is one of ${values.join(', ')}` : '';
    if (value === undefined && this.#value(name) === undefined) this.missing.push(`--${name} is missing${which}`);
    return value ?? '';
  }

  /** Whether `--name`, an option without a value, was given. */
  has(name: string): boolean {
    return this.#value(name) === true;
  }

  /** Whether `--name` was given, with or without a value. */
  isThere(name: string): boolean {
    const value = this.#value(name);
    return value !== undefined && value !== false;
  }

  /** The files that options name, with their options. */
  files(): readonly (readonly [option: string, path: string])[] {
    return this.#command.options.flatMap(({ long, flags }) => {
      if (long === undefined || !/<(?:name=)?(?:file|path)>$/.test(flags)) return [];
      const paths = [this.#value(long.slice(2))].flat().filter((value) => typeof value === 'string');
      return paths.map((path) => [long, flags.includes('=') ? path.replace(/^[^=]*=/, '') : path] as const);
    });
  }

  /** Notes a problem for each of these options that was given. */
  refuse(names: readonly string[], why: string): void {
    for (const name of names) if (this.isThere(name)) this.problems.push(`--${name} ${why}`);
  }

  /** Notes a problem for each given option that is not one of these. */
  refuseOthers(names: readonly string[], why: string): void {
    const others = this.#command.options.flatMap(({ long }) => long?.slice(2) ?? []);
    this.refuse(
      others.filter((name) => !names.includes(name)),
      why,
    );
  }

  /** One of a few words, or of many that `list` lists, such as an option. */
  choice<T extends string>(name: string, choices: readonly T[], list?: string): T | undefined {
    const value = this.text(name);
    const found = choices.find((choice) => choice === value);
    if (value === undefined || found !== undefined) return found;
    const meant = nearest(value, choices);
    const hint = meant === undefined ? '' : `, did you mean '${meant}'?`;
    const known = list === undefined ? `not one of ${choices.join(', ')}` : 'unknown here';
    const lists = list === undefined || meant !== undefined ? '' : `; ${list} lists the names`;
    this.problems.push(`--${name} '${value}' is ${known}${hint}${lists}`);
    return undefined;
  }

  /** A whole number of 1 or more. */
  count(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
    this.problems.push(`--${name} is not a whole number from 1 to 999999999`);
    return undefined;
  }

  /** Hexadecimal digits of 1 to `max` bytes. */
  hex(name: string, max: number): Bytes | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    try {
      const bytes = fromHex(value);
      if (bytes.length <= max) return bytes;
      this.problems.push(`--${name} has ${byteCount(bytes.length)}; at most ${max} are allowed`);
    } catch {
      this.problems.push(`--${name} is not an even number of hexadecimal digits`);
    }
    return undefined;
  }

  /** @throws UsageError if there are problems. */
  check(): void {
    const problems = new Set([...this.problems, ...this.missing]);
    if (problems.size > 0) throw new UsageError([...problems]);
  }

  /** Checks only what was given, for a command that first looks whether more is needed at all. @throws as {@link check} */
  checkGiven(): void {
    if (this.problems.length > 0) this.check();
  }

  #value(name: string): unknown {
    const option = this.#command.options.find(({ long }) => long === `--${name}`);
    if (option === undefined) return undefined;
    const given = this.#command.getOptionValue(option.attributeName());
    const value = Array.isArray(given) && isSingle(option) ? given[0] : given;
    // `--no-x` is stored as an `x` that is false, else true.
    return option.negate ? value === false : value;
  }

  /** Notes options that take one value and have several. The values are not shown: a PIN may be among them. */
  #findContradictions(): void {
    for (const option of this.#command.options.filter(isSingle)) {
      const given = this.#command.getOptionValue(option.attributeName());
      if (!Array.isArray(given) || new Set(given).size === 1) continue;
      this.problems.push(`${option.long} is used ${given.length} times with different values; use it once`);
    }
  }

  /** Whether the command takes secrets, so that a misplaced word may be one. */
  get #takesSecrets(): boolean {
    return this.#command.options.some(({ long }) => /pin|tpm-auth|password|token|secret/.test(long ?? ''));
  }

  /** Notes options without the value that they take, even those that a command reads after its check. */
  #findEmpty(): void {
    for (const option of this.#command.options) {
      const values = [this.#command.getOptionValue(option.attributeName())].flat();
      if (option.optional && values.some((value) => value === '' || value === true))
        this.problems.push(`${option.long} needs a value`);
    }
  }

  /** Why the parser did not take an option of the command. */
  #misplaced(name: string, argument: string): string {
    const takesValue = this.#command.options.some(({ long, optional }) => long === name && optional);
    return argument === name || takesValue ? `${name} must come before --` : `${name} takes no value`;
  }

  /** Notes unknown options and unexpected arguments. Returns the others; what follows an unknown option may be its value. */
  #findOperands(): readonly string[] {
    const takes = this.#command.registeredArguments.map((argument) => argument.name());
    const takesCommand = takes.includes('command'); // with its own options
    const operands: string[] = [];
    const known = ['--help', ...this.#command.options.flatMap(({ long }) => long ?? [])];
    let afterStranger = false;
    for (const argument of this.#command.args) {
      const isOption = argument.startsWith('-') && argument !== '-';
      if (!isOption && takesCommand) break;
      if (isOption) {
        const name = argument.startsWith('--') ? argument.replace(/=.*$/s, '') : argument.slice(0, 2);
        this.problems.push(known.includes(name) ? this.#misplaced(name, argument) : unknown(name, known));
      } else if (!afterStranger && takes.length > 0) {
        operands.push(argument);
      } else if (!afterStranger) {
        const what = this.#takesSecrets ? '(not shown, since it may be secret)' : `'${argument}'`;
        const instead = this.#command.options.find(({ optional, long }) => optional && long)?.flags;
        this.problems.push(
          `unexpected argument ${what}${instead ? `: give it with its option, such as ${instead}` : ''}`,
        );
      }
      afterStranger = isOption;
    }
    return takesCommand ? this.#command.args : operands;
  }
}

function unknown(name: string, known: readonly string[]): string {
  const meant = known.find((long) => long.startsWith(`${name}-`)) ?? nearest(name, known);
  return `unknown option ${name}${meant === undefined ? '' : `, did you mean ${meant}?`}`;
}

const isSingle = (option: Option): boolean => option instanceof ValueOption && !option.isRepeatable;
