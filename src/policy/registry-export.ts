import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { checkTextSize, LIMIT } from '../limits.ts';

/** One value of a registry export. */
export interface RegistryEntry {
  /** The whole key, as written. */
  readonly key: string;
  /** The name of the value; empty for the default value. */
  readonly name: string;
  /** A dword as number, a string as text, `undefined` for other types. */
  readonly data: number | string | undefined;
}

/** The first line of an export, and of each further one in a joined file. */
const HEAD = /^\uFEFF?(?:Windows Registry Editor Version 5\.00|REGEDIT4)[ \t]*\r?$/;
/** More problems than an export of a policy has; whole hives have more. */
const MAX_PROBLEMS = 20;

/**
 * Reads the text that `regedit` or `reg export` writes (`REGEDIT4` or version 5.00), and returns the values below the
 * wanted keys as an import would leave them. The text may consist of several exports. Adds invalid lines, and lines
 * that delete a wanted key (an export has none), to `problems`. The text of a value may span several lines, so that
 * nothing in it is mistaken for a key. The time is proportional to the length of the text.
 */
export function parseRegistryExport(
  text: string,
  wanted: (key: string) => boolean,
  problems: PolicyProblem[],
): RegistryEntry[] {
  checkTextSize(text, LIMIT.export, (problem) => {
    return new PolicyError([
      { setting: 'registry export', problem, expected: "an export that contains only the policy's registry keys" },
    ]);
  });
  if (!HEAD.test(text.slice(0, lineEnd(text, 0)))) {
    const expected = "'Windows Registry Editor Version 5.00' or 'REGEDIT4' in the first line";
    problems.push({ setting: 'line 1', problem: 'the text is not a registry export', expected });
    return [];
  }
  const entries = new Map<string, RegistryEntry>();
  let key: string | undefined;
  let isWanted = false;
  let badLines = 0;
  const refuse = (at: number, problem: string, expected = 'a key in brackets, or name=value below a key'): void => {
    if (++badLines > MAX_PROBLEMS) return;
    problems.push({ setting: `line ${text.slice(0, at).split('\n').length}`, problem, expected });
  };
  for (let at = lineEnd(text, 0) + 1; at < text.length; ) {
    const end = lineEnd(text, at);
    const line = text.slice(at, end).trim();
    if (line === '' || line.startsWith(';') || HEAD.test(line)) {
      at = end + 1;
      continue;
    }
    if (line.startsWith('[') && line.endsWith(']')) {
      const isDeleted = line.startsWith('[-');
      key = line.slice(isDeleted ? 2 : 1, -1);
      isWanted = wanted(key);
      if (isWanted && isDeleted) refuse(at, 'deletes a key, which an export never does');
      at = end + 1;
      continue;
    }
    const value = readValue(text, at);
    if (value === undefined) refuse(at, ...describeBadValue(line));
    else if (key === undefined) refuse(at, 'is a value before the first key');
    else if (isWanted) {
      // As in an import, the last of several values with one name counts.
      const { name, data, isDeleted } = value;
      const id = `${key}\\${name}`.toLowerCase();
      entries.delete(id);
      if (!isDeleted) entries.set(id, { key, name, data });
    }
    at = value?.next ?? end + 1;
  }
  return [...entries.values()];
}

interface ReadValue extends Omit<RegistryEntry, 'key'> {
  readonly isDeleted: boolean;
  /** Where the next line begins. */
  readonly next: number;
}

/** Reads the value at this place; undefined if there is none. */
function readValue(text: string, from: number): ReadValue | undefined {
  let at = skipBlanks(text, from);
  const nameEnd = text[at] === '@' ? at + 1 : endOfQuoted(text, at);
  if (nameEnd === undefined) return undefined;
  const name = text[at] === '@' ? '' : unquote(text.slice(at, nameEnd));
  at = skipBlanks(text, nameEnd);
  if (text[at] !== '=') return undefined;
  at = skipBlanks(text, at + 1);
  const isText = text[at] === '"';
  const dataEnd = isText ? endOfQuoted(text, at) : at;
  if (dataEnd === undefined) return undefined;
  let end = lineEnd(text, dataEnd);
  const rest = text.slice(dataEnd, end).trim();
  const read = (data: number | string | undefined): ReadValue => ({ name, data, isDeleted: false, next: end + 1 });
  if (isText) return rest === '' ? read(unquote(text.slice(at, dataEnd))) : undefined;
  if (rest === '-') return { ...read(undefined), isDeleted: true };
  const dword = /^dword:([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(rest);
  if (dword !== null) return read(Number.parseInt(dword[1] ?? '', 16));
  if (!/^hex(?:\([0-9a-f]{1,8}\))?:/i.test(rest)) return undefined;
  // Bytes continue in the next line if this one ends with a backslash.
  for (let line = rest.slice(rest.indexOf(':') + 1); /^[0-9a-f, \t]*\\?$/i.test(line); ) {
    if (!line.endsWith('\\') || end >= text.length) return read(undefined);
    const start = end + 1;
    end = lineEnd(text, start);
    line = text.slice(start, end).trim();
  }
  return undefined;
}

/** Says what is wrong with a line that {@link readValue} cannot read, and what is expected instead. */
function describeBadValue(line: string): [problem: string, expected?: string] {
  const [, type] = /^(?:@|"(?:[^"\\]|\\.)*")[ \t]*=[ \t]*(dword:|hex(?=[:(])|)/i.exec(line) ?? [];
  if (type === undefined) return ['does not belong in a registry export'];
  if (/^d/i.test(type)) return ['has a dword that is not hexadecimal', 'dword: and 1 to 8 hexadecimal digits'];
  if (/^h/i.test(type)) return ['has bytes that are not hexadecimal', 'hex: and bytes such as 0a,ff'];
  return ['has data of an unknown form', 'text in quotes, dword:, hex: or hex(TYPE):'];
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at++;
  return at;
}

/** The place of the next line feed, or of the end. */
function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

/** The place after the closing quote of the string at this place; undefined if it is not closed. */
function endOfQuoted(text: string, from: number): number | undefined {
  if (text[from] !== '"') return undefined;
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return undefined;
}

function unquote(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/gs, '$1');
}
