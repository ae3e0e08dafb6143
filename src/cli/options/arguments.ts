import type { Command } from 'commander';
import { type Bytes, fromHex } from '../../bytes.ts';
import { nearest } from '../../policy/nearest.ts';

/** Wrong arguments on the command line, all of them. */
export class UsageError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.name = 'UsageError';
    this.problems = problems;
  }
}

/**
 * The arguments of one call. Whatever is wrong with them is collected in `problems`, until {@link Arguments.check}
 * throws all of it. Values that were not asked for are repeated in a message only by commands that take no secret: one
 * of them may be a PIN.
 */
export class Arguments {
  readonly problems: string[] = [];
  /** What follows the options. */
  readonly operands: readonly string[];
  /** Ends the reading of files that options name. */
  readonly signal: AbortSignal | undefined;
  readonly #command: Command;

  /** `command` must allow unknown options and excess arguments. */
  constructor(command: Command, signal?: AbortSignal) {
    this.#command = command;
    this.signal = signal;
    this.operands = command.registeredArguments.length > 0 ? command.args : [];
    this.#findStrangers();
  }

  /** The value of `--name`. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    if (typeof value === 'string' && value !== '') return value;
    if (value !== undefined) this.problems.push(`--${name} needs a value`);
    return undefined;
  }

  /** The values of an option that may be given several times. */
  texts(name: string): string[] {
    const value = this.#value(name);
    if (value === undefined) return [];
    const values = Array.isArray(value) ? value.map(String) : [''];
    if (values.includes('')) this.problems.push(`--${name} needs a value`);
    return values.filter((one) => one !== '');
  }

  /** The value of an option that must be there; empty, with the problem noted, where it is not. */
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined && this.#value(name) === undefined) this.problems.push(`--${name} is missing`);
    return value ?? '';
  }

  /** Whether `--name`, which takes no value, was given. */
  has(name: string): boolean {
    return this.#value(name) === true;
  }

  /** Whether `--name` was given in any way. */
  isThere(name: string): boolean {
    const value = this.#value(name);
    return value !== undefined && value !== false;
  }

  /** Notes a problem for each of these options that was given. */
  refuse(names: readonly string[], why: string): void {
    for (const name of names) if (this.isThere(name)) this.problems.push(`--${name} ${why}`);
  }

  /** The same for each option that was given and is none of these. */
  refuseOthers(names: readonly string[], why: string): void {
    const others = this.#command.options.flatMap(({ long }) => long?.slice(2) ?? []);
    this.refuse(
      others.filter((name) => !names.includes(name)),
      why,
    );
  }

  /** One of a few words. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.text(name);
    const found = choices.find((choice) => choice === value);
    if (value === undefined || found !== undefined) return found;
    const meant = nearest(value, choices);
    const hint = meant === undefined ? '' : `, did you mean '${meant}'?`;
    this.problems.push(`--${name} '${value}' is none of ${choices.join(', ')}${hint}`);
    return undefined;
  }

  /** A whole number of 1 or more. */
  count(name: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
    this.problems.push(`--${name} is no whole number of 1 or more`);
    return undefined;
  }

  /** Hexadecimal digits of 1 to `max` bytes. */
  hex(name: string, max: number): Bytes | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    try {
      const bytes = fromHex(value);
      if (bytes.length <= max) return bytes;
      this.problems.push(`--${name} has ${bytes.length} bytes, at most ${max} are allowed`);
    } catch {
      this.problems.push(`--${name} is not an even number of hexadecimal digits`);
    }
    return undefined;
  }

  /** @throws UsageError where anything was wrong. */
  check(): void {
    if (this.problems.length > 0) throw new UsageError([...new Set(this.problems)]);
  }

  #value(name: string): unknown {
    const option = this.#command.options.find(({ long }) => long === `--${name}`);
    if (option === undefined) return undefined;
    const value = this.#command.getOptionValue(option.attributeName());
    // `--no-x` is kept as an x that is false, and true where it was not given.
    return option.negate ? value === false : value;
  }

  /** Whether what was typed by mistake may be a secret, as far as its options tell. */
  get #takesSecrets(): boolean {
    return this.#command.options.some(({ long }) => /pin|tpm-auth|password|token|secret/.test(long ?? ''));
  }

  #findStrangers(): void {
    const known = this.#command.options.flatMap(({ long }) => long ?? []);
    let afterStranger = false;
    for (const argument of this.#command.args) {
      const isOption = argument.startsWith('-') && argument !== '-';
      if (!isOption && this.operands.length > 0) return;
      if (isOption) {
        const name = argument.startsWith('--') ? argument.replace(/=.*$/s, '') : argument.slice(0, 2);
        const meant = nearest(name, known);
        this.problems.push(`unknown option ${name}${meant === undefined ? '' : `, did you mean ${meant}?`}`);
      } else if (!afterStranger) {
        const what = this.#takesSecrets ? 'an argument' : `an argument '${argument}'`;
        this.problems.push(`${what} that belongs to no option`);
      }
      afterStranger = isOption;
    }
  }
}
